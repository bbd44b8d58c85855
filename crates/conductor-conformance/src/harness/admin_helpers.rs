//! What people ask for, and the steps that follow from it.

use super::World;
use conductor_model::{Join, RunId, State, Task, TaskDraft, TaskId};
use conductor_store::{
    Cancel, CancelError, CancelOutcome, Claim, NodeId, Revive, ReviveError, ReviveFilter, ReviveOutcome,
    Step, StepOutcome, SweepOutcome,
};

/// Cancels and revivals.
impl World<'_> {
    pub(crate) fn try_cancel(&self, target: NodeId) -> Result<CancelOutcome, CancelError> {
        self.store().cancel(&Cancel { target, reason: None, now: self.now() })
    }

    #[track_caller]
    pub(crate) fn cancel_task(&self, task: TaskId) -> CancelOutcome {
        self.try_cancel(NodeId::Task(task)).expect("a cancel")
    }

    #[track_caller]
    pub(crate) fn cancel_run(&self, run: RunId) -> CancelOutcome {
        self.try_cancel(NodeId::Run(run)).expect("a cancel")
    }

    /// A cancel that is refused, because its target has ended in that state.
    #[track_caller]
    pub(crate) fn assert_ended(&self, target: NodeId, state: State) {
        let refused = self.writes_nothing(|| self.try_cancel(target));
        assert!(
            matches!(refused, Err(CancelError::AlreadySettled { target: t, state: s }) if (t, s) == (target, state)),
            "{refused:?}"
        );
    }

    pub(crate) fn try_revive(&self, task: TaskId) -> Result<ReviveOutcome, ReviveError> {
        self.store().revive(&Revive::leaf(task, self.now()))
    }

    /// Revives one leaf; how many reopened.
    #[track_caller]
    pub(crate) fn revive(&self, task: TaskId) -> u32 {
        let revived = self.try_revive(task).expect("a revival");
        assert_eq!((revived.tasks, revived.skipped, revived.next), (1, 0, None));
        revived.reopened
    }

    /// A revival that is refused writes nothing; in words why.
    #[track_caller]
    pub(crate) fn revive_refused(&self, task: TaskId) -> ReviveError {
        self.writes_nothing(|| self.try_revive(task)).expect_err("a refusal")
    }

    /// Revives everything below, in transactions that look at so many tasks; what they came to.
    pub(crate) fn revive_all(&self, below: NodeId, which: ReviveFilter, limit: u32) -> ReviveOutcome {
        let (mut all, mut after) = (ReviveOutcome::default(), None);
        loop {
            let request = Revive::All { below, which, cursor: after, limit, now: self.now() };
            let page = self.store().revive(&request).expect("a revival");
            all.tasks += page.tasks;
            all.reopened += page.reopened;
            all.skipped += page.skipped;
            if page.next.is_none() {
                return all;
            }
            after = page.next;
        }
    }
}

/// Sweeps and deadlines.
impl World<'_> {
    pub(crate) fn sweep_step(&self, step: &Step) -> SweepOutcome {
        self.store().sweep(step).expect("a sweep")
    }

    /// Sweeps until nothing is left; how many tasks were cancelled, and how many parents marked.
    pub(crate) fn sweep(&self) -> (u32, u32) {
        let (mut tasks, mut parents) = (0, 0);
        loop {
            let done = self.sweep_step(&self.step());
            tasks += done.tasks;
            parents += done.parents;
            if !done.more {
                return (tasks, parents);
            }
        }
    }

    pub(crate) fn expire_step(&self, step: &Step) -> StepOutcome {
        self.store().expire(step).expect("a look at deadlines")
    }

    /// Marks the runs whose deadline passed; how many.
    pub(crate) fn expire(&self) -> u32 {
        self.expire_step(&self.step()).changed
    }
}

/// Families and joins.
impl World<'_> {
    /// Submits a run with this parent and creates its children.
    pub(crate) fn family_of(&self, parent: TaskDraft) -> (RunId, TaskId, Vec<TaskId>) {
        let (run, parent) = self.one(parent);
        self.fan_out();
        (run, parent, self.child_ids(parent))
    }

    pub(crate) fn child_ids(&self, parent: TaskId) -> Vec<TaskId> {
        self.children(parent).iter().map(|child| child.id).collect()
    }

    /// Ends a leaf in that state, by a report.
    #[track_caller]
    pub(crate) fn end(&self, leaf: TaskId, state: State) {
        match state {
            State::Succeeded => self.succeed(leaf),
            State::Failed => self.fail_for_good(leaf),
            _ => self.cancel(leaf),
        }
    }

    /// The join of a parent or a run, if it came into being.
    pub(crate) fn join(&self, head: NodeId) -> Option<Task> {
        let join: Option<Join> = match head {
            NodeId::Task(id) => self.task(id).join,
            NodeId::Run(id) => self.run(id).join,
        };
        self.store().task(join?.id).expect("an answer")
    }

    /// The id of the join of a parent or a run, which came into being.
    #[track_caller]
    pub(crate) fn join_id(&self, head: NodeId) -> TaskId {
        self.join(head).expect("a join").id
    }

    /// The states of tasks, in order.
    pub(crate) fn states(&self, tasks: &[TaskId]) -> Vec<State> {
        tasks.iter().map(|task| self.state(*task)).collect()
    }

    pub(crate) fn head_state(&self, head: NodeId) -> State {
        match head {
            NodeId::Task(id) => self.state(id),
            NodeId::Run(id) => self.run_state(id),
        }
    }

    /// A claim that finds nothing to do.
    #[track_caller]
    pub(crate) fn assert_nothing_to_claim(&self, claim: &Claim) {
        let claimed = self.store().claim(claim).expect("a claim").tasks;
        assert_eq!(claimed.len(), 0, "{claimed:?}");
    }
}
