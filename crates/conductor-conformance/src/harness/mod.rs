//! The harness of a test: a store under test with a clock, ids and random numbers that the test controls.
//!
//! This file submits, reports and reads. [`steps`] runs the bounded steps, [`families`] builds parents with children,
//! [`admin_helpers`] cancels and revives, [`test_engine`] claims. Each of them uses only those before it.

mod admin_helpers;
mod families;
mod pages;
mod steps;
pub(crate) mod test_engine;

pub(crate) use pages::{all_events, all_runs, all_tasks, cursor_page, pages};
pub(crate) use steps::drain;

use crate::fixture::AnyStore;
use conductor_model::{
    ChildCounts, Event, Json, NewTask, Run, RunDraft, RunId, State, Task, TaskDraft, TaskId, Timestamp,
};
use conductor_store::{
    Append, AppendError, AppendOutcome, Clock, Environment, NodeId, Report, ReportBatch, ReportOutcome,
    Scope, Seal, SealError, Step, StuckThreshold, Submit, SubmitError, SubmitOutcome,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// 2026-03-01T12:00:00Z, the time at which every test starts.
const START_MS: i64 = 1_772_366_400_000;

/// A limit that no test reaches.
const LARGE_LIMIT: u32 = 10_000;

/// A clock that stands still until the test moves it.
#[derive(Clone, Debug)]
struct ManualClock(Arc<AtomicI64>);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed)).expect("time is in the range of a timestamp")
    }
}

/// A store under test, with a clock, ids and random numbers that are the same each time the test runs.
pub struct Harness<'s> {
    store: &'s dyn AnyStore,
    clock: ManualClock,
    env: Environment,
}

/// All runs, tasks and events of a store, to compare before and after an operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rows {
    runs: Vec<Run>,
    tasks: Vec<Task>,
    events: Vec<Event>,
}

impl Rows {
    /// The ids of the runs, in order of submission.
    pub(crate) fn run_ids(&self) -> Vec<RunId> {
        self.runs.iter().map(|run| run.id).collect()
    }
}

/// The environment.
impl<'s> Harness<'s> {
    /// Creates a harness for an empty store.
    pub(crate) fn new(store: &'s dyn AnyStore) -> Self {
        let clock = ManualClock(Arc::new(AtomicI64::new(START_MS)));
        Self { store, clock: clock.clone(), env: Environment::seeded(clock, 7) }
    }

    pub(crate) fn store(&self) -> &'s dyn AnyStore {
        self.store
    }

    pub(crate) fn env(&self) -> &Environment {
        &self.env
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves the clock forward, or back if `ms` is negative.
    pub(crate) fn advance_ms(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    /// Returns the default threshold of five minutes, at the present time.
    pub(crate) fn stuck_threshold(&self) -> StuckThreshold {
        StuckThreshold::at(self.now())
    }

    /// Returns a step on all runs whose limit no test reaches.
    pub(crate) fn step(&self) -> Step {
        self.bounded_step(Scope::All, LARGE_LIMIT)
    }

    pub(crate) fn bounded_step(&self, scope: Scope, limit: u32) -> Step {
        Step { scope, now: self.now(), limit }
    }
}

/// Submit, append and seal.
impl Harness<'_> {
    pub(crate) fn try_submit(&self, draft: &RunDraft) -> Result<SubmitOutcome, SubmitError> {
        let run = draft.validate().expect("draft is valid");
        self.store.submit(&Submit::new(run, &self.env))
    }

    /// Submits a run, and checks that it is new.
    pub(crate) fn submit(&self, draft: &RunDraft) -> RunId {
        let submitted = self.try_submit(draft).expect("submit succeeds");
        assert!(submitted.created, "the run is new");
        submitted.run
    }

    /// Submits a run with these root tasks, and returns its id and theirs, in order.
    pub(crate) fn submit_tasks(&self, tasks: impl IntoIterator<Item = TaskDraft>) -> (RunId, Vec<TaskId>) {
        let run = self.submit(&RunDraft::new().tasks(tasks));
        (run, self.roots(run).iter().map(|task| task.id).collect())
    }

    /// Submits a run with one root task.
    pub(crate) fn submit_task(&self, task: TaskDraft) -> (RunId, TaskId) {
        let (run, roots) = self.submit_tasks([task]);
        (run, roots[0])
    }

    /// Submits a run with the leaf `A`.
    pub(crate) fn submit_leaf(&self) -> (RunId, TaskId) {
        self.submit_task(TaskDraft::new("A"))
    }

    /// Submits a run with the parent `P`, whose fan-out is open.
    pub(crate) fn submit_open_parent(&self) -> (RunId, TaskId) {
        self.submit_task(TaskDraft::new("P").open())
    }

    pub(crate) fn append(
        &self,
        parent: TaskId,
        first: u32,
        items: &[&str],
    ) -> Result<AppendOutcome, AppendError> {
        let items = items.iter().map(|item| json_of(item)).collect();
        self.store.append(&Append::items(parent, first, items, &self.env))
    }

    pub(crate) fn append_tasks(
        &self,
        run: RunId,
        first: u32,
        tasks: impl IntoIterator<Item = TaskDraft>,
    ) -> Result<AppendOutcome, AppendError> {
        let tasks: Vec<NewTask> =
            tasks.into_iter().map(|task| task.validate().expect("task is valid")).collect();
        self.store.append(&Append::tasks(run, first, tasks, &self.env))
    }

    pub(crate) fn seal(&self, parent: TaskId, children: u32) -> Result<(), SealError> {
        self.store.seal(&Seal { parent: NodeId::Task(parent), children, now: self.now() })
    }

    pub(crate) fn seal_run(&self, run: RunId, children: u32) -> Result<(), SealError> {
        self.store.seal(&Seal { parent: NodeId::Run(run), children, now: self.now() })
    }
}

/// Reports.
impl Harness<'_> {
    pub(crate) fn reports(&self, reports: impl IntoIterator<Item = Report>) -> Vec<ReportOutcome> {
        self.store.report(&ReportBatch::new(reports, &self.env)).expect("report succeeds")
    }

    pub(crate) fn report(&self, report: Report) -> ReportOutcome {
        self.reports([report]).pop().expect("a report has an outcome")
    }

    /// Reports, and checks that the report is applied.
    #[track_caller]
    pub(crate) fn apply(&self, report: Report) {
        let text = format!("{report:?}");
        assert_eq!(self.report(report), ReportOutcome::Applied, "{text}");
    }

    pub(crate) fn start(&self, task: TaskId) {
        self.apply(Report::started(task));
    }

    pub(crate) fn succeed(&self, task: TaskId) {
        self.apply(Report::succeeded(task));
    }

    pub(crate) fn fail(&self, task: TaskId) {
        self.apply(Report::failed(task, "it broke"));
    }

    pub(crate) fn fail_permanently(&self, task: TaskId) {
        self.apply(Report::failed_permanently(task, "it is broken"));
    }

    pub(crate) fn report_cancelled(&self, task: TaskId) {
        self.apply(Report::cancelled(task));
    }

    /// Settles a leaf in the given state, by a report.
    #[track_caller]
    pub(crate) fn settle_leaf(&self, leaf: TaskId, state: State) {
        match state {
            State::Succeeded => self.succeed(leaf),
            State::Failed => self.fail_permanently(leaf),
            _ => self.report_cancelled(leaf),
        }
    }
}

/// Reads.
impl Harness<'_> {
    pub(crate) fn run(&self, id: RunId) -> Run {
        self.store.run(id).expect("query succeeds").expect("run exists")
    }

    pub(crate) fn run_state(&self, id: RunId) -> State {
        self.run(id).state
    }

    pub(crate) fn task(&self, id: TaskId) -> Task {
        self.store.task(id).expect("query succeeds").expect("task exists")
    }

    pub(crate) fn state(&self, id: TaskId) -> State {
        self.task(id).state
    }

    /// The states of tasks, in order.
    pub(crate) fn states(&self, tasks: &[TaskId]) -> Vec<State> {
        tasks.iter().map(|task| self.state(*task)).collect()
    }

    pub(crate) fn node_state(&self, node: NodeId) -> State {
        match node {
            NodeId::Task(id) => self.state(id),
            NodeId::Run(id) => self.run_state(id),
        }
    }

    pub(crate) fn child_counts(&self, parent: TaskId) -> ChildCounts {
        self.task(parent).child_counts.expect("task is a parent")
    }

    pub(crate) fn tasks(&self, run: RunId) -> Vec<Task> {
        all_tasks(self.store, run)
    }

    pub(crate) fn roots(&self, run: RunId) -> Vec<Task> {
        self.tasks(run).into_iter().filter(|task| task.parent.is_none()).collect()
    }

    pub(crate) fn children(&self, parent: TaskId) -> Vec<Task> {
        pages(0, |after| self.store.children(parent, after, 1000).expect("query succeeds"))
    }

    pub(crate) fn child_ids(&self, parent: TaskId) -> Vec<TaskId> {
        self.children(parent).iter().map(|child| child.id).collect()
    }

    /// The inputs of a parent's children, as texts.
    pub(crate) fn child_inputs(&self, parent: TaskId) -> Vec<String> {
        let text = |task: Task| task.input.map_or_else(|| "none".into(), |input| input.to_string());
        self.children(parent).into_iter().map(text).collect()
    }

    pub(crate) fn change_token(&self) -> u64 {
        self.store.change_token().expect("query succeeds")
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        all_events(self.store)
    }

    /// The names of all events after the first `seen` of them.
    pub(crate) fn event_names(&self, seen: usize) -> Vec<&'static str> {
        self.events()[seen..].iter().map(|event| event.body.name()).collect()
    }

    pub(crate) fn rows(&self) -> Rows {
        let runs = all_runs(self.store);
        let tasks = runs.iter().flat_map(|run| all_tasks(self.store, run.id)).collect();
        Rows { runs, tasks, events: all_events(self.store) }
    }

    /// Runs an operation, and checks that it changes no run, task or event.
    pub(crate) fn writes_nothing<T>(&self, operation: impl FnOnce() -> T) -> T {
        let before = self.rows();
        let result = operation();
        assert_eq!(self.rows(), before, "the operation writes nothing");
        result
    }
}

pub(crate) fn json_of(text: &str) -> Json {
    text.parse().expect("text is JSON")
}
