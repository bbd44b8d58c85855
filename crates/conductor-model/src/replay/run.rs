//! One run computed from its events, with tasks identified by numbers.

use super::node::Node;
use super::status::{new_status, request_cancel, seal, settling_signal};
use super::tree::{ChildRange, RunReplayTask, TaskTree};
use crate::event::{EventBody, FanoutSize};
use crate::state::{
    CancelCause, ChildCounts, Decision, JoinStatus, NodeStatus, NodeType, ParentStatus, Signal, State,
    StateCounts, transition,
};
use std::collections::HashMap;
use std::ops::Range;

/// The target of an event. Tasks are identified by numbers.
///
/// Numbers start at 0 and follow the order of creation. A caller can therefore keep its own names of the tasks in a
/// list. See [`RunReplay::apply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventTarget {
    /// The run.
    Run,
    /// An existing task.
    Task(u32),
    /// A task that the event creates.
    New {
        /// Its number, if [`RunReplay::reserve`] has reserved one.
        number: Option<u32>,
        /// The number of its parent.
        parent: Option<u32>,
    },
}

/// A run, as computed from its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayedRun {
    /// The state.
    pub state: State,
    /// The status on which its decision depends.
    pub status: ParentStatus,
    /// The number of its tasks in each state.
    pub state_counts: StateCounts,
}

/// A run and all its tasks, as computed from its events.
///
/// [`Replay`](crate::Replay) does the same with ids. This type is for long histories, for which maps by id are too
/// large: a leaf costs two bytes.
///
/// Each event is checked by [`transition`], and children must be created in the order of their indices. An impossible
/// history is therefore rejected at its first impossible event. After an error, the computed state is undefined.
#[derive(Clone, Debug, Default)]
pub struct RunReplay {
    run: Option<ReplayedRun>,
    tree: TaskTree,
}

impl RunReplay {
    /// Creates a replay without events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the run; `None` before the event that created it.
    pub fn run(&self) -> Option<ReplayedRun> {
        self.run
    }

    /// Returns the number of assigned task numbers, including reserved ones.
    pub fn len(&self) -> u32 {
        self.tree.len()
    }

    /// Returns whether no task number is assigned.
    pub fn is_empty(&self) -> bool {
        self.tree.len() == 0
    }

    /// Returns a task; `None` if no task has this number, or if the number is only reserved.
    pub fn task(&self, number: u32) -> Option<RunReplayTask> {
        self.tree.task(number)
    }

    /// Reserves a number for a task that a later event creates.
    ///
    /// The event of an imported child may precede that of its parent.
    pub fn reserve(&mut self) -> u32 {
        self.tree.reserve()
    }

    /// Applies the next event; returns the numbers of the tasks that it created.
    ///
    /// # Errors
    /// Returns a text if the event contradicts the previous events.
    pub fn apply(&mut self, target: EventTarget, body: &EventBody) -> Result<Range<u32>, String> {
        let before = self.len();
        match (target, body) {
            (_, EventBody::Legacy { .. }) => {}
            (EventTarget::Run, body) => self.apply_to_run(body)?,
            (EventTarget::New { number, parent }, body) => {
                let number = self.create(number, parent, body)?;
                return Ok(number..number + 1);
            }
            (EventTarget::Task(number), body) => self.apply_to_task(number, body)?,
        }
        Ok(before..self.len())
    }

    fn apply_to_run(&mut self, body: &EventBody) -> Result<(), String> {
        match body {
            EventBody::RunCreated { policy, has_join } => {
                let status = new_status(ChildCounts::open(), *policy, *has_join);
                let state_counts = StateCounts::default();
                self.begin(ReplayedRun { state: State::Pending, status, state_counts })
            }
            EventBody::RunAdopted { state, child_counts, state_counts } => {
                let (state, status) = (*state, ParentStatus::of(*child_counts));
                self.begin(ReplayedRun { state, status, state_counts: *state_counts })
            }
            EventBody::RunSwept { children } => self.sweep(None, children),
            body => self.change_run(body),
        }
    }

    fn begin(&mut self, run: ReplayedRun) -> Result<(), String> {
        self.run.replace(run).map_or(Ok(()), |_| Err("the run already exists".into()))
    }

    fn change_run(&mut self, body: &EventBody) -> Result<(), String> {
        let run = self.run_mut()?;
        let signal = match *body {
            EventBody::RunSealed { total } => return seal(&mut run.status.counts, total),
            EventBody::RunCancelRequested { cause, .. } => {
                return request_cancel(run.state, &mut run.status, cause);
            }
            EventBody::RunStarted => Signal::Start,
            EventBody::RunAggregated { state } => settling_signal(run.status, state)?,
            EventBody::RunReopened => Signal::Reopen,
            _ => return Err("not an event of a run".into()),
        };
        let node = NodeStatus { node_type: NodeType::Run, state: run.state, retry_scheduled: false };
        run.state = transition(node, signal).map_err(|illegal| illegal.to_string())?;
        if signal == Signal::Reopen {
            run.status = run.status.reopened();
        }
        Ok(())
    }

    fn create(
        &mut self,
        reserved: Option<u32>,
        parent: Option<u32>,
        body: &EventBody,
    ) -> Result<u32, String> {
        let (node, status) = match body {
            EventBody::TaskCreated { index: 0, .. } => {
                if self.parent(parent)?.1.decide() != Decision::StartJoin {
                    return Err("the join is created too early, or twice".into());
                }
                (Node::new(parent, 0), None)
            }
            EventBody::TaskCreated { index, fanout, policy, has_join, .. } => {
                self.check_next_index(None, *index)?;
                let counts = fanout.map(|fanout| match fanout {
                    FanoutSize::Fixed(total) => ChildCounts::sealed(total),
                    FanoutSize::Open => ChildCounts::open(),
                });
                let status = counts.map(|counts| new_status(counts, *policy, *has_join));
                (Node::new(None, *index), status)
            }
            EventBody::TaskAdopted {
                index,
                state,
                retry_scheduled,
                retry_count,
                attempt,
                child_counts,
                ..
            } => {
                let (state, retry_scheduled, retry_count, attempt) =
                    (*state, *retry_scheduled, *retry_count, *attempt);
                let node = Node { retry_count, attempt, state, retry_scheduled, ..Node::new(parent, *index) };
                (node, child_counts.map(ParentStatus::of))
            }
            _ => return Err("not an event that creates a task".into()),
        };
        let number = self.tree.insert(reserved, node, status)?;
        let node = self.tree.node(number)?;
        let (first, last) = (node.index, node.index);
        self.tree.add_children(node.parent, ChildRange { first, last, number });
        // The counts of an imported run or parent already include its tasks.
        if !matches!(body, EventBody::TaskAdopted { .. }) {
            self.count(node, None)?;
        }
        Ok(number)
    }

    fn apply_to_task(&mut self, number: u32, body: &EventBody) -> Result<(), String> {
        match body {
            EventBody::TaskFannedOut { first, last, first_id, parents } => {
                let further_ids = last.checked_sub(*first).map_or(0, u128::from);
                if first_id.as_u128().checked_add(further_ids).is_none() {
                    return Err(not_as_created(*first, *last));
                }
                self.fan_out(number, (*first, *last), parents)
            }
            EventBody::TaskSealed { total } => {
                seal(&mut self.tree.status(number).ok_or("a leaf cannot be sealed")?.counts, *total)
            }
            EventBody::TaskCancelRequested { cause, .. } => {
                let state = self.tree.node(number)?.state;
                let status = self.tree.status(number).ok_or("a leaf has no children to cancel")?;
                request_cancel(state, status, *cause)
            }
            EventBody::TaskSwept { children } => self.sweep(Some(number), children),
            EventBody::TaskCreated { .. } | EventBody::TaskAdopted { .. } => {
                Err("the task already exists".into())
            }
            body => self.change_task(number, body),
        }
    }

    fn fan_out(
        &mut self,
        parent: u32,
        (first, last): (u32, u32),
        parents: &[(u32, u32)],
    ) -> Result<(), String> {
        let number = self.len();
        let invalid = || not_as_created(first, last);
        let count = last.checked_sub(first).and_then(|further| further.checked_add(1));
        number.checked_add(count.ok_or_else(invalid)?).ok_or_else(invalid)?;
        let mut totals: HashMap<u32, u32> = parents.iter().copied().collect();
        self.tree.add_children(Some(parent), ChildRange { first, last, number });
        for index in first..=last {
            self.check_next_index(Some(parent), index)?;
            let status = totals.remove(&index).map(|total| ParentStatus::of(ChildCounts::sealed(total)));
            let child = Node { is_parent: status.is_some(), ..Node::new(Some(parent), index) };
            self.count(child, None)?;
            self.tree.insert(None, child, status)?;
        }
        if totals.is_empty() { Ok(()) } else { Err(invalid()) }
    }

    fn check_next_index(&mut self, parent: Option<u32>, index: u32) -> Result<(), String> {
        let (state, status) = self.parent(parent)?;
        let next = status.counts.created.saturating_add(1);
        if state.is_terminal() {
            return Err(format!("child {index} is created, but its parent is {state}"));
        }
        if status.cancel_cause.is_some() {
            return Err(format!("child {index} is created, but its parent is being cancelled"));
        }
        if index != next {
            return Err(format!("child {index} is created, but the next index is {next}"));
        }
        if let Some(total) = status.counts.total.filter(|total| index > *total) {
            return Err(format!("child {index} is created, but its parent is sealed with {total} children"));
        }
        Ok(())
    }

    /// Cancels the leaves among these children, and requests the cancel of the parents.
    fn sweep(&mut self, parent: Option<u32>, children: &[(u32, u32)]) -> Result<(), String> {
        for index in children.iter().flat_map(|(first, last)| *first..=*last) {
            let number = self.tree.child(parent, index);
            let number = number.ok_or_else(|| format!("child {index} is swept, but does not exist"))?;
            let state = self.tree.node(number)?.state;
            match self.tree.status(number) {
                Some(status) => request_cancel(state, status, CancelCause::Ancestor)?,
                None => self.change_task(number, &EventBody::TaskCancelled { reason: None })?,
            }
        }
        Ok(())
    }

    fn change_task(&mut self, number: u32, body: &EventBody) -> Result<(), String> {
        let mut node = self.tree.node(number)?;
        let signal = self.signal_to_task((number, &node), body)?;
        let before = node.node_status();
        if before.node_type == NodeType::Parent && happens_to_leaves_only(body) {
            return Err("a parent's state follows from its children".into());
        }
        let due_at = if let EventBody::TaskFailed { due_at, .. } = body { *due_at } else { None };
        node.state = transition(before, signal).map_err(|illegal| illegal.to_string())?;
        node.retry_scheduled = due_at.is_some();
        match signal {
            Signal::Start if before.node_type == NodeType::Leaf => {
                node.attempt = node.attempt.saturating_add(1);
            }
            Signal::Retry => node.retry_count = node.retry_count.saturating_add(1),
            Signal::Revive => node.retry_count = 0,
            _ => {}
        }
        self.tree.set(number, &node);
        if signal == Signal::Reopen
            && let Some(status) = self.tree.status(number)
        {
            *status = status.reopened();
        }
        match due_at {
            Some(due_at) => self.tree.set_due_at(number, due_at),
            None if before.retry_scheduled => self.tree.clear_due_at(number),
            None => {}
        }
        self.count(node, Some(before))
    }

    fn signal_to_task(&mut self, (number, node): (u32, &Node), body: &EventBody) -> Result<Signal, String> {
        Ok(match body {
            EventBody::TaskStarted => Signal::Start,
            EventBody::TaskSucceeded => Signal::Succeed,
            EventBody::TaskFailed { .. } => Signal::Fail,
            EventBody::TaskRetried => Signal::Retry,
            EventBody::TaskReleased => Signal::Release,
            EventBody::TaskCancelled { .. } => Signal::Cancel,
            EventBody::TaskReopened => Signal::Reopen,
            EventBody::TaskRevived => {
                if node.is_join() && self.parent(node.parent)?.1.decide() != Decision::StartJoin {
                    return Err("the join is revived too early".into());
                }
                Signal::Revive
            }
            EventBody::TaskAggregated { state } => {
                settling_signal(*self.tree.status(number).ok_or("a leaf has no children")?, *state)?
            }
            _ => return Err("not an event of a task".into()),
        })
    }

    fn run_mut(&mut self) -> Result<&mut ReplayedRun, String> {
        self.run.as_mut().ok_or_else(|| "the run does not exist".into())
    }

    /// Returns the state and the status of a parent; without a number, those of the run.
    fn parent(&mut self, number: Option<u32>) -> Result<(State, &mut ParentStatus), String> {
        let Some(number) = number else {
            return self.run_mut().map(|run| (run.state, &mut run.status));
        };
        let state = self.tree.node(number)?.state;
        Ok((state, self.tree.status(number).ok_or("a leaf cannot have children")?))
    }

    /// Counts a task in its parent and in the run. A join is not counted; it only sets the join status of its parent.
    fn count(&mut self, node: Node, before: Option<NodeStatus>) -> Result<(), String> {
        let after = node.node_status();
        if !node.is_join() {
            self.run_mut()?.state_counts.apply(before.map(|before| before.state), after.state);
        }
        let (_, parent) = self.parent(node.parent)?;
        if node.is_join() {
            parent.join =
                if after.is_settled() { JoinStatus::Settled(after.state) } else { JoinStatus::Open };
        } else {
            parent.counts.apply(before, after);
        }
        Ok(())
    }
}

/// Returns whether the event never happens to a parent. A parent with an unreadable input fails without a retry.
fn happens_to_leaves_only(body: &EventBody) -> bool {
    matches!(
        body,
        EventBody::TaskSucceeded
            | EventBody::TaskCancelled { .. }
            | EventBody::TaskFailed { due_at: Some(_), .. }
    )
}

fn not_as_created(first: u32, last: u32) -> String {
    format!("children {first} to {last} do not match the created children")
}
