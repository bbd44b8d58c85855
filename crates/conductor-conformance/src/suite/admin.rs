//! The tests of `admin`: pruning, verification and repair.

/// Generates the tests of `admin`. A part of [`suite`](crate::suite!).
#[doc(hidden)]
#[macro_export]
macro_rules! __admin_tests {
    () => {
        $crate::__conformance_tests! { admin:
            prune {
                a_settled_run_goes_with_all_that_belongs_to_it
                what_is_not_settled_stays
                what_ended_since_then_stays
                failed_and_cancelled_runs_go_too
                a_transaction_removes_at_most_as_many_rows_as_its_limit
                a_run_that_is_half_gone_is_found_by_nobody
                nothing_brings_a_run_back_that_is_half_gone
                an_idempotency_key_and_an_id_are_free_again
                a_reader_that_follows_goes_on_after_a_prune
                an_idle_prune_writes_nothing
                joins_and_wide_inputs_go_with_their_run
            }
            verify {
                an_empty_store_is_in_order
                everything_is_counted_and_nothing_diverges
                one_run_can_be_verified
                an_unknown_run_is_refused
                a_verification_goes_on_where_the_last_call_stopped
                a_verification_writes_nothing
                a_repair_of_what_is_in_order_writes_nothing
            }
        }
    };
}
