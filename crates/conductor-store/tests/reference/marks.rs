//! Marks: who is below one, what a cancel, a deadline and the sweep do.

use super::heads::Follows;
use super::{Head, Reference};
use conductor_model::{CancelCause, State, Task, Timestamp};
use conductor_store::{CancelError, CancelOutcome, ReportedResult};

/// What a cancel comes to, without the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancelling {
    Done,
    Marked,
    Unchanged,
    Decided(State),
    Ended(State),
}

impl From<Result<CancelOutcome, CancelError>> for Cancelling {
    fn from(cancelled: Result<CancelOutcome, CancelError>) -> Self {
        match cancelled {
            Ok(CancelOutcome::Cancelled) => Self::Done,
            Ok(CancelOutcome::Requested) => Self::Marked,
            Ok(CancelOutcome::Unchanged) => Self::Unchanged,
            Ok(CancelOutcome::AlreadySettled(state)) => Self::Decided(state),
            Err(CancelError::AlreadySettled { state, .. }) => Self::Ended(state),
            Err(other) => panic!("no program asks for this: {other}"),
        }
    }
}

/// What somebody sees who looks at a task after a step that may choose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    state: State,
    mark: Option<CancelCause>,
}

impl From<&Task> for Seen {
    fn from(task: &Task) -> Self {
        Self { state: task.state, mark: task.cancel_cause }
    }
}

impl Reference {
    /// The heads above a task, the nearest first.
    pub(crate) fn above(&self, task: usize) -> Vec<Head> {
        let mut above = vec![self.head_of(task)];
        while let Some(Head::Parent(parent)) = above.last().copied() {
            above.push(self.head_of(parent));
        }
        above
    }

    /// Whether something above it is marked.
    pub(crate) fn is_doomed(&self, task: usize) -> bool {
        self.above(task).into_iter().any(|head| self.heading(head).mark.is_some())
    }

    pub(crate) fn is_marked_or_doomed(&self, head: Head) -> bool {
        self.heading(head).mark.is_some() || matches!(head, Head::Parent(task) if self.is_doomed(task))
    }

    pub(crate) fn mark_above(&mut self, parent: usize) {
        self.tasks[parent].heading.mark = Some(CancelCause::Ancestor);
    }

    fn cancel_leaf(&mut self, task: usize, now: Timestamp) {
        self.end(task, &ReportedResult::Cancelled, now);
    }

    pub(crate) fn cancel_task(&mut self, task: usize, now: Timestamp) -> Cancelling {
        let row = &self.tasks[task];
        if row.plan.is_some() {
            return self.cancel_head(Head::Parent(task));
        }
        match row.state {
            State::Cancelled => return Cancelling::Unchanged,
            state if row.is_settled() => return Cancelling::Ended(state),
            _ => {}
        }
        self.cancel_leaf(task, now);
        Cancelling::Done
    }

    pub(crate) fn cancel_head(&mut self, head: Head) -> Cancelling {
        match self.state_of(head) {
            State::Cancelled => return Cancelling::Unchanged,
            state if state.is_terminal() => return Cancelling::Ended(state),
            _ if self.heading(head).mark.is_some() => return Cancelling::Unchanged,
            _ => {}
        }
        if let Follows::End(state) = self.follows(head) {
            self.decide(head);
            return Cancelling::Decided(state);
        }
        self.heading_mut(head).mark = Some(CancelCause::Requested);
        self.decide(head);
        Cancelling::Marked
    }

    /// Marks every run whose deadline passed; how many.
    pub(crate) fn expire(&mut self, only: Option<usize>, now: Timestamp) -> u32 {
        let mut expired = 0;
        for number in (0..self.runs.len()).filter(|run| only.is_none_or(|only| only == *run)) {
            let run = &self.runs[number];
            let is_over = run.deadline.is_some_and(|deadline| deadline <= now);
            if !is_over || run.state.is_terminal() || run.heading.mark.is_some() {
                continue;
            }
            if let Follows::End(_) = self.follows(Head::Run(number)) {
                // It made it in time.
                self.runs[number].deadline = None;
            } else {
                self.runs[number].heading.mark = Some(CancelCause::Deadline);
                expired += 1;
            }
        }
        expired
    }

    /// Takes over what a sweep chose: it may cancel open leaves that are doomed, and mark open parents that are. How many
    /// of both, and how many joins were among the leaves.
    pub(crate) fn follow_sweep(&mut self, seen: &[Seen], only: Option<usize>, now: Timestamp) -> Swept {
        let may = |task: &usize| {
            let row = &self.tasks[*task];
            !row.is_settled() && self.is_doomed(*task) && only.is_none_or(|run| run == row.run)
        };
        let (parents, leaves): (Vec<usize>, Vec<usize>) =
            (0..seen.len()).filter(may).partition(|task| self.tasks[*task].plan.is_some());
        let mut swept = Swept::default();
        for parent in parents {
            if self.tasks[parent].heading.mark.is_none() && seen[parent].mark == Some(CancelCause::Ancestor) {
                self.mark_above(parent);
                swept.parents += 1;
            }
        }
        let (joins, others) = self.chosen(leaves, seen);
        swept.joins = u32::try_from(joins.len()).unwrap();
        swept.leaves = swept.joins + u32::try_from(others.len()).unwrap();
        for leaf in others.into_iter().chain(joins) {
            self.cancel_leaf(leaf, now);
        }
        swept
    }

    /// Takes over what a claim met: it may cancel ready leaves of these kinds that are doomed. How many.
    pub(crate) fn follow_claim(&mut self, seen: &[Seen], kinds: &[&str], now: Timestamp) -> usize {
        let may = |task: &usize| {
            let row = &self.tasks[*task];
            let is_ready = row.plan.is_none() && row.state == State::Pending && row.due_at.is_none();
            is_ready && kinds.contains(&row.kind.as_str()) && self.is_doomed(*task)
        };
        let ready = (0..seen.len()).filter(may).collect();
        let (joins, others) = self.chosen(ready, seen);
        let met: Vec<usize> = others.into_iter().chain(joins).collect();
        for leaf in &met {
            self.cancel_leaf(*leaf, now);
        }
        met.len()
    }

    /// Those that were cancelled: joins, and others.
    fn chosen(&self, leaves: Vec<usize>, seen: &[Seen]) -> (Vec<usize>, Vec<usize>) {
        let cancelled = leaves.into_iter().filter(|leaf| seen[*leaf].state == State::Cancelled);
        cancelled.partition(|leaf| self.tasks[*leaf].is_join())
    }

    /// After the last sweep nothing that is doomed is open, but parents that wait for their decision.
    pub(crate) fn assert_swept(&self, only: Option<usize>) {
        for (number, task) in self.tasks.iter().enumerate() {
            if !task.is_settled() && only.is_none_or(|run| run == task.run) && self.is_doomed(number) {
                let waits = task.plan.is_some() && task.heading.mark.is_some();
                assert!(waits, "{} is left by the sweep", task.name);
            }
        }
    }
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Swept {
    /// Leaves and joins.
    pub(crate) leaves: u32,
    pub(crate) joins: u32,
    pub(crate) parents: u32,
}
