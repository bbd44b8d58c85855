//! A plain in-memory store without counters, cursors and indexes. It computes everything from scratch, and answers as
//! the real stores should.

mod cancel;
mod claims;
mod parents;
mod revive;

pub(crate) use cancel::{CancelAnswer, Observed};
pub(crate) use claims::Lease;
pub(crate) use parents::{Node, NodeData};
pub(crate) use revive::{ReviveCounts, ReviveRejection};

use conductor_model::{LeaseLosses, NewRun, NewTask, State, Timestamp};
use conductor_store::{AppendError, ReportOutcome, ReportRejection, ReportedResult, SealError};
use std::collections::BTreeMap;

/// The children that a parent gets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Plan {
    /// `total` children. A child is a leaf unless `nested` has its number of children.
    Sealed { total: u32, nested: Vec<Option<u32>> },
    /// The number is not known yet.
    Open,
}

#[derive(Clone, Debug)]
pub(crate) struct RefTask {
    pub(crate) run: usize,
    pub(crate) parent: Option<usize>,
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) state: State,
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) attempt: u32,
    pub(crate) retry_count: u32,
    pub(crate) max_retries: u32,
    pub(crate) output: Option<String>,
    pub(crate) last_error: Option<String>,
    pub(crate) plan: Option<Plan>,
    pub(crate) lease: Option<Lease>,
    pub(crate) lease_losses: Option<LeaseLosses>,
    /// Not used on a leaf.
    pub(crate) node: NodeData,
}

impl RefTask {
    pub(crate) fn is_settled(&self) -> bool {
        self.state.is_terminal() && !(self.state == State::Failed && self.due_at.is_some())
    }

    pub(crate) fn is_join(&self) -> bool {
        self.index == 0
    }
}

#[derive(Clone, Debug)]
pub(crate) struct RefRun {
    pub(crate) state: State,
    /// `None` while open.
    pub(crate) total: Option<u32>,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) node: NodeData,
}

/// Runs and tasks in the order of their creation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reference {
    pub(crate) runs: Vec<RefRun>,
    pub(crate) tasks: Vec<RefTask>,
    /// The run at which the last fan-out stopped.
    fan_out_cursor: Option<usize>,
    /// Whether the policy of a parent applies to a failure only in the next aggregate.
    counts_later: bool,
}

/// The outcome of a report, without texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Applied,
    Unchanged,
    /// With the attempt of the task.
    Stale(u32),
    Parent,
    Claimed,
    CancelInProgress,
    /// The state machine does not allow the transition.
    Illegal,
}

impl From<&ReportOutcome> for Verdict {
    fn from(reported: &ReportOutcome) -> Self {
        match reported {
            ReportOutcome::Applied => Self::Applied,
            ReportOutcome::Unchanged => Self::Unchanged,
            ReportOutcome::Stale { attempt } => Self::Stale(*attempt),
            ReportOutcome::Rejected(ReportRejection::IsParent(_)) => Self::Parent,
            ReportOutcome::Rejected(ReportRejection::Claimed(_)) => Self::Claimed,
            ReportOutcome::Rejected(ReportRejection::CancelInProgress(_)) => Self::CancelInProgress,
            ReportOutcome::Rejected(ReportRejection::Illegal { .. }) => Self::Illegal,
            ReportOutcome::Rejected(other) => panic!("unexpected rejection: {other}"),
        }
    }
}

/// The error of an append or a seal, without texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    IndexZero,
    /// With the expected index.
    IndexGap(u32),
    NotAParent,
    Sealed,
    AlreadySettled,
    CancelInProgress,
    /// With the sealed number of children.
    AlreadySealed(u32),
    /// With the existing number of children.
    CountMismatch(u32),
}

impl From<AppendError> for Rejection {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::IndexZero => Self::IndexZero,
            AppendError::IndexGap { expected, .. } => Self::IndexGap(expected),
            AppendError::NotAParent(_) => Self::NotAParent,
            AppendError::Sealed(_) => Self::Sealed,
            AppendError::AlreadySettled(_) => Self::AlreadySettled,
            AppendError::CancelInProgress(_) => Self::CancelInProgress,
            other => panic!("unexpected error: {other:?}"),
        }
    }
}

impl From<SealError> for Rejection {
    fn from(error: SealError) -> Self {
        match error {
            SealError::NotAParent(_) => Self::NotAParent,
            SealError::AlreadySealed { sealed, .. } => Self::AlreadySealed(sealed),
            SealError::CountMismatch { exist, .. } => Self::CountMismatch(exist),
            SealError::AlreadySettled(_) => Self::AlreadySettled,
            SealError::CancelInProgress(_) => Self::CancelInProgress,
            other => panic!("unexpected error: {other:?}"),
        }
    }
}

/// The outcome of one fan-out step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FanOutCounts {
    pub(crate) parents: u32,
    pub(crate) children: u32,
    pub(crate) more: bool,
}

impl Reference {
    /// A reference for a store that counts at once, or later.
    pub(crate) fn new(counts_later: bool) -> Self {
        Self { counts_later, ..Self::default() }
    }

    pub(crate) fn submit(&mut self, run: &NewRun, plans: Vec<Option<Plan>>, now: Timestamp) {
        self.runs.push(RefRun {
            state: State::Pending,
            total: None,
            deadline: run.deadline_ms().map(|ms| now.plus_millis(ms)),
            node: NodeData::new(run.policy(), run.join()),
        });
        let number = self.runs.len() - 1;
        self.add_roots(number, run.tasks(), plans);
        if !run.is_open() {
            self.runs[number].total = Some(u32::try_from(run.tasks().len()).unwrap());
        }
    }

    pub(crate) fn add_roots(&mut self, run: usize, tasks: &[NewTask], plans: Vec<Option<Plan>>) {
        for (task, plan) in tasks.iter().zip(plans) {
            let index = u32::try_from(self.roots(run).count()).unwrap() + 1;
            self.tasks.push(RefTask {
                run,
                parent: None,
                index,
                name: task.name().to_string(),
                kind: task.kind().to_string(),
                state: State::Pending,
                due_at: task.due_at(),
                attempt: 0,
                retry_count: 0,
                max_retries: task.max_retries().get(),
                output: None,
                last_error: None,
                plan,
                lease: None,
                lease_losses: None,
                node: NodeData::new(task.policy(), task.join()),
            });
        }
    }

    pub(crate) fn roots(&self, run: usize) -> impl Iterator<Item = &RefTask> {
        self.tasks.iter().filter(move |task| task.run == run && task.parent.is_none() && !task.is_join())
    }

    pub(crate) fn children(&self, parent: usize) -> impl Iterator<Item = &RefTask> {
        self.tasks.iter().filter(move |task| task.parent == Some(parent) && !task.is_join())
    }

    fn start(&mut self, task: usize) {
        let run = self.tasks[task].run;
        let task = &mut self.tasks[task];
        task.state = State::Running;
        task.due_at = None;
        if task.plan.is_none() {
            task.attempt += 1;
        }
        if self.runs[run].state == State::Pending {
            self.runs[run].state = State::Running;
        }
    }

    fn add_child(&mut self, parent: usize, nested: Option<u32>) {
        let row = self.tasks[parent].clone();
        let index = u32::try_from(self.children(parent).count()).unwrap() + 1;
        let plan = nested.map(|total| Plan::Sealed { total, nested: Vec::new() });
        let (name, state, due_at, attempt) = (format!("{}#{index}", row.name), State::Pending, None, 0);
        let node = NodeData::default();
        self.tasks.push(RefTask {
            parent: Some(parent),
            index,
            name,
            state,
            due_at,
            attempt,
            plan,
            node,
            ..row
        });
    }

    /// The parents with missing children, by run.
    fn incomplete(&self, only: Option<usize>) -> BTreeMap<usize, Vec<usize>> {
        let mut runs = BTreeMap::<usize, Vec<usize>>::new();
        for (i, task) in self.tasks.iter().enumerate() {
            if only.is_none_or(|run| run == task.run) && self.lacks_children(i) {
                runs.entry(task.run).or_default().push(i);
            }
        }
        runs
    }

    /// One step with `budget` ids; without ids it does nothing. Each run gets an equal share, and the runs behind the
    /// cursor come first.
    pub(crate) fn fan_out(&mut self, only: Option<usize>, budget: u32) -> FanOutCounts {
        let mut incomplete = self.incomplete(only);
        let behind = self.fan_out_cursor.map_or_else(BTreeMap::new, |run| incomplete.split_off(&(run + 1)));
        let runs: Vec<_> = behind.into_iter().chain(incomplete).take(budget as usize).collect();
        let (sharers, mut left) = (u32::try_from(runs.len()).unwrap(), budget);
        let mut done = FanOutCounts::default();
        for ((run, parents), sharers) in runs.into_iter().zip((1..=sharers).rev()) {
            if left == 0 {
                break;
            }
            let share = left.div_ceil(sharers).max(budget / 8).min(left);
            left = self.fan_out_run(&parents, (share, budget / 2), left, &mut done);
            self.fan_out_cursor = Some(run);
        }
        done.more |= done.children > 0 && !self.incomplete(only).is_empty();
        done
    }

    /// Creates children of these parents until the share of the run is used; at most `items` of a list at once. Returns the
    /// rest of the budget.
    fn fan_out_run(
        &mut self,
        parents: &[usize],
        (mut share, items): (u32, u32),
        mut left: u32,
        done: &mut FanOutCounts,
    ) -> u32 {
        for parent in parents.iter().copied() {
            if share == 0 {
                break;
            }
            if self.is_cancelling(parent) {
                self.cancel_below_ancestor(parent);
                done.more = true;
                continue;
            }
            done.parents += 1;
            if self.tasks[parent].state == State::Pending {
                self.start(parent);
            }
            let Some(Plan::Sealed { nested, .. }) = self.tasks[parent].plan.clone() else { continue };
            let max = if nested.is_empty() { share } else { share.max(items).min(left) };
            let mut taken = 0;
            while taken < max && self.lacks_children(parent) {
                let fanout = nested.get(self.children(parent).count()).copied().flatten();
                taken += if fanout.is_some() { 2 } else { 1 };
                self.add_child(parent, fanout);
                done.children += 1;
            }
            (share, left) = (share.saturating_sub(taken), left.saturating_sub(taken));
        }
        left
    }

    fn lacks_children(&self, task: usize) -> bool {
        let parent = &self.tasks[task];
        let Some(Plan::Sealed { total, .. }) = parent.plan else { return false };
        let may =
            parent.due_at.is_none() && !parent.state.is_terminal() && parent.node.cancel_cause.is_none();
        may && self.children(task).count() < total as usize
    }

    /// Appends children, and returns the number of new ones.
    pub(crate) fn append(&mut self, parent: usize, first_index: u32, given: u32) -> Result<u32, Rejection> {
        let task = &self.tasks[parent];
        let exist = u32::try_from(self.children(parent).count()).unwrap();
        let new = match &task.plan {
            _ if first_index == 0 => return Err(Rejection::IndexZero),
            None => return Err(Rejection::NotAParent),
            Some(plan) => new_of(exist, first_index, given, *plan != Plan::Open, task.state)?,
        };
        if new > 0 && self.is_cancelling_or_below(Node::Parent(parent)) {
            return Err(Rejection::CancelInProgress);
        }
        let task = &self.tasks[parent];
        if new > 0 && task.state == State::Pending {
            self.start(parent);
        }
        (0..new).for_each(|_| self.add_child(parent, None));
        Ok(new)
    }

    /// Returns the number of root tasks that an append adds.
    pub(crate) fn append_roots(&self, run: usize, first_index: u32, given: u32) -> Result<u32, Rejection> {
        let exist = u32::try_from(self.roots(run).count()).unwrap();
        let RefRun { state, total, node, .. } = &self.runs[run];
        if first_index == 0 {
            return Err(Rejection::IndexZero);
        }
        let new = new_of(exist, first_index, given, total.is_some(), *state)?;
        if new > 0 && node.cancel_cause.is_some() { Err(Rejection::CancelInProgress) } else { Ok(new) }
    }

    /// Seals a parent, unless it is sealed with this number already.
    pub(crate) fn seal(&mut self, parent: usize, given: u32) -> Result<(), Rejection> {
        let exist = u32::try_from(self.children(parent).count()).unwrap();
        let task = &self.tasks[parent];
        let total = match task.plan {
            None => return Err(Rejection::NotAParent),
            Some(Plan::Sealed { total, .. }) => Some(total),
            Some(Plan::Open) => None,
        };
        if may_seal(total, task.state, exist, given)? {
            if self.is_cancelling_or_below(Node::Parent(parent)) {
                return Err(Rejection::CancelInProgress);
            }
            self.tasks[parent].plan = Some(Plan::Sealed { total: given, nested: Vec::new() });
        }
        Ok(())
    }

    /// Seals a run, unless it is sealed with this number already.
    pub(crate) fn seal_run(&mut self, run: usize, given: u32) -> Result<(), Rejection> {
        let exist = u32::try_from(self.roots(run).count()).unwrap();
        let run = &mut self.runs[run];
        if may_seal(run.total, run.state, exist, given)? {
            if run.node.cancel_cause.is_some() {
                return Err(Rejection::CancelInProgress);
            }
            run.total = Some(given);
        }
        Ok(())
    }

    pub(crate) fn report(
        &mut self,
        task: usize,
        attempt: Option<u32>,
        outcome: &ReportedResult,
        now: Timestamp,
    ) -> Verdict {
        let row = self.tasks[task].clone();
        if row.plan.is_some() {
            return Verdict::Parent;
        }
        if row.lease.is_some() {
            return Verdict::Claimed;
        }
        let expected = if row.state == State::Pending { row.attempt + 1 } else { row.attempt };
        if attempt.is_some_and(|attempt| attempt != expected) {
            return Verdict::Stale(row.attempt);
        }
        let same = match (row.state, outcome) {
            (State::Running, ReportedResult::Started) | (State::Cancelled, ReportedResult::Cancelled) => true,
            (State::Succeeded, ReportedResult::Succeeded { output }) => {
                row.output.as_deref() == output.as_ref().map(conductor_model::Json::as_str)
            }
            (State::Failed, ReportedResult::Failed { error, .. }) => {
                row.last_error.as_deref() == Some(error.as_str())
            }
            _ => false,
        };
        if same {
            return Verdict::Unchanged;
        }
        if *outcome == ReportedResult::Started && self.is_cancelling(task) {
            return Verdict::CancelInProgress;
        }
        let is_retry_due = row.state == State::Failed && row.due_at.is_some();
        let legal = matches!(row.state, State::Pending)
            || (row.state == State::Running && *outcome != ReportedResult::Started)
            || (is_retry_due && *outcome == ReportedResult::Cancelled);
        if !legal {
            return Verdict::Illegal;
        }
        if row.state == State::Pending && *outcome != ReportedResult::Cancelled {
            self.start(task);
        }
        self.end(task, outcome, now);
        Verdict::Applied
    }

    fn end(&mut self, number: usize, outcome: &ReportedResult, now: Timestamp) {
        let task = &mut self.tasks[number];
        if *outcome != ReportedResult::Started {
            (task.lease, task.lease_losses) = (None, None);
        }
        match outcome {
            ReportedResult::Started => {}
            ReportedResult::Succeeded { output } => {
                task.state = State::Succeeded;
                task.output = output.as_ref().map(ToString::to_string);
            }
            ReportedResult::Failed { error, retryable, retry_after_ms } => {
                task.state = State::Failed;
                task.last_error = Some(error.to_string());
                let again = *retryable && task.retry_count < task.max_retries;
                task.due_at = again.then(|| now.plus_millis(retry_after_ms.unwrap_or(0)));
            }
            ReportedResult::Cancelled => {
                task.state = State::Cancelled;
                task.due_at = None;
            }
        }
        self.ended(number);
    }

    pub(crate) fn retry(&mut self, only: Option<usize>, now: Timestamp) -> u32 {
        let mut retried = 0;
        for task in self.tasks.iter_mut().filter(|task| only.is_none_or(|run| run == task.run)) {
            if task.state == State::Failed && task.due_at.is_some_and(|due| due <= now) {
                task.state = State::Pending;
                task.due_at = None;
                task.retry_count += 1;
                retried += 1;
            }
        }
        retried
    }

    pub(crate) fn promote(&mut self, only: Option<usize>, now: Timestamp) -> u32 {
        let mut promoted = 0;
        for task in self.tasks.iter_mut().filter(|task| only.is_none_or(|run| run == task.run)) {
            if task.state == State::Pending && task.due_at.is_some_and(|due| due <= now) {
                task.due_at = None;
                promoted += 1;
            }
        }
        promoted
    }
}

/// Returns how many of the given children are new.
fn new_of(exist: u32, first_index: u32, given: u32, sealed: bool, state: State) -> Result<u32, Rejection> {
    let new = (first_index + given).saturating_sub(exist + 1);
    match () {
        () if first_index > exist + 1 => Err(Rejection::IndexGap(exist + 1)),
        () if new > 0 && sealed => Err(Rejection::Sealed),
        () if new > 0 && state.is_terminal() => Err(Rejection::AlreadySettled),
        () => Ok(new),
    }
}

/// Returns whether there is something to seal.
fn may_seal(total: Option<u32>, state: State, exist: u32, given: u32) -> Result<bool, Rejection> {
    match total {
        Some(total) if total == given => Ok(false),
        Some(total) => Err(Rejection::AlreadySealed(total)),
        None if state.is_terminal() => Err(Rejection::AlreadySettled),
        None if exist != given => Err(Rejection::CountMismatch(exist)),
        None => Ok(true),
    }
}
