//! Applies one operation of a program to the store and to the reference.

use crate::harness::Harness;
use crate::programs::Op;

impl Harness {
    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Submit { roots, open, retries, options, deadline_ms } => {
                self.submit(roots, *open, *retries, options, *deadline_ms);
            }
            Op::SubmitAndClaim(leaves, claim) => self.submit_and_claim(*leaves, claim),
            Op::AppendItems { task, before, count } => self.append_items(*task, *before, *count),
            Op::AppendRoots { run, before, roots } => self.append_roots(*run, *before, roots),
            Op::Seal { task, off_by } => self.seal(*task, *off_by),
            Op::SealRun { run, off_by } => self.seal_run(*run, *off_by),
            Op::FanOut { run, ids } => self.fan_out(*run, *ids),
            Op::Report { task, reports } => self.report(*task, reports),
            Op::Retry { run, limit } => self.retry(*run, *limit),
            Op::Promote { run, limit } => self.promote(*run, *limit),
            Op::Aggregate { run, limit } => self.aggregate(*run, *limit),
            Op::Back { ms } => self.now = self.now.minus_millis(*ms),
            Op::Wait { ms } => self.now = self.now.plus_millis(*ms),
            Op::Reopen => self.reopen(),
            other => self.apply_engine(other),
        }
    }

    fn apply_engine(&mut self, op: &Op) {
        match op {
            Op::Claim(op) => self.claim(op),
            Op::Settle { results, next } => self.settle(results, next.as_ref()),
            Op::SettleHeld { first, results } => self.settle_held(*first, results),
            Op::Renew { named, lease_ms } => self.renew(named, *lease_ms),
            Op::Release { named } => self.release(named),
            Op::Rescue { limit } => self.rescue(*limit),
            Op::Replace { engine } => self.replace_engine(*engine),
            other => self.apply_operator(other),
        }
    }

    fn apply_operator(&mut self, op: &Op) {
        match op {
            Op::CancelTask { task, among, is_swept } => {
                self.cancel_task(*task, *among);
                if *is_swept {
                    self.sweep(None, 2, true);
                }
            }
            Op::CancelRun { run } => self.cancel_run(*run),
            Op::Sweep { run, limit, until_done } => self.sweep(*run, *limit, *until_done),
            Op::Expire { run, limit } => self.expire(*run, *limit),
            Op::ReviveLeaf { task, among_all } => self.revive_leaf(*task, *among_all),
            Op::ReviveAll { node, among_all, which, limit } => {
                self.revive_all(*node, *among_all, *which, *limit);
            }
            other => unreachable!("{other:?}"),
        }
    }
}
