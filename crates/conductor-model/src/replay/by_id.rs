//! All runs computed from their events, with tasks identified by ids.

use super::run::{EventTarget, ReplayedRun, RunReplay};
use crate::event::{Event, EventBody};
use crate::id::{RunId, TaskId};
use crate::state::{ChildCounts, ParentStatus, State};
use std::collections::HashMap;

/// A task, as computed from the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayedTask {
    /// The run.
    pub run: RunId,
    /// The parent; `None` on a root task, and on the join of a run.
    pub parent: Option<TaskId>,
    /// The index among its siblings; 0 on a join.
    pub index: u32,
    /// The state.
    pub state: State,
    /// Whether a retry is scheduled.
    pub retry_scheduled: bool,
    /// How many times it has been retried.
    pub retry_count: u32,
    /// How many times it was started; 0 on a parent.
    pub attempt: u32,
    /// The status on which its decision depends; `None` on a leaf.
    pub status: Option<ParentStatus>,
}

impl ReplayedTask {
    /// Returns the counts of its children; `None` on a leaf.
    pub fn child_counts(&self) -> Option<ChildCounts> {
        self.status.map(|status| status.counts)
    }

    /// Returns whether it is the join of its parent, or of its run.
    pub fn is_join(&self) -> bool {
        self.index == 0
    }
}

/// The error of an event that contradicts the previous events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} ({name}): {message}")]
pub struct ReplayError {
    /// The position of the event.
    pub seq: u64,
    /// The name of the event.
    pub name: &'static str,
    /// The contradiction.
    pub message: String,
}

/// Computes the states and counts of all runs and tasks from events in commit order.
///
/// It keeps a map of all ids. [`RunReplay`] works without one.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    runs: HashMap<RunId, RunTasks>,
    /// The run and the number of each task.
    tasks: HashMap<TaskId, (RunId, u32)>,
}

/// A run, and the ids of its tasks by number.
#[derive(Clone, Debug, Default)]
struct RunTasks {
    replay: RunReplay,
    ids: Vec<TaskId>,
}

impl Replay {
    /// Creates a replay without events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies the next event.
    ///
    /// # Errors
    /// Returns [`ReplayError`] if the event contradicts the previous events.
    pub fn apply(&mut self, event: &Event) -> Result<(), ReplayError> {
        let (seq, name) = (event.seq, event.body.name());
        self.apply_checked(event).map_err(|message| ReplayError { seq, name, message })
    }

    /// Returns a run; `None` if no event created it.
    pub fn run(&self, id: RunId) -> Option<ReplayedRun> {
        self.runs.get(&id)?.replay.run()
    }

    /// Returns a task; `None` if no event created it.
    pub fn task(&self, id: TaskId) -> Option<ReplayedTask> {
        let (run, number) = *self.tasks.get(&id)?;
        let RunTasks { replay, ids } = self.runs.get(&run)?;
        let task = replay.task(number)?;
        Some(ReplayedTask {
            run,
            parent: task.parent.and_then(|parent| ids.get(parent as usize).copied()),
            index: task.index,
            state: task.state,
            retry_scheduled: task.retry_scheduled,
            retry_count: task.retry_count,
            attempt: task.attempt,
            status: task.status,
        })
    }

    /// Returns all tasks, in no particular order.
    pub fn tasks(&self) -> impl Iterator<Item = (TaskId, ReplayedTask)> {
        self.tasks.keys().filter_map(|id| Some((*id, self.task(*id)?)))
    }

    /// Returns the number of created runs.
    pub fn run_count(&self) -> usize {
        self.runs.values().filter(|run| run.replay.run().is_some()).count()
    }

    /// Returns the number of created tasks.
    pub fn task_count(&self) -> usize {
        self.tasks().count()
    }

    fn apply_checked(&mut self, event: &Event) -> Result<(), String> {
        if matches!(event.body, EventBody::Legacy { .. }) {
            return Ok(());
        }
        let target = self.target(event)?;
        let run = self.runs.entry(event.run).or_default();
        let created = run.replay.apply(target, &event.body)?;
        let first_id = match event.body {
            EventBody::TaskFannedOut { first_id, .. } => Some(first_id),
            _ => event.task,
        };
        for (number, offset) in created.zip(0_u128..) {
            let id = TaskId::from_u128(first_id.map_or(0, TaskId::as_u128).saturating_add(offset));
            if self.tasks.insert(id, (event.run, number)).is_some_and(|known| known != (event.run, number)) {
                return Err(format!("task {id} already exists"));
            }
            if let Some(reserved) = run.ids.get_mut(number as usize) {
                *reserved = id;
            } else {
                run.ids.push(id);
            }
        }
        Ok(())
    }

    /// Returns what the event applies to.
    fn target(&mut self, event: &Event) -> Result<EventTarget, String> {
        let begins = matches!(event.body, EventBody::RunCreated { .. } | EventBody::RunAdopted { .. });
        match self.run(event.run) {
            Some(_) if begins => return Err(format!("run {} already exists", event.run)),
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
            return Err(format!("task {id} already exists"));
        }
        let parent = match event.body {
            EventBody::TaskCreated { parent, .. } => {
                parent.map(|parent| self.number_of(parent)).transpose()?
            }
            // The event of an imported child may precede that of its parent.
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
        let RunTasks { replay, ids } = self.runs.entry(run).or_default();
        let number = replay.reserve();
        ids.push(id);
        self.tasks.insert(id, (run, number));
        number
    }
}
