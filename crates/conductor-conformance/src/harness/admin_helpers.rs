//! Cancels and revivals.

use super::Harness;
use conductor_model::{RunId, State, TaskId};
use conductor_store::{
    Cancel, CancelError, CancelOutcome, NodeId, Revive, ReviveError, ReviveFilter, ReviveOutcome,
};

/// Cancels.
impl Harness<'_> {
    pub(crate) fn try_cancel(&self, target: NodeId) -> Result<CancelOutcome, CancelError> {
        self.store().cancel(&Cancel { target, reason: None, now: self.now() })
    }

    /// Cancels with a reason.
    pub(crate) fn cancel_because(&self, target: NodeId, reason: &str) -> CancelOutcome {
        let cancel = Cancel { target, reason: None, now: self.now() };
        self.store().cancel(&cancel.reason(reason)).expect("cancel succeeds")
    }

    #[track_caller]
    pub(crate) fn cancel_task(&self, task: TaskId) -> CancelOutcome {
        self.try_cancel(NodeId::Task(task)).expect("cancel succeeds")
    }

    #[track_caller]
    pub(crate) fn cancel_run(&self, run: RunId) -> CancelOutcome {
        self.try_cancel(NodeId::Run(run)).expect("cancel succeeds")
    }

    /// Checks that a cancel is rejected because its target is settled in the given state.
    #[track_caller]
    pub(crate) fn assert_already_settled(&self, target: NodeId, state: State) {
        let rejected = self.writes_nothing(|| self.try_cancel(target));
        assert!(
            matches!(rejected, Err(CancelError::AlreadySettled { target: t, state: s }) if (t, s) == (target, state)),
            "{rejected:?}"
        );
    }
}

/// Revivals.
impl Harness<'_> {
    pub(crate) fn try_revive(&self, task: TaskId) -> Result<ReviveOutcome, ReviveError> {
        self.store().revive(&Revive::leaf(task, self.now()))
    }

    /// Revives one leaf, and returns how many ancestors reopened.
    #[track_caller]
    pub(crate) fn revive(&self, task: TaskId) -> u32 {
        let revived = self.try_revive(task).expect("revive succeeds");
        assert_eq!((revived.tasks, revived.skipped, revived.next), (1, 0, None));
        revived.reopened
    }

    /// Checks that a revival is rejected and writes nothing, and returns the error.
    #[track_caller]
    pub(crate) fn revive_error(&self, task: TaskId) -> ReviveError {
        self.writes_nothing(|| self.try_revive(task)).expect_err("revive is rejected")
    }

    /// Revives all leaves below a node, in transactions of at most `limit` tasks. Returns the totals.
    pub(crate) fn revive_all(&self, below: NodeId, which: ReviveFilter, limit: u32) -> ReviveOutcome {
        let (mut totals, mut cursor) = (ReviveOutcome::default(), None);
        loop {
            let request = Revive::All { below, which, cursor, limit, now: self.now() };
            let page = self.store().revive(&request).expect("revive succeeds");
            totals.tasks += page.tasks;
            totals.reopened += page.reopened;
            totals.skipped += page.skipped;
            if page.next.is_none() {
                return totals;
            }
            cursor = page.next;
        }
    }
}
