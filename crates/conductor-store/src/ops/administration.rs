//! The trait [`Admin`], for every backend: each method runs its operation.

use super::admin::{cancel, prune, revive};
use super::repair;
use super::tx::run;
use super::verify;
use crate::backend::Backend;
use crate::{
    Admin, Cancel, CancelError, CancelOutcome, Prune, PruneOutcome, Repair, RepairReport, Revive,
    ReviveError, ReviveOutcome, StoreError, Verify, VerifyReport,
};

impl<B: Backend> Admin for B {
    fn cancel(&self, request: &Cancel) -> Result<CancelOutcome, CancelError> {
        self.write(request.now, |tx| run(tx, request.now, |t| cancel::cancel(t, request)))
    }

    fn revive(&self, request: &Revive) -> Result<ReviveOutcome, ReviveError> {
        let (Revive::Leaf { now, .. } | Revive::All { now, .. }) = *request;
        self.write(now, |tx| run(tx, now, |t| revive::revive(t, request)))
    }

    fn prune(&self, request: &Prune) -> Result<PruneOutcome, StoreError> {
        prune::prune(self, request)
    }

    fn verify(&self, request: &Verify) -> Result<VerifyReport, StoreError> {
        verify::verify(self, request)
    }

    fn repair(&self, request: &Repair) -> Result<RepairReport, StoreError> {
        repair::repair(self, request)
    }
}
