//! Operates a store.

use crate::{
    Cancel, CancelError, CancelOutcome, Prune, PruneOutcome, Repair, RepairReport, Revive, ReviveError,
    ReviveOutcome, StoreError, Verify, VerifyReport,
};

/// The requests of operators and tools.
///
/// Each method is one bounded transaction, which takes effect completely or not at all. [`verify`](Admin::verify) and
/// [`repair`](Admin::repair) use several.
pub trait Admin: Send + Sync {
    /// Cancels a leaf, a parent with all tasks below it, or a run.
    ///
    /// # Errors
    /// [`CancelError`]; nothing was written. [`CancelError::AlreadySettled`] if the task or run is settled.
    fn cancel(&self, request: &Cancel) -> Result<CancelOutcome, CancelError>;

    /// Makes failed or cancelled leaves PENDING again, and reopens their ancestors.
    ///
    /// # Errors
    /// [`ReviveError`]; nothing was written.
    fn revive(&self, request: &Revive) -> Result<ReviveOutcome, ReviveError>;

    /// Deletes settled runs, and frees their space.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written.
    fn prune(&self, request: &Prune) -> Result<PruneOutcome, StoreError>;

    /// Recomputes states and counts from the events, and compares them with the stored rows. It only reads, and other
    /// processes may work meanwhile.
    ///
    /// # Errors
    /// [`StoreError`]
    fn verify(&self, request: &Verify) -> Result<VerifyReport, StoreError>;

    /// Repairs rows that differ from the events, run by run, in as many bounded transactions as needed. Other processes may
    /// work meanwhile.
    ///
    /// # Errors
    /// [`StoreError`]; earlier repairs of the same call remain.
    fn repair(&self, request: &Repair) -> Result<RepairReport, StoreError>;
}
