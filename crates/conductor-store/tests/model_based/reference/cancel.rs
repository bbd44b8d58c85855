//! Cancel, deadlines and the sweep.

use super::parents::Next;
use super::{Node, Reference};
use conductor_model::{CancelCause, State, Task, Timestamp};
use conductor_store::{CancelError, CancelOutcome, ReportedResult};

/// The outcome of a cancel, without texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CancelAnswer {
    Cancelled,
    Requested,
    Unchanged,
    /// The cancel settled the node.
    Settled(State),
    AlreadySettled(State),
}

impl From<Result<CancelOutcome, CancelError>> for CancelAnswer {
    fn from(cancelled: Result<CancelOutcome, CancelError>) -> Self {
        match cancelled {
            Ok(CancelOutcome::Cancelled) => Self::Cancelled,
            Ok(CancelOutcome::Requested) => Self::Requested,
            Ok(CancelOutcome::Unchanged) => Self::Unchanged,
            Ok(CancelOutcome::AlreadySettled(state)) => Self::Settled(state),
            Err(CancelError::AlreadySettled { state, .. }) => Self::AlreadySettled(state),
            Err(other) => panic!("unexpected error: {other}"),
        }
    }
}

/// A task as read from the store after a step that may choose its tasks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observed {
    state: State,
    cancel_cause: Option<CancelCause>,
}

impl From<&Task> for Observed {
    fn from(task: &Task) -> Self {
        Self { state: task.state, cancel_cause: task.cancel_cause }
    }
}

impl Reference {
    /// The nodes above a task, the nearest first.
    pub(crate) fn ancestors(&self, task: usize) -> Vec<Node> {
        let mut ancestors = vec![self.parent_of(task)];
        while let Some(Node::Parent(parent)) = ancestors.last().copied() {
            ancestors.push(self.parent_of(parent));
        }
        ancestors
    }

    /// Whether a node above the task is being cancelled.
    pub(crate) fn is_cancelling(&self, task: usize) -> bool {
        self.ancestors(task).into_iter().any(|node| self.data(node).cancel_cause.is_some())
    }

    pub(crate) fn is_cancelling_or_below(&self, node: Node) -> bool {
        self.data(node).cancel_cause.is_some()
            || matches!(node, Node::Parent(task) if self.is_cancelling(task))
    }

    pub(crate) fn cancel_below_ancestor(&mut self, parent: usize) {
        self.tasks[parent].node.cancel_cause = Some(CancelCause::Ancestor);
    }

    fn cancel_leaf(&mut self, task: usize, now: Timestamp) {
        self.end(task, &ReportedResult::Cancelled, now);
    }

    pub(crate) fn cancel_task(&mut self, task: usize, now: Timestamp) -> CancelAnswer {
        let row = &self.tasks[task];
        if row.plan.is_some() {
            return self.cancel_node(Node::Parent(task));
        }
        match row.state {
            State::Cancelled => return CancelAnswer::Unchanged,
            state if row.is_settled() => return CancelAnswer::AlreadySettled(state),
            _ => {}
        }
        self.cancel_leaf(task, now);
        CancelAnswer::Cancelled
    }

    pub(crate) fn cancel_node(&mut self, node: Node) -> CancelAnswer {
        match self.state_of(node) {
            State::Cancelled => return CancelAnswer::Unchanged,
            state if state.is_terminal() => return CancelAnswer::AlreadySettled(state),
            _ if self.data(node).cancel_cause.is_some() => return CancelAnswer::Unchanged,
            _ => {}
        }
        if let Next::Settle(state) = self.next(node) {
            self.decide(node);
            return CancelAnswer::Settled(state);
        }
        self.data_mut(node).cancel_cause = Some(CancelCause::Requested);
        self.decide(node);
        CancelAnswer::Requested
    }

    /// Cancels every run whose deadline passed, and returns their number.
    pub(crate) fn expire(&mut self, only: Option<usize>, now: Timestamp) -> u32 {
        let mut expired = 0;
        for number in (0..self.runs.len()).filter(|run| only.is_none_or(|only| only == *run)) {
            let run = &self.runs[number];
            let has_passed = run.deadline.is_some_and(|deadline| deadline <= now);
            if !has_passed || run.state.is_terminal() || run.node.cancel_cause.is_some() {
                continue;
            }
            if let Next::Settle(_) = self.next(Node::Run(number)) {
                // The run can be settled, so it met its deadline.
                self.runs[number].deadline = None;
            } else {
                self.runs[number].node.cancel_cause = Some(CancelCause::Deadline);
                expired += 1;
            }
        }
        expired
    }

    /// Applies the choice of a sweep. Below a cancelled node it may cancel open leaves, and request the cancel of open
    /// parents.
    pub(crate) fn follow_sweep(
        &mut self,
        observed: &[Observed],
        only: Option<usize>,
        now: Timestamp,
    ) -> Swept {
        let may = |task: &usize| {
            let row = &self.tasks[*task];
            !row.is_settled() && self.is_cancelling(*task) && only.is_none_or(|run| run == row.run)
        };
        let (parents, leaves): (Vec<usize>, Vec<usize>) =
            (0..observed.len()).filter(may).partition(|task| self.tasks[*task].plan.is_some());
        let mut swept = Swept::default();
        for parent in parents {
            if self.tasks[parent].node.cancel_cause.is_none()
                && observed[parent].cancel_cause == Some(CancelCause::Ancestor)
            {
                self.cancel_below_ancestor(parent);
                swept.parents += 1;
            }
        }
        let (joins, others) = self.chosen(leaves, observed);
        swept.joins = u32::try_from(joins.len()).unwrap();
        swept.leaves = swept.joins + u32::try_from(others.len()).unwrap();
        for leaf in others.into_iter().chain(joins) {
            self.cancel_leaf(leaf, now);
        }
        swept
    }

    /// Applies the cancels of a claim: ready leaves of these kinds below a cancelled node. Returns their number.
    pub(crate) fn follow_claim(&mut self, observed: &[Observed], kinds: &[&str], now: Timestamp) -> usize {
        let may = |task: &usize| {
            let row = &self.tasks[*task];
            let is_ready = row.plan.is_none() && row.state == State::Pending && row.due_at.is_none();
            is_ready && kinds.contains(&row.kind.as_str()) && self.is_cancelling(*task)
        };
        let ready = (0..observed.len()).filter(may).collect();
        let (joins, others) = self.chosen(ready, observed);
        let cancelled: Vec<usize> = others.into_iter().chain(joins).collect();
        for leaf in &cancelled {
            self.cancel_leaf(*leaf, now);
        }
        cancelled.len()
    }

    /// The leaves that were cancelled: joins, then others.
    fn chosen(&self, leaves: Vec<usize>, observed: &[Observed]) -> (Vec<usize>, Vec<usize>) {
        let cancelled = leaves.into_iter().filter(|leaf| observed[*leaf].state == State::Cancelled);
        cancelled.partition(|leaf| self.tasks[*leaf].is_join())
    }

    /// Asserts that after the last sweep only parents are open below a cancelled node, and wait for a decision.
    pub(crate) fn assert_swept(&self, only: Option<usize>) {
        for (number, task) in self.tasks.iter().enumerate() {
            if !task.is_settled() && only.is_none_or(|run| run == task.run) && self.is_cancelling(number) {
                let is_waiting = task.plan.is_some() && task.node.cancel_cause.is_some();
                assert!(is_waiting, "{} is left by the sweep", task.name);
            }
        }
    }
}

/// The outcome of a sweep.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Swept {
    /// Cancelled leaves, including joins.
    pub(crate) leaves: u32,
    pub(crate) joins: u32,
    pub(crate) parents: u32,
}
