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
/// Each event goes through [`transition`], so that an impossible history is refused where it becomes so.
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
                return self.runs.insert(id, run).map_or(Ok(()), |_| Err(format!("run {id} exists already")));
            }
            EventBody::RunAdopted { state, numbers, tally } => {
                self.runs.insert(id, ReplayedRun { state, numbers, tally });
                return Ok(());
            }
            EventBody::Original { .. } => return Ok(()),
            _ => {}
        }
        let run = self.runs.get_mut(&id).ok_or_else(|| format!("run {id} does not exist"))?;
        let signal = match *body {
            EventBody::RunSealed { total } => {
                run.numbers.total = Some(total);
                return Ok(());
            }
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
        match body {
            EventBody::TaskCreated { index, fanout } => {
                let numbers = fanout.map(|fanout| match fanout {
                    CreatedFanout::Sealed(total) => Numbers::sealed(total),
                    CreatedFanout::Open => Numbers::open(),
                });
                self.create(run, None, id, *index, numbers)
            }
            EventBody::TaskFannedOut { first, last, first_id, parents } => {
                let parents: HashMap<u32, u32> = parents.iter().copied().collect();
                for index in *first..=*last {
                    let child = TaskId::from_u128(first_id.as_u128() + u128::from(index - first));
                    let numbers = parents.get(&index).map(|total| Numbers::sealed(*total));
                    self.create(run, Some(id), child, index, numbers)?;
                }
                Ok(())
            }
            EventBody::TaskSealed { total } => {
                let numbers = self.task(id)?.numbers.as_mut().ok_or("a leaf is sealed")?;
                numbers.total = Some(*total);
                Ok(())
            }
            EventBody::TaskAdopted { parent, index, state, retry_due, retry_count, attempt, numbers } => {
                let (parent, index, numbers) = (*parent, *index, *numbers);
                let (state, retry_due, retry_count, attempt) = (*state, *retry_due, *retry_count, *attempt);
                let task =
                    ReplayedTask { run, parent, index, state, retry_due, retry_count, attempt, numbers };
                self.tasks.insert(id, task);
                Ok(())
            }
            EventBody::Original { .. } => Ok(()),
            other => self.transit(id, other),
        }
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
        self.count(&task, None)?;
        if self.tasks.insert(id, task).is_some() {
            return Err(format!("task {id} exists already"));
        }
        Ok(())
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

    /// Counts a task in its parent's numbers, or its run's, and in the run's tally.
    fn count(&mut self, task: &ReplayedTask, before: Option<Subject>) -> Result<(), String> {
        let run = self.runs.get_mut(&task.run).ok_or_else(|| format!("run {} does not exist", task.run))?;
        run.tally.count(before.map(|subject| subject.state), task.state);
        let numbers = match task.parent {
            None => &mut run.numbers,
            Some(parent) => self.task(parent)?.numbers.as_mut().ok_or("a leaf has a child")?,
        };
        numbers.count(before, task.subject());
        Ok(())
    }
}

fn signal_to(state: State) -> Result<Signal, String> {
    match state {
        State::Succeeded => Ok(Signal::Succeed),
        State::Failed => Ok(Signal::Fail),
        State::Cancelled => Ok(Signal::Cancel),
        State::Pending | State::Running => Err(format!("nothing is decided as {state}")),
    }
}
