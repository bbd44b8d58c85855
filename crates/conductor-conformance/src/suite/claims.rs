//! The tests of `claims`: engines, their claims, and the results of attempts.

/// Generates the tests of `claims`. A part of [`suite`](crate::suite!).
#[doc(hidden)]
#[macro_export]
macro_rules! __claims_tests {
    () => {
        $crate::__conformance_tests! { claims:
            engines {
                every_engine_has_unique_key
                registration_and_departure_write_no_event
                live_engine_keeps_claims_when_others_leave
            }
            claim {
                only_ready_tasks_are_claimed
                claim_starts_task_and_counts_attempt
                empty_claim_writes_nothing
                task_is_claimed_once
                task_of_repeated_kind_is_claimed_once
                claim_says_more_while_tasks_are_ready
                every_claim_counts_as_attempt
                claim_contains_task_input_and_settings
                child_is_claimed_with_item_or_inherited_input
                higher_priority_then_older_task_comes_first
                batch_is_ordered_like_single_claims
                each_of_hundred_runs_gets_share
                large_run_does_not_starve_others
                unrequested_kind_does_not_starve_requested_kind
                kinds_share_total_limit
                each_kind_has_its_own_limit
                rotation_continues_after_last_run
                each_kind_has_its_own_rotation
                claim_stopped_by_limits_reports_more
                all_runs_are_visited_while_more_remain
                lease_lasts_as_requested_up_to_one_day
                wide_fan_out_is_claimed_whole
                open_run_is_claimed_while_it_grows
                submitted_task_is_claimed_in_same_transaction
                submit_and_claim_also_claims_older_tasks
                submission_without_new_run_claims_nothing
            }
            renew {
                renewal_changes_only_lease_end
                lease_renewed_in_time_is_kept
                expired_lease_can_be_renewed_before_rescue
                stale_fence_does_not_affect_others
                renewed_lease_is_capped_at_one_day
                oversized_batch_is_rejected
                empty_batch_returns_no_answers
            }
            settle {
                success_stores_output
                failure_is_retried_after_its_delay
                failure_event_has_reason_and_retry_time
                successes_in_sets_are_settled_where_fences_hold
                stale_fence_does_not_affect_others
                duplicate_fence_applies_once
                claim_is_settled_once
                fence_of_older_claim_is_stale
                fence_of_other_or_unknown_task_is_stale
                fence_of_externally_started_task_is_stale
                result_after_lease_counts_before_rescue
                settlement_carries_next_claim
                settlement_of_stale_fences_still_claims
                empty_settlement_and_claim_write_nothing
                settlement_decides_parents_and_runs
                many_parents_and_runs_settle_at_once
                oversized_batch_is_rejected
            }
            unknown_claims {
                claims_unknown_to_engine_are_returned
                settled_and_foreign_claims_are_excluded
                claims_are_returned_in_bounded_pages
            }
            release {
                released_task_is_ready_with_all_retries
                released_task_is_reclaimed_with_new_fence
                stale_fence_does_not_affect_others
                many_parents_and_runs_release_at_once
                oversized_batch_is_rejected
            }
            rescue {
                expired_lease_fails_attempt
                rescued_task_is_retried
                task_losing_every_lease_fails
                lease_from_clock_jump_is_rescued
                small_clock_setback_keeps_lease
                claims_of_dead_engine_are_rescued_at_once
                task_running_without_claim_is_never_rescued
                step_rescues_at_most_its_limit
                step_rescues_lease_that_ended_first
                rescue_decides_parents_and_runs
                longest_lease_ends_with_its_engine
                task_losing_two_leases_is_isolated
                isolated_tasks_are_claimed_one_by_one
                isolated_task_counts_for_limits
                lost_lease_before_last_attempt_isolates_task
                ordinary_failure_resets_lease_losses
                ordinary_failure_ends_isolation
                released_isolated_task_stays_isolated
            }
            siblings {
                retry_runs_beside_older_claims_of_siblings
                released_siblings_keep_attempts_through_revival
                half_of_cancelled_siblings_is_revived
                rescue_fails_only_what_is_still_claimed
            }
            progress {
                recorded_progress_is_shown
                newer_progress_replaces_older
                progress_writes_no_event_and_no_task
                stale_fence_does_not_affect_others
                finished_attempt_shows_nothing
                next_attempt_starts_without_progress
                run_progress_is_paged
                unknown_run_and_task_have_no_progress
                numbers_are_clamped_to_i64_max
                oversized_batch_is_rejected
                empty_batch_writes_nothing
            }
        }
    };
}
