//! Everything computed again from the events alone.

use crate::event::{CreatedFanout, Event, EventBody};
use crate::id::{RunId, TaskId};
use crate::numbers::{Numbers, Tally};
use crate::transition::{IllegalTransition, Shape, Signal, State, Subject, transition};
use std::collections::HashMap;

/// A run as its events tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayedRun {
    /// Its state.
    pub state: State,
    /// What it knows of its root tasks.
    pub numbers: Numbers,
    /// How many of its tasks are in each state.
    pub tally: Tally,
}

/// A task as its events tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayedTask {
    /// Its run.
    pub run: RunId,
    /// Its parent.
    pub parent: Option<TaskId>,
    /// Its ordinal among its siblings.
    pub index: u32,
    /// Its state.
    pub state: State,
    /// Whether a retry is due on it.
    pub retry_due: bool,
    /// How often it was retried.
    pub retry_count: u32,
    /// How often it was started; 0 on a parent.
    pub attempt: u32,
    /// What it knows of its children; `None` on a leaf.
    pub numbers: Option<Numbers>,
}

impl ReplayedTask {
    fn subject(&self) -> Subject {
        let shape = if self.numbers.is_some() { Shape::Parent } else { Shape::Leaf };
        Subject { shape, state: self.state, retry_due: self.retry_due }
    }
}

/// The events contradict themselves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} ({name}): {what}")]
pub struct ReplayError {
    /// The event's place.
    pub seq: u64,
    /// The event's name.
    pub name: &'static str,
    /// What does not fit.
    pub what: String,
}

/// Computes the state of every run and task, and every number, from events in commit order.
///
/// Each event goes through [`transition`], and children are created in the order of their indices, so that an
/// impossible history is refused where it becomes so. What was computed is then of no use any more.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// The runs so far.
    pub runs: HashMap<RunId, ReplayedRun>,
    /// The tasks so far.
    pub tasks: HashMap<TaskId, ReplayedTask>,
}

impl Replay {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the next event.
    ///
    /// # Errors
    /// [`ReplayError`] when it does not fit what came before.
    pub fn apply(&mut self, event: &Event) -> Result<(), ReplayError> {
        let error = |what: String| ReplayError { seq: event.seq, name: event.body.name(), what };
        match event.task {
            None => self.apply_to_run(event.run, &event.body).map_err(error),
            Some(task) => self.apply_to_task(event.run, task, &event.body).map_err(error),
        }
    }

    fn apply_to_run(&mut self, id: RunId, body: &EventBody) -> Result<(), String> {
        match *body {
            EventBody::RunCreated => {
                let run =
                    ReplayedRun { state: State::Pending, numbers: Numbers::open(), tally: Tally::default() };
                return self.insert_run(id, run);
            }
            EventBody::RunAdopted { state, numbers, tally } => {
                return self.insert_run(id, ReplayedRun { state, numbers, tally });
            }
            EventBody::Original { .. } => return Ok(()),
            _ => {}
        }
        let run = self.run(id)?;
        let signal = match *body {
            EventBody::RunSealed { total } => return seal(&mut run.numbers, total),
            EventBody::RunStarted => Signal::Start,
            EventBody::RunAggregated { state } => signal_to(state)?,
            EventBody::RunCancelled => Signal::Cancel,
            EventBody::RunReopened => Signal::Reopen,
            _ => return Err("is not an event of a run".into()),
        };
        let subject = Subject { shape: Shape::Run, state: run.state, retry_due: false };
        run.state = transition(subject, signal).map_err(|e| e.to_string())?;
        Ok(())
    }

    fn apply_to_task(&mut self, run: RunId, id: TaskId, body: &EventBody) -> Result<(), String> {
        if let Some(task) = self.tasks.get(&id).filter(|task| task.run != run) {
            return Err(format!("task {id} belongs to run {}", task.run));
        }
        match body {
            EventBody::TaskCreated { index, fanout } => {
                let numbers = fanout.map(|fanout| match fanout {
                    CreatedFanout::Sealed(total) => Numbers::sealed(total),
                    CreatedFanout::Open => Numbers::open(),
                });
                self.create(run, None, id, *index, numbers)
            }
            EventBody::TaskFannedOut { first, last, first_id, parents } => {
                let ids = (first_id.as_u128()..=u128::MAX).map(TaskId::from_u128);
                let mut parents: HashMap<u32, u32> = parents.iter().copied().collect();
                let mut created = 0;
                for (index, child) in (*first..=*last).zip(ids) {
                    let numbers = parents.remove(&index).map(Numbers::sealed);
                    self.create(run, Some(id), child, index, numbers)?;
                    created = index;
                }
                if created != *last || !parents.is_empty() {
                    return Err(format!("children {first} to {last} are not what it created"));
                }
                Ok(())
            }
            EventBody::TaskSealed { total } => {
                seal(self.task(id)?.numbers.as_mut().ok_or("a leaf is sealed")?, *total)
            }
            EventBody::TaskAdopted { parent, index, state, retry_due, retry_count, attempt, numbers } => {
                let (parent, index, numbers) = (*parent, *index, *numbers);
                let (state, retry_due, retry_count, attempt) = (*state, *retry_due, *retry_count, *attempt);
                let task =
                    ReplayedTask { run, parent, index, state, retry_due, retry_count, attempt, numbers };
                self.insert_task(id, task)
            }
            EventBody::Original { .. } => Ok(()),
            other => self.transit(id, other),
        }
    }

    fn insert_run(&mut self, id: RunId, run: ReplayedRun) -> Result<(), String> {
        self.runs.insert(id, run).map_or(Ok(()), |_| Err(format!("run {id} exists already")))
    }

    fn insert_task(&mut self, id: TaskId, task: ReplayedTask) -> Result<(), String> {
        self.tasks.insert(id, task).map_or(Ok(()), |_| Err(format!("task {id} exists already")))
    }

    fn run(&mut self, id: RunId) -> Result<&mut ReplayedRun, String> {
        self.runs.get_mut(&id).ok_or_else(|| format!("run {id} does not exist"))
    }

    fn task(&mut self, id: TaskId) -> Result<&mut ReplayedTask, String> {
        self.tasks.get_mut(&id).ok_or_else(|| format!("task {id} does not exist"))
    }

    fn create(
        &mut self,
        run: RunId,
        parent: Option<TaskId>,
        id: TaskId,
        index: u32,
        numbers: Option<Numbers>,
    ) -> Result<(), String> {
        let (state, retry_due, retry_count, attempt) = (State::Pending, false, 0, 0);
        let task = ReplayedTask { run, parent, index, state, retry_due, retry_count, attempt, numbers };
        let (state, family) = self.family(&task)?;
        let next = family.children.saturating_add(1);
        if state.is_terminal() {
            return Err(format!("child {index} comes into being below something {state}"));
        }
        if index != next {
            return Err(format!("child {index} comes into being where {next} is the next"));
        }
        if let Some(total) = family.total.filter(|total| index > *total) {
            return Err(format!("child {index} comes into being where there are to be {total}"));
        }
        self.count(&task, None)?;
        self.insert_task(id, task)
    }

    fn transit(&mut self, id: TaskId, body: &EventBody) -> Result<(), String> {
        let signal = match body {
            EventBody::TaskStarted => Signal::Start,
            EventBody::TaskSucceeded => Signal::Succeed,
            EventBody::TaskFailed { .. } => Signal::Fail,
            EventBody::TaskRetried => Signal::Retry,
            EventBody::TaskReleased => Signal::Release,
            EventBody::TaskCancelled => Signal::Cancel,
            EventBody::TaskRevived => Signal::Revive,
            EventBody::TaskReopened => Signal::Reopen,
            EventBody::TaskAggregated { state } => signal_to(*state)?,
            _ => return Err("is not an event of a task".into()),
        };
        let task = self.task(id)?;
        let before = task.subject();
        match (before.shape, body) {
            (Shape::Leaf, EventBody::TaskAggregated { .. }) => return Err("a leaf has no children".into()),
            (Shape::Parent, EventBody::TaskSucceeded | EventBody::TaskFailed { due_at: Some(_), .. }) => {
                return Err("a parent's state follows from its children".into());
            }
            _ => {}
        }
        task.state = transition(before, signal).map_err(|e: IllegalTransition| e.to_string())?;
        task.retry_due = matches!(body, EventBody::TaskFailed { due_at: Some(_), .. });
        match signal {
            Signal::Start if before.shape == Shape::Leaf => task.attempt += 1,
            Signal::Retry => task.retry_count += 1,
            Signal::Revive => task.retry_count = 0,
            _ => {}
        }
        let task = *task;
        self.count(&task, Some(before))
    }

    /// The state and the numbers of a task's parent, or of its run.
    fn family(&mut self, task: &ReplayedTask) -> Result<(State, &mut Numbers), String> {
        match task.parent {
            None => self.run(task.run).map(|run| (run.state, &mut run.numbers)),
            Some(parent) => {
                let parent = self.task(parent)?;
                Ok((parent.state, parent.numbers.as_mut().ok_or("a leaf has a child")?))
            }
        }
    }

    /// Counts a task in its parent's numbers, or its run's, and in the run's tally.
    fn count(&mut self, task: &ReplayedTask, before: Option<Subject>) -> Result<(), String> {
        self.run(task.run)?.tally.count(before.map(|subject| subject.state), task.state);
        let (_, numbers) = self.family(task)?;
        numbers.count(before, task.subject());
        Ok(())
    }
}

fn seal(numbers: &mut Numbers, total: u32) -> Result<(), String> {
    if let Some(sealed) = numbers.total {
        return Err(format!("is sealed already, with {sealed} children"));
    }
    if total < numbers.children {
        return Err(format!("is sealed with {total} children, but has {}", numbers.children));
    }
    numbers.total = Some(total);
    Ok(())
}

fn signal_to(state: State) -> Result<Signal, String> {
    state.ended_by().ok_or_else(|| format!("nothing is decided as {state}"))
}
