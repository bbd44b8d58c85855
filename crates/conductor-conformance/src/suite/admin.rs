//! The tests of `admin`: pruning, verification and repair.

/// Generates the tests of `admin`. A part of [`suite`](crate::suite!).
#[doc(hidden)]
#[macro_export]
macro_rules! __admin_tests {
    () => {
        $crate::__conformance_tests! { admin:
            prune {
                settled_run_is_removed_whole
                unsettled_runs_are_kept
                runs_settled_after_cutoff_are_kept
                failed_and_cancelled_runs_are_removed
                transaction_removes_at_most_its_limit
                run_settled_first_is_removed_whole_before_others
                half_removed_run_is_invisible
                half_removed_run_cannot_be_revived
                idempotency_key_and_id_are_free_again
                following_reader_continues_after_prune
                idle_prune_writes_nothing
                joins_and_wide_inputs_are_removed
            }
            verify {
                empty_store_has_no_divergences
                all_rows_are_counted_without_divergences
                one_run_can_be_verified
                unknown_run_is_rejected
                verification_continues_at_cursor
                verification_writes_nothing
                repair_of_intact_store_writes_nothing
            }
        }
    };
}
