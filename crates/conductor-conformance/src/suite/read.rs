//! The tests of `read`: queries, events, explanations and monitoring.

/// Generates the tests of `read`. A part of [`suite`](crate::suite!).
#[doc(hidden)]
#[macro_export]
macro_rules! __read_tests {
    () => {
        $crate::__conformance_tests! { read:
            query {
                every_run_is_paged_in_submission_order
                every_task_is_paged_with_roots_first
                every_child_is_paged_by_index
                grandchildren_are_not_children
                every_event_is_paged_in_commit_order
                following_reader_sees_new_events
                pages_have_at_most_1000_items
                tasks_are_filtered_by_state
                events_are_filtered_by_run_task_name_time
                contradictory_filters_match_nothing
                unknown_ids_return_nothing
                unknown_cursor_is_rejected
                large_tasks_shorten_page
                leaf_has_no_children
                new_store_is_empty
                total_state_counts_are_sum_of_runs
                monitor_queries_write_nothing
            }
            child_results {
                children_results_are_paged_by_index
                root_tasks_have_results_in_run
                unknown_parent_has_no_results
                large_results_shorten_page
                outputs_of_each_length_are_read
            }
            polling {
                change_token_changes_with_every_write
                change_token_stays_without_writes
                next_due_is_earliest_waiting_time
                run_blockers_name_kinds_and_external_tasks
            }
            explain {
                unknown_id_is_not_explained
                explanation_names_its_target
                retry_shows_due_time_and_error
                delayed_task_shows_due_time
                ready_task_shows_missing_engine_for_kind
                ready_task_waits_or_is_at_limit
                claim_shows_engine_lease_and_heartbeat
                claim_of_dead_engine_is_shown
                expired_lease_awaits_rescue
                external_work_shows_start_time
                parent_leads_to_oldest_open_child
                nested_parents_lead_to_leaf
                unfinished_fan_out_shows_created_children
                open_fan_out_shows_last_append_time
                decidable_parent_is_ready_to_aggregate
                parent_waits_for_open_join
            }
            explain_settled {
                cancel_shows_cause_and_reason
                newest_cancel_gives_reason
                descendants_of_cancelled_run_are_being_cancelled
                passed_deadline_is_cause
                failure_leads_to_failed_leaf
                cancelled_child_is_root_cause
                cancelled_join_is_root_cause
                fail_fast_leads_to_failed_leaf
                success_needs_no_reason
                failed_join_is_cause_of_failure
                claim_and_sweep_cancel_with_ancestor_cause
                earlier_cancel_keeps_its_own_cause
                revived_leaf_beside_older_failure_is_awaited
            }
            monitor {
                empty_store_is_healthy
                running_or_successful_run_is_healthy
                cancelled_task_is_healthy
                failure_awaiting_retry_is_warning
                stuck_task_is_warning
                final_failure_is_critical
                health_counts_tasks_and_retries
                health_covers_one_run_or_all
                retry_metrics_count_outcomes
                summary_describes_one_run
                unknown_run_has_no_summary
            }
            stuck {
                silent_running_leaf_is_stuck
                ready_work_that_never_started_is_stuck
                run_without_fan_out_is_stuck
                run_with_overdue_delayed_work_is_stuck
                overdue_work_in_active_run_is_stuck
                parent_missing_children_is_stuck
                open_parent_without_append_is_stuck
                open_run_without_append_is_stuck
                undecided_parent_is_stuck
                undecided_run_is_stuck
                task_waiting_for_due_time_is_not_stuck
                ready_task_beside_active_sibling_is_not_stuck
                parent_waiting_for_children_is_not_stuck
                newly_ready_run_is_not_stuck
                longest_stuck_comes_first_up_to_limit
                caller_sets_threshold
            }
            eta {
                remaining_counts_unsettled_tasks
                remaining_counts_missing_children_and_pending_retries
                rate_follows_recent_settlements
                old_settlements_are_ignored
                rate_is_known_after_long_pause
                rate_ignores_other_runs
                settled_run_has_nothing_remaining
                unknown_run_has_no_eta
            }
            events {
                submission_records_run_and_root_tasks
                open_run_is_sealed_later
                fan_out_writes_one_event_per_transaction
                task_start_is_followed_by_run_start
                append_writes_one_event
                failure_event_has_reason_and_retry_time
                lifecycle_events_are_in_order
                aggregate_event_has_final_state
                event_has_timestamp_of_its_step
                idle_step_writes_nothing
                clock_set_back_keeps_event_order
            }
            edge_values {
                any_json_survives_as_meta_input_output
                null_differs_from_absence
                any_json_survives_as_item
                inherited_input_keeps_its_digits
                any_text_survives_as_name_kind_key
                kinds_and_keys_compare_exactly
                any_error_survives
                overlong_error_is_truncated_and_nul_replaced
                largest_json_is_kept_whole
                extreme_numbers_are_kept
                extreme_timestamps_are_kept
                names_grow_down_to_deepest_child
            }
        }
    };
}
