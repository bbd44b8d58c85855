//! Everything computed again from the events alone.

use crate::event::{CreatedFanout, Event, EventBody};
use crate::id::{RunId, TaskId};
use crate::numbers::{Numbers, Tally};
use crate::policy::{Decision, Joining, Mark, Policy, Standing};
use crate::transition::{IllegalTransition, Shape, Signal, State, Subject, transition};
use std::collections::HashMap;

/// A run as its events tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayedRun {
    /// Its state.
    pub state: State,
    /// What its decision depends on, its root tasks above all.
    pub standing: Standing,
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
    /// What its decision depends on, its children above all; `None` on a leaf.
    pub standing: Option<Standing>,
}

impl ReplayedTask {
    /// A task that comes into being.
    fn new(run: RunId, parent: Option<TaskId>, index: u32, standing: Option<Standing>) -> Self {
        let (state, retry_due, retry_count, attempt) = (State::Pending, false, 0, 0);
        Self { run, parent, index, state, retry_due, retry_count, attempt, standing }
    }

    /// What it knows of its children; `None` on a leaf.
    pub fn numbers(&self) -> Option<Numbers> {
        self.standing.map(|standing| standing.numbers)
    }

    /// Whether it is what runs after the children of its parent, or of its run.
    pub fn is_join(&self) -> bool {
        self.index == 0
    }

    fn subject(&self) -> Subject {
        let shape = if self.standing.is_some() { Shape::Parent } else { Shape::Leaf };
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
    /// By parent, or by run for root tasks: which ids its children have.
    families: HashMap<Family, Vec<Brood>>,
}

/// A task, or a run, and the tasks right below it.
type Family = (RunId, Option<TaskId>);

/// Children whose indices and ids follow each other.
#[derive(Clone, Copy, Debug)]
struct Brood {
    first: u32,
    last: u32,
    first_id: TaskId,
}

impl Brood {
    fn id(self, index: u32) -> TaskId {
        TaskId::from_u128(self.first_id.as_u128().saturating_add(u128::from(index - self.first)))
    }
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
        match body {
            EventBody::RunCreated { policy, joins } => {
                let standing = standing(Numbers::open(), *policy, *joins);
                let run = ReplayedRun { state: State::Pending, standing, tally: Tally::default() };
                return self.insert_run(id, run);
            }
            EventBody::RunAdopted { state, numbers, tally } => {
                let (state, standing, tally) = (*state, Standing::of(*numbers), *tally);
                return self.insert_run(id, ReplayedRun { state, standing, tally });
            }
            EventBody::RunSwept { children } => return self.sweep((id, None), children),
            EventBody::Original { .. } => return Ok(()),
            _ => {}
        }
        let run = self.run(id)?;
        let signal = match *body {
            EventBody::RunSealed { total } => return seal(&mut run.standing.numbers, total),
            EventBody::RunCancelled { by, .. } => return mark(run.state, &mut run.standing, by),
            EventBody::RunStarted => Signal::Start,
            EventBody::RunAggregated { state } => signal_to(run.standing, state)?,
            EventBody::RunReopened => Signal::Reopen,
            _ => return Err("is not an event of a run".into()),
        };
        let subject = Subject { shape: Shape::Run, state: run.state, retry_due: false };
        run.state = transition(subject, signal).map_err(|e| e.to_string())?;
        if signal == Signal::Reopen {
            run.standing = run.standing.reopened();
        }
        Ok(())
    }

    fn apply_to_task(&mut self, run: RunId, id: TaskId, body: &EventBody) -> Result<(), String> {
        if let Some(task) = self.tasks.get(&id).filter(|task| task.run != run) {
            return Err(format!("task {id} belongs to run {}", task.run));
        }
        match body {
            EventBody::TaskCreated { index: 0, parent, .. } => self.create_join((run, *parent), id),
            EventBody::TaskCreated { index, fanout, policy, joins, .. } => {
                let standing = fanout.map(|fanout| match fanout {
                    CreatedFanout::Sealed(total) => standing(Numbers::sealed(total), *policy, *joins),
                    CreatedFanout::Open => standing(Numbers::open(), *policy, *joins),
                });
                self.bring_forth((run, None), Brood { first: *index, last: *index, first_id: id });
                self.create(id, ReplayedTask::new(run, None, *index, standing))
            }
            EventBody::TaskFannedOut { first, last, first_id, parents } => {
                self.fan_out((run, id), Brood { first: *first, last: *last, first_id: *first_id }, parents)
            }
            EventBody::TaskSealed { total } => {
                let standing = self.task(id)?.standing.as_mut().ok_or("a leaf is sealed")?;
                seal(&mut standing.numbers, *total)
            }
            EventBody::TaskMarked { by, .. } => {
                let task = self.task(id)?;
                mark(task.state, task.standing.as_mut().ok_or("a leaf is marked")?, *by)
            }
            EventBody::TaskSwept { children } => self.sweep((run, Some(id)), children),
            EventBody::TaskAdopted { parent, index, state, retry_due, retry_count, attempt, numbers } => {
                let (parent, index, standing) = (*parent, *index, numbers.map(Standing::of));
                let (state, retry_due, retry_count, attempt) = (*state, *retry_due, *retry_count, *attempt);
                self.bring_forth((run, parent), Brood { first: index, last: index, first_id: id });
                let task =
                    ReplayedTask { run, parent, index, state, retry_due, retry_count, attempt, standing };
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

    fn fan_out(
        &mut self,
        (run, id): (RunId, TaskId),
        brood: Brood,
        parents: &[(u32, u32)],
    ) -> Result<(), String> {
        let Brood { first, last, first_id } = brood;
        let ids = (first_id.as_u128()..=u128::MAX).map(TaskId::from_u128);
        let mut parents: HashMap<u32, u32> = parents.iter().copied().collect();
        let mut created = 0;
        self.bring_forth((run, Some(id)), brood);
        for (index, child) in (first..=last).zip(ids) {
            let standing = parents.remove(&index).map(|total| Standing::of(Numbers::sealed(total)));
            self.create(child, ReplayedTask::new(run, Some(id), index, standing))?;
            created = index;
        }
        if created != last || !parents.is_empty() {
            return Err(format!("children {first} to {last} are not what it created"));
        }
        Ok(())
    }

    fn bring_forth(&mut self, family: Family, brood: Brood) {
        self.families.entry(family).or_default().push(brood);
    }

    fn create(&mut self, id: TaskId, task: ReplayedTask) -> Result<(), String> {
        let index = task.index;
        let (state, family) = self.family(&task)?;
        let next = family.numbers.children.saturating_add(1);
        if state.is_terminal() {
            return Err(format!("child {index} comes into being below something {state}"));
        }
        if family.mark.is_some() {
            return Err(format!("child {index} comes into being below something that is marked"));
        }
        if index != next {
            return Err(format!("child {index} comes into being where {next} is the next"));
        }
        if let Some(total) = family.numbers.total.filter(|total| index > *total) {
            return Err(format!("child {index} comes into being where there are to be {total}"));
        }
        self.count(&task, None)?;
        self.insert_task(id, task)
    }

    fn create_join(&mut self, (run, parent): Family, id: TaskId) -> Result<(), String> {
        let task = ReplayedTask::new(run, parent, 0, None);
        let (_, family) = self.family(&task)?;
        if family.decide() != Decision::Join {
            return Err("a join begins before its time".into());
        }
        self.bring_forth((run, parent), Brood { first: 0, last: 0, first_id: id });
        self.count(&task, None)?;
        self.insert_task(id, task)
    }

    /// What was open among these children was cancelled: a leaf at once, a parent is marked.
    fn sweep(&mut self, family: Family, children: &[(u32, u32)]) -> Result<(), String> {
        for index in children.iter().flat_map(|(first, last)| *first..=*last) {
            let broods = self.families.get(&family).map_or(&[][..], Vec::as_slice);
            let brood = broods.iter().find(|brood| (brood.first..=brood.last).contains(&index));
            let id = brood.ok_or_else(|| format!("there is no child {index} to sweep"))?.id(index);
            let task = self.task(id)?;
            match &mut task.standing {
                Some(standing) => mark(task.state, standing, Mark::Above)?,
                None => self.transit(id, &EventBody::TaskCancelled { reason: None })?,
            }
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
            EventBody::TaskCancelled { .. } => Signal::Cancel,
            EventBody::TaskRevived => Signal::Revive,
            EventBody::TaskReopened => Signal::Reopen,
            EventBody::TaskAggregated { state } => {
                let standing = self.task(id)?.standing.ok_or("a leaf has no children")?;
                signal_to(standing, *state)?
            }
            _ => return Err("is not an event of a task".into()),
        };
        let join = *self.task(id)?;
        if signal == Signal::Revive && join.is_join() && self.family(&join)?.1.decide() != Decision::Join {
            return Err("a join is run again before its time".into());
        }
        let task = self.task(id)?;
        let before = task.subject();
        let is_of_a_leaf = matches!(
            body,
            EventBody::TaskSucceeded
                | EventBody::TaskCancelled { .. }
                | EventBody::TaskFailed { due_at: Some(_), .. }
        );
        if before.shape == Shape::Parent && is_of_a_leaf {
            return Err("a parent's state follows from its children".into());
        }
        task.state = transition(before, signal).map_err(|e: IllegalTransition| e.to_string())?;
        task.retry_due = matches!(body, EventBody::TaskFailed { due_at: Some(_), .. });
        match signal {
            Signal::Start if before.shape == Shape::Leaf => task.attempt += 1,
            Signal::Retry => task.retry_count += 1,
            Signal::Revive => task.retry_count = 0,
            Signal::Reopen => task.standing = task.standing.map(Standing::reopened),
            _ => {}
        }
        let task = *task;
        self.count(&task, Some(before))
    }

    /// The state and the standing of a task's parent, or of its run.
    fn family(&mut self, task: &ReplayedTask) -> Result<(State, &mut Standing), String> {
        match task.parent {
            None => self.run(task.run).map(|run| (run.state, &mut run.standing)),
            Some(parent) => {
                let parent = self.task(parent)?;
                Ok((parent.state, parent.standing.as_mut().ok_or("a leaf has a child")?))
            }
        }
    }

    /// Counts a task in its parent's numbers, or its run's, and in the run's tally. A join is in none of them: it only
    /// opens and ends.
    fn count(&mut self, task: &ReplayedTask, before: Option<Subject>) -> Result<(), String> {
        if task.is_join() {
            let subject = task.subject();
            let (_, standing) = self.family(task)?;
            standing.joining =
                if subject.is_settled() { Joining::Ended(subject.state) } else { Joining::Open };
            return Ok(());
        }
        self.run(task.run)?.tally.count(before.map(|subject| subject.state), task.state);
        let (_, standing) = self.family(task)?;
        standing.numbers.count(before, task.subject());
        Ok(())
    }
}

fn standing(numbers: Numbers, policy: Policy, joins: bool) -> Standing {
    let joining = if joins { Joining::Awaited } else { Joining::Nothing };
    Standing { numbers, policy, mark: None, joining }
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

fn mark(state: State, standing: &mut Standing, by: Mark) -> Result<(), String> {
    if state.is_terminal() || standing.mark.is_some() {
        return Err("is marked, though it has ended or was marked before".into());
    }
    if by == Mark::FailFast && standing.decide() != Decision::Mark(by) {
        return Err("is given up, though its policy does not say so".into());
    }
    standing.mark = Some(by);
    Ok(())
}

/// The signal that leads to what was decided, if that is what follows.
fn signal_to(standing: Standing, state: State) -> Result<Signal, String> {
    let decision = standing.decide();
    let signal = decision.end().filter(|_| decision == Decision::Settle(state));
    signal.ok_or_else(|| format!("was decided as {state}, where {decision:?} follows"))
}
