//! The tests of `claims`: engines, their claims, and the results of attempts.

/// Generates the tests of `claims`. A part of [`suite`](crate::suite!).
#[doc(hidden)]
#[macro_export]
macro_rules! __claims_tests {
    () => {
        $crate::__conformance_tests! { claims:
            engines {
                every_engine_has_a_place_of_its_own
                an_engine_that_comes_or_goes_is_no_event
                an_engine_that_lives_keeps_its_claims_whoever_comes_and_goes
            }
            claim {
                what_is_ready_is_claimed_and_nothing_else
                a_claim_starts_its_task_and_counts_an_attempt
                a_claim_of_nothing_writes_nothing
                a_task_is_claimed_once
                every_claim_is_an_attempt
                a_claim_says_what_the_task_works_on
                a_child_is_claimed_with_its_item_or_its_parents_input
                the_higher_priority_comes_first_and_then_the_older_task
                what_is_claimed_at_once_is_in_the_same_order
                each_of_a_hundred_runs_gets_its_share
                a_run_of_many_never_starves_another
                a_kind_that_is_not_wanted_starves_none_that_is
                kinds_share_a_limit
                a_kind_has_a_limit_of_its_own
                a_claim_goes_on_behind_the_run_at_which_the_last_one_stopped
                each_kind_has_its_own_turn
                a_claim_that_its_limits_ended_says_that_there_may_be_more
                many_runs_are_all_visited_while_there_is_more
                a_lease_lasts_as_long_as_it_is_asked_for_and_at_most_a_day
                a_wide_fan_out_is_claimed_whole
                an_open_run_is_worked_on_while_it_grows
                what_is_submitted_is_claimed_in_the_same_transaction
                a_claim_with_a_submission_takes_what_any_claim_would
                nothing_is_claimed_with_what_is_not_submitted
            }
            renew {
                a_renewal_moves_the_end_of_the_lease_and_nothing_else
                a_lease_that_is_renewed_in_time_is_never_lost
                a_lease_that_nobody_took_back_may_be_renewed_after_its_end
                a_stale_fence_harms_no_neighbour
                no_renewed_lease_is_longer_than_a_day
                more_fences_than_a_transaction_takes_are_refused
                no_fences_get_no_answers
            }
            settle {
                a_success_keeps_its_output
                a_failure_is_retried_after_its_wait
                a_failure_tells_why_and_whether_it_is_final
                a_stale_fence_is_refused_for_that_item_alone
                a_fence_that_is_named_twice_applies_once
                a_claim_is_settled_once
                a_fence_from_before_a_newer_claim_never_wins
                a_fence_of_nothing_or_of_another_task_is_stale
                a_fence_of_a_task_that_runs_without_a_claim_is_stale
                a_result_that_comes_after_the_lease_counts_unless_it_was_taken_back
                a_settlement_carries_the_next_claim
                a_settlement_of_stale_fences_still_claims
                nothing_to_settle_and_nothing_to_claim_writes_nothing
                what_is_settled_decides_parents_and_runs
                claims_of_many_parents_and_runs_are_settled_at_once
                more_endings_than_a_transaction_takes_are_refused
            }
            unknown_claims {
                what_an_engine_holds_and_does_not_know_is_told
                what_is_over_or_held_by_others_is_not_held
                what_is_held_comes_in_bounded_parts
            }
            release {
                a_released_task_is_ready_with_all_its_retries
                a_released_task_is_claimed_again_under_a_new_fence
                a_stale_fence_harms_no_neighbour
                tasks_of_many_parents_and_runs_are_released_at_once
                more_fences_than_a_transaction_takes_are_refused
            }
            rescue {
                a_lease_that_is_over_is_taken_back
                a_rescued_task_is_retried_as_usual
                a_task_that_loses_every_lease_fails_in_the_end
                a_lease_of_a_clock_that_jumped_is_taken_back
                a_clock_that_is_set_back_a_little_takes_no_lease
                what_an_engine_holds_that_is_gone_is_taken_back_at_once
                a_task_that_runs_without_a_claim_is_never_rescued
                a_step_takes_back_at_most_as_many_as_its_limit
                a_rescue_settles_what_its_tasks_decide
                the_longest_lease_outlives_no_engine
                a_task_that_lost_two_leases_in_a_row_is_run_alone
                tasks_that_are_run_alone_are_claimed_one_at_a_time
                a_task_that_is_run_alone_counts_for_the_limits
                a_task_with_one_chance_left_is_run_alone
                an_attempt_that_fails_by_itself_ends_the_row_of_lost_leases
                a_lonely_task_that_fails_by_itself_is_run_with_the_others_again
                a_lonely_task_that_is_released_stays_alone
            }
            progress {
                what_is_reported_is_shown
                the_newest_word_replaces_the_one_before
                progress_is_no_event_and_changes_no_task
                a_stale_fence_is_left_out_alone
                an_attempt_that_is_over_shows_nothing
                the_next_attempt_begins_with_nothing
                the_progress_of_a_run_is_listed_page_by_page
                what_is_unknown_has_no_progress
                the_greatest_numbers_are_kept_as_far_as_there_is_room
                more_items_than_a_transaction_takes_are_refused
                no_items_write_nothing
            }
        }
    };
}
