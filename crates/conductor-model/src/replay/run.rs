//! One run computed again from its events, whatever its tasks are called where the events stand.

use crate::event::{EventBody, FanoutSize};
use crate::numbers::{ChildCounts, StateCounts};
use crate::policy::{CancelCause, Decision, JoinStatus, ParentStatus, Policy};
use crate::time::Timestamp;
use crate::transition::{IllegalTransition, NodeStatus, NodeType, Signal, State, transition};
use std::collections::HashMap;
use std::ops::Range;

/// What an event is about: a task is called by its number.
///
/// Tasks are numbered from 0 in the order in which they come into being, so that whoever reads events has a list from
/// numbers to names of its own and no more. See [`RunReplay::apply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventTarget {
    /// The run itself.
    Run,
    /// A task that the events told of before.
    Task(u32),
    /// A task that comes into being.
    New {
        /// Its number, if [`RunReplay::reserve`] gave it one.
        number: Option<u32>,
        /// The number of its parent.
        parent: Option<u32>,
    },
}

/// A task as the events of its run tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunReplayTask {
    /// The number of its parent.
    pub parent: Option<u32>,
    /// Its ordinal among its siblings; 0 on a join.
    pub index: u32,
    /// Its state.
    pub state: State,
    /// Whether a retry is due on it.
    pub retry_due: bool,
    /// When that retry is due, as far as the events say so.
    pub due_at: Option<Timestamp>,
    /// How often it was retried.
    pub retry_count: u32,
    /// How often it was started; 0 on a parent.
    pub attempt: u32,
    /// What its decision depends on, its children above all; `None` on a leaf.
    pub status: Option<ParentStatus>,
}

/// A run, and all of its tasks, as its events tell them: the core of [`Replay`](crate::Replay), for histories too long
/// for maps by id. A leaf costs 24 bytes.
///
/// Each event goes through [`transition`], and children come into being in the order of their indices, so that an
/// impossible history is refused where it becomes so. What was computed is then of no use any more.
#[derive(Clone, Debug, Default)]
pub struct RunReplay {
    run: Option<RunEntry>,
    tasks: Vec<Entry>,
    /// Of the parents among the tasks.
    standings: Vec<ParentStatus>,
    /// By parent ([`NONE`] for root tasks): which numbers its children have.
    families: HashMap<u32, Vec<Brood>>,
    /// When retries are due.
    due: HashMap<u32, Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct RunEntry {
    state: State,
    standing: ParentStatus,
    tally: StateCounts,
}

/// A task, as small as can be: there may be ten million of them.
#[derive(Clone, Copy, Debug)]
struct Entry {
    parent: u32,
    index: u32,
    retry_count: u32,
    attempt: u32,
    standing: u32,
    state: State,
    retry_due: bool,
    exists: bool,
}

/// No parent, no standing.
const NONE: u32 = u32::MAX;

/// Children whose indices and numbers follow each other.
#[derive(Clone, Copy, Debug)]
struct Brood {
    first: u32,
    last: u32,
    number: u32,
}

impl Entry {
    /// A task that comes into being.
    fn new(parent: Option<u32>, index: u32) -> Self {
        let (state, retry_due, retry_count, attempt) = (State::Pending, false, 0, 0);
        let parent = parent.unwrap_or(NONE);
        Self { parent, index, retry_count, attempt, standing: NONE, state, retry_due, exists: true }
    }

    fn subject(&self) -> NodeStatus {
        let shape = if self.standing == NONE { NodeType::Leaf } else { NodeType::Parent };
        NodeStatus { node_type: shape, state: self.state, retry_due: self.retry_due }
    }
}

impl RunReplay {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The run's state, what its decision depends on, and how many of its tasks are in each state; `None` before the
    /// event that it came into being with.
    pub fn run(&self) -> Option<(State, ParentStatus, StateCounts)> {
        self.run.map(|run| (run.state, run.standing, run.tally))
    }

    /// How many numbers are taken.
    pub fn len(&self) -> u32 {
        u32::try_from(self.tasks.len()).unwrap_or(NONE)
    }

    /// Whether there is no task.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// A task; `None` for a number that no task has (yet).
    pub fn task(&self, number: u32) -> Option<RunReplayTask> {
        let entry = self.tasks.get(number as usize).filter(|entry| entry.exists)?;
        Some(RunReplayTask {
            parent: (entry.parent != NONE).then_some(entry.parent),
            index: entry.index,
            state: entry.state,
            retry_due: entry.retry_due,
            due_at: self.due.get(&number).copied(),
            retry_count: entry.retry_count,
            attempt: entry.attempt,
            status: self.standings.get(entry.standing as usize).copied(),
        })
    }

    /// A number for a task that comes into being later: what was adopted may name its parent before that is told of.
    pub fn reserve(&mut self) -> u32 {
        let number = self.len();
        self.tasks.push(Entry { exists: false, ..Entry::new(None, 0) });
        number
    }

    /// Takes in the next event; the numbers of the tasks that came into being with it.
    ///
    /// # Errors
    /// What does not fit what came before.
    pub fn apply(&mut self, about: EventTarget, body: &EventBody) -> Result<Range<u32>, String> {
        let before = self.len();
        match (about, body) {
            (_, EventBody::Legacy { .. }) => {}
            (EventTarget::Run, body) => self.apply_to_run(body)?,
            (EventTarget::New { number, parent }, body) => return self.apply_to_new(number, parent, body),
            (EventTarget::Task(number), body) => self.apply_to_task(number, body)?,
        }
        Ok(before..self.len())
    }

    fn apply_to_run(&mut self, body: &EventBody) -> Result<(), String> {
        match body {
            EventBody::RunCreated { policy, has_join: joins } => {
                let standing = standing(ChildCounts::open(), *policy, *joins);
                return self.begin(RunEntry {
                    state: State::Pending,
                    standing,
                    tally: StateCounts::default(),
                });
            }
            EventBody::RunAdopted { state, child_counts: numbers, state_counts: tally } => {
                let (state, standing, tally) = (*state, ParentStatus::of(*numbers), *tally);
                return self.begin(RunEntry { state, standing, tally });
            }
            EventBody::RunSwept { children } => return self.sweep(NONE, children),
            _ => {}
        }
        let run = self.run_entry()?;
        let signal = match *body {
            EventBody::RunSealed { total } => return seal(&mut run.standing.counts, total),
            EventBody::RunCancelRequested { cause: by, .. } => return mark(run.state, &mut run.standing, by),
            EventBody::RunStarted => Signal::Start,
            EventBody::RunAggregated { state } => signal_to(run.standing, state)?,
            EventBody::RunReopened => Signal::Reopen,
            _ => return Err("is not an event of a run".into()),
        };
        let subject = NodeStatus { node_type: NodeType::Run, state: run.state, retry_due: false };
        run.state = transition(subject, signal).map_err(|e| e.to_string())?;
        if signal == Signal::Reopen {
            run.standing = run.standing.reopened();
        }
        Ok(())
    }

    fn begin(&mut self, run: RunEntry) -> Result<(), String> {
        self.run.replace(run).map_or(Ok(()), |_| Err("the run exists already".into()))
    }

    fn apply_to_new(
        &mut self,
        number: Option<u32>,
        parent: Option<u32>,
        body: &EventBody,
    ) -> Result<Range<u32>, String> {
        let entry = match body {
            EventBody::TaskCreated { index: 0, .. } => {
                let (_, family) = self.family(parent.unwrap_or(NONE))?;
                if family.decide() != Decision::StartJoin {
                    return Err("a join begins before its time".into());
                }
                Entry::new(parent, 0)
            }
            EventBody::TaskCreated { index, fanout, policy, has_join: joins, .. } => {
                let standing = fanout.map(|fanout| match fanout {
                    FanoutSize::Fixed(total) => standing(ChildCounts::sealed(total), *policy, *joins),
                    FanoutSize::Open => standing(ChildCounts::open(), *policy, *joins),
                });
                self.check_next(NONE, *index)?;
                Entry { standing: self.stand(standing), ..Entry::new(None, *index) }
            }
            EventBody::TaskAdopted {
                index,
                state,
                retry_due,
                retry_count,
                attempt,
                child_counts: numbers,
                ..
            } => {
                let standing = self.stand(numbers.map(ParentStatus::of));
                let (state, retry_due, retry_count, attempt) = (*state, *retry_due, *retry_count, *attempt);
                let new = Entry::new(parent, *index);
                Entry { retry_count, attempt, standing, state, retry_due, ..new }
            }
            _ => return Err("does not bring a task into being".into()),
        };
        let number = self.insert(number, entry)?;
        let (first, last) = (entry.index, entry.index);
        self.families.entry(entry.parent).or_default().push(Brood { first, last, number });
        if !matches!(body, EventBody::TaskAdopted { .. }) {
            // What was adopted is in the numbers that were adopted with it.
            self.count(entry, None)?;
        }
        Ok(number..number + 1)
    }

    /// Keeps what the decision of a parent depends on; where.
    fn stand(&mut self, standing: Option<ParentStatus>) -> u32 {
        let Some(standing) = standing else { return NONE };
        self.standings.push(standing);
        u32::try_from(self.standings.len() - 1).unwrap_or(NONE)
    }

    fn insert(&mut self, number: Option<u32>, entry: Entry) -> Result<u32, String> {
        let Some(number) = number else {
            self.tasks.push(entry);
            return Ok(self.len() - 1);
        };
        let place = self.tasks.get_mut(number as usize).filter(|place| !place.exists);
        *place.ok_or("the task exists already")? = entry;
        Ok(number)
    }

    fn apply_to_task(&mut self, number: u32, body: &EventBody) -> Result<(), String> {
        match body {
            EventBody::TaskFannedOut { first, last, first_id, parents } => {
                let ids = last.checked_sub(*first).map_or(0, u128::from);
                if first_id.as_u128().checked_add(ids).is_none() {
                    return Err(not_created(*first, *last));
                }
                self.fan_out(number, *first, *last, parents)
            }
            EventBody::TaskSealed { total } => {
                seal(&mut self.standing(number).ok_or("a leaf is sealed")?.counts, *total)
            }
            EventBody::TaskCancelRequested { cause: by, .. } => {
                let state = self.entry(number)?.state;
                mark(state, self.standing(number).ok_or("a leaf is marked")?, *by)
            }
            EventBody::TaskSwept { children } => self.sweep(number, children),
            EventBody::TaskCreated { .. } | EventBody::TaskAdopted { .. } => {
                Err("the task exists already".into())
            }
            other => self.transit(number, other),
        }
    }

    fn run_entry(&mut self) -> Result<&mut RunEntry, String> {
        self.run.as_mut().ok_or_else(|| "the run does not exist".into())
    }

    fn entry(&mut self, number: u32) -> Result<&mut Entry, String> {
        let entry = self.tasks.get_mut(number as usize).filter(|entry| entry.exists);
        entry.ok_or_else(|| "the task does not exist".into())
    }

    /// What the decision of a parent depends on; `None` for a leaf.
    fn standing(&mut self, number: u32) -> Option<&mut ParentStatus> {
        let place = self.tasks.get(number as usize).filter(|entry| entry.exists)?.standing;
        self.standings.get_mut(place as usize)
    }

    fn fan_out(&mut self, parent: u32, first: u32, last: u32, parents: &[(u32, u32)]) -> Result<(), String> {
        let number = self.len();
        let wrong = || not_created(first, last);
        let count = last.checked_sub(first).and_then(|more| more.checked_add(1)).ok_or_else(wrong)?;
        number.checked_add(count).ok_or_else(wrong)?;
        let mut parents: HashMap<u32, u32> = parents.iter().copied().collect();
        self.families.entry(parent).or_default().push(Brood { first, last, number });
        for index in first..=last {
            self.check_next(parent, index)?;
            let standing = parents.remove(&index).map(|total| ParentStatus::of(ChildCounts::sealed(total)));
            let child = Entry { standing: self.stand(standing), ..Entry::new(Some(parent), index) };
            self.count(child, None)?;
            self.tasks.push(child);
        }
        if parents.is_empty() { Ok(()) } else { Err(wrong()) }
    }

    /// Whether a child with that index may come into being now.
    fn check_next(&mut self, parent: u32, index: u32) -> Result<(), String> {
        let (state, family) = self.family(parent)?;
        let next = family.counts.created.saturating_add(1);
        if state.is_terminal() {
            return Err(format!("child {index} comes into being below something {state}"));
        }
        if family.cancel_cause.is_some() {
            return Err(format!("child {index} comes into being below something that is marked"));
        }
        if index != next {
            return Err(format!("child {index} comes into being where {next} is the next"));
        }
        if let Some(total) = family.counts.total.filter(|total| index > *total) {
            return Err(format!("child {index} comes into being where there are to be {total}"));
        }
        Ok(())
    }

    /// What was open among these children was cancelled: a leaf at once, a parent is marked.
    fn sweep(&mut self, family: u32, children: &[(u32, u32)]) -> Result<(), String> {
        for index in children.iter().flat_map(|(first, last)| *first..=*last) {
            let number = self.child(family, index);
            let number = number.ok_or_else(|| format!("there is no child {index} to sweep"))?;
            let state = self.entry(number)?.state;
            match self.standing(number) {
                Some(standing) => mark(state, standing, CancelCause::Ancestor)?,
                None => self.transit(number, &EventBody::TaskCancelled { reason: None })?,
            }
        }
        Ok(())
    }

    /// The number of a child.
    fn child(&self, family: u32, index: u32) -> Option<u32> {
        let brood = self.families.get(&family)?.iter();
        let brood = brood.rev().find(|brood| (brood.first..=brood.last).contains(&index))?;
        Some(brood.number + (index - brood.first))
    }

    fn transit(&mut self, number: u32, body: &EventBody) -> Result<(), String> {
        let signal = match body {
            EventBody::TaskStarted => Signal::Start,
            EventBody::TaskSucceeded => Signal::Succeed,
            EventBody::TaskFailed { .. } => Signal::Fail,
            EventBody::TaskRetried => Signal::Retry,
            EventBody::TaskReleased => Signal::Release,
            EventBody::TaskCancelled { .. } => Signal::Cancel,
            EventBody::TaskRevived => Signal::Revive,
            EventBody::TaskReopened => Signal::Reopen,
            EventBody::TaskAggregated { state } => {
                self.entry(number)?;
                signal_to(*self.standing(number).ok_or("a leaf has no children")?, *state)?
            }
            _ => return Err("is not an event of a task".into()),
        };
        let due_at = if let EventBody::TaskFailed { due_at, .. } = body { *due_at } else { None };
        let join = *self.entry(number)?;
        if signal == Signal::Revive
            && join.index == 0
            && self.family(join.parent)?.1.decide() != Decision::StartJoin
        {
            return Err("a join is run again before its time".into());
        }
        let entry = self.entry(number)?;
        let before = entry.subject();
        let is_of_a_leaf =
            due_at.is_some() || matches!(body, EventBody::TaskSucceeded | EventBody::TaskCancelled { .. });
        if before.node_type == NodeType::Parent && is_of_a_leaf {
            return Err("a parent's state follows from its children".into());
        }
        entry.state = transition(before, signal).map_err(|e: IllegalTransition| e.to_string())?;
        entry.retry_due = due_at.is_some();
        match signal {
            Signal::Start if before.node_type == NodeType::Leaf => {
                entry.attempt = entry.attempt.saturating_add(1);
            }
            Signal::Retry => entry.retry_count = entry.retry_count.saturating_add(1),
            Signal::Revive => entry.retry_count = 0,
            _ => {}
        }
        let entry = *entry;
        if signal == Signal::Reopen
            && let Some(standing) = self.standing(number)
        {
            *standing = standing.reopened();
        }
        match due_at {
            Some(due_at) => drop(self.due.insert(number, due_at)),
            None if before.retry_due => drop(self.due.remove(&number)),
            None => {}
        }
        self.count(entry, Some(before))
    }

    /// The state and the standing of a parent, or of the run.
    fn family(&mut self, parent: u32) -> Result<(State, &mut ParentStatus), String> {
        if parent == NONE {
            return self.run_entry().map(|run| (run.state, &mut run.standing));
        }
        let state = self.entry(parent)?.state;
        Ok((state, self.standing(parent).ok_or("a leaf has a child")?))
    }

    /// Counts a task in its parent's numbers, or its run's, and in the run's tally. A join is in none of them: it only
    /// opens and ends.
    fn count(&mut self, task: Entry, before: Option<NodeStatus>) -> Result<(), String> {
        let after = task.subject();
        if task.index == 0 {
            let (_, standing) = self.family(task.parent)?;
            standing.join =
                if after.is_settled() { JoinStatus::Settled(after.state) } else { JoinStatus::Open };
            return Ok(());
        }
        self.run_entry()?.tally.apply(before.map(|subject| subject.state), after.state);
        let (_, standing) = self.family(task.parent)?;
        standing.counts.apply(before, after);
        Ok(())
    }
}

fn not_created(first: u32, last: u32) -> String {
    format!("children {first} to {last} are not what it created")
}

fn standing(numbers: ChildCounts, policy: Policy, joins: bool) -> ParentStatus {
    let joining = if joins { JoinStatus::NotStarted } else { JoinStatus::None };
    ParentStatus { counts: numbers, policy, cancel_cause: None, join: joining }
}

fn seal(numbers: &mut ChildCounts, total: u32) -> Result<(), String> {
    if let Some(sealed) = numbers.total {
        return Err(format!("is sealed already, with {sealed} children"));
    }
    if total < numbers.created {
        return Err(format!("is sealed with {total} children, but has {}", numbers.created));
    }
    numbers.total = Some(total);
    Ok(())
}

fn mark(state: State, standing: &mut ParentStatus, by: CancelCause) -> Result<(), String> {
    if state.is_terminal() || standing.cancel_cause.is_some() {
        return Err("is marked, though it has ended or was marked before".into());
    }
    if by == CancelCause::FailFast && standing.decide() != Decision::CancelOpenChildren(by) {
        return Err("is given up, though its policy does not say so".into());
    }
    standing.cancel_cause = Some(by);
    Ok(())
}

/// The signal that leads to what was decided, if that is what follows.
fn signal_to(standing: ParentStatus, state: State) -> Result<Signal, String> {
    let decision = standing.decide();
    let signal = decision.signal().filter(|_| decision == Decision::Settle(state));
    signal.ok_or_else(|| format!("was decided as {state}, where {decision:?} follows"))
}
