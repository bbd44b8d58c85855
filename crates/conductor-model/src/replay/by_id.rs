//! Everything computed again from the events alone.

use crate::event::{Event, EventBody};
use crate::id::{RunId, TaskId};
use crate::numbers::{ChildCounts, StateCounts};
use crate::policy::ParentStatus;
use crate::told::{EventTarget, RunReplay};
use crate::transition::State;
use std::collections::HashMap;

/// A run as its events tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayedRun {
    /// Its state.
    pub state: State,
    /// What its decision depends on, its root tasks above all.
    pub status: ParentStatus,
    /// How many of its tasks are in each state.
    pub state_counts: StateCounts,
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
    /// What its decision depends on, its children above all; `None` on a leaf.
    pub status: Option<ParentStatus>,
}

impl ReplayedTask {
    /// What it knows of its children; `None` on a leaf.
    pub fn child_counts(&self) -> Option<ChildCounts> {
        self.status.map(|standing| standing.counts)
    }

    /// Whether it is what runs after the children of its parent, or of its run.
    pub fn is_join(&self) -> bool {
        self.index == 0
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
/// It keeps a map of all ids; [`RunReplay`] is what it computes with, for whoever has other names for the tasks.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    runs: HashMap<RunId, Told>,
    /// The run and the number of each task.
    tasks: HashMap<TaskId, (RunId, u32)>,
}

/// A run, and the ids of its tasks by their numbers.
#[derive(Clone, Debug, Default)]
struct Told {
    run: RunReplay,
    ids: Vec<TaskId>,
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
        self.take_in(event).map_err(error)
    }

    /// A run; `None` if no event told of it.
    pub fn run(&self, id: RunId) -> Option<ReplayedRun> {
        let (state, standing, tally) = self.runs.get(&id)?.run.run()?;
        Some(ReplayedRun { state, status: standing, state_counts: tally })
    }

    /// A task; `None` if no event told of it.
    pub fn task(&self, id: TaskId) -> Option<ReplayedTask> {
        let (run, number) = *self.tasks.get(&id)?;
        let of = self.runs.get(&run)?;
        let task = of.run.task(number)?;
        Some(ReplayedTask {
            run,
            parent: task.parent.and_then(|parent| of.ids.get(parent as usize).copied()),
            index: task.index,
            state: task.state,
            retry_due: task.retry_due,
            retry_count: task.retry_count,
            attempt: task.attempt,
            status: task.status,
        })
    }

    /// All tasks, in no order.
    pub fn tasks(&self) -> impl Iterator<Item = (TaskId, ReplayedTask)> {
        self.tasks.keys().filter_map(|id| Some((*id, self.task(*id)?)))
    }

    /// How many runs the events told of.
    pub fn run_count(&self) -> usize {
        self.runs.values().filter(|told| told.run.run().is_some()).count()
    }

    /// How many tasks the events told of.
    pub fn task_count(&self) -> usize {
        self.tasks().count()
    }

    fn take_in(&mut self, event: &Event) -> Result<(), String> {
        if matches!(event.body, EventBody::Legacy { .. }) {
            return Ok(());
        }
        let about = self.about(event)?;
        let told = self.runs.entry(event.run).or_default();
        let born = told.run.apply(about, &event.body)?;
        let first = match event.body {
            EventBody::TaskFannedOut { first_id, .. } => Some(first_id),
            _ => event.task,
        };
        for (number, nth) in born.zip(0_u128..) {
            let id = TaskId::from_u128(first.map_or(0, TaskId::as_u128).saturating_add(nth));
            if self.tasks.insert(id, (event.run, number)).is_some_and(|known| known != (event.run, number)) {
                return Err(format!("task {id} exists already"));
            }
            if let Some(reserved) = told.ids.get_mut(number as usize) {
                *reserved = id;
            } else {
                told.ids.push(id);
            }
        }
        Ok(())
    }

    /// What the event is about, in numbers.
    fn about(&mut self, event: &Event) -> Result<EventTarget, String> {
        let begins = matches!(event.body, EventBody::RunCreated { .. } | EventBody::RunAdopted { .. });
        match self.run(event.run) {
            Some(_) if begins => return Err(format!("run {} exists already", event.run)),
            None if !begins && (event.task.is_none() || event.body.name() == "task.created") => {
                return Err(format!("run {} does not exist", event.run));
            }
            _ => {}
        }
        let Some(id) = event.task else { return Ok(EventTarget::Run) };
        let known = self.tasks.get(&id).copied();
        if let Some((run, _)) = known.filter(|(run, _)| *run != event.run) {
            return Err(format!("task {id} belongs to run {run}"));
        }
        let number = known.map(|(_, number)| number);
        let is_new = matches!(event.body, EventBody::TaskCreated { .. } | EventBody::TaskAdopted { .. });
        if is_new && self.task(id).is_some() {
            return Err(format!("task {id} exists already"));
        }
        let parent = match event.body {
            EventBody::TaskCreated { parent, .. } => {
                parent.map(|parent| self.number_of(parent)).transpose()?
            }
            // Parents need not be told of before their children.
            EventBody::TaskAdopted { parent, .. } => parent.map(|parent| self.reserve(event.run, parent)),
            _ => {
                let number = number.ok_or_else(|| format!("task {id} does not exist"))?;
                return Ok(EventTarget::Task(number));
            }
        };
        Ok(EventTarget::New { number, parent })
    }

    fn number_of(&self, id: TaskId) -> Result<u32, String> {
        let known = self.tasks.get(&id).ok_or_else(|| format!("task {id} does not exist"))?;
        Ok(known.1)
    }

    fn reserve(&mut self, run: RunId, id: TaskId) -> u32 {
        if let Some((_, number)) = self.tasks.get(&id) {
            return *number;
        }
        let told = self.runs.entry(run).or_default();
        let number = told.run.reserve();
        told.ids.push(id);
        self.tasks.insert(id, (run, number));
        number
    }
}
