//! A store with a clock and a source of ids that the test holds in its hand.

mod admin_helpers;
pub(crate) mod test_engine;

use crate::AnyStore;
use conductor_model::{
    ChildCounts, Event, Json, NewTask, Run, RunDraft, RunId, State, Task, TaskDraft, TaskId, Timestamp,
};
use conductor_store::{
    AggregateOutcome, Append, AppendError, AppendOutcome, Clock, Environment, EventFilter, FanOut,
    FanOutOutcome, NodeId, Page, Report, ReportBatch, ReportOutcome, RotationCursor, Scope, Seal, SealError,
    Step, StepOutcome, StuckThreshold, Submit, SubmitError, SubmitOutcome, TaskFilter,
};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// 2026-03-01T12:00:00Z, when every test begins.
const BEGINNING: i64 = 1_772_366_400_000;

/// More than any test changes at once.
const PLENTY: u32 = 10_000;

/// A clock that moves when it is told to.
#[derive(Clone, Debug)]
struct Hand(Arc<AtomicI64>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed)).expect("a moment of a test")
    }
}

/// A store under test, with time, ids and chance that are the same in every run of the test.
pub struct World<'s> {
    store: &'s dyn AnyStore,
    hand: Hand,
    env: Environment,
}

/// Every row that can be read: what must stay as it is when nothing was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rows {
    runs: Vec<Run>,
    tasks: Vec<Task>,
    events: Vec<Event>,
}

impl Rows {
    /// The runs, in the order of their submission.
    pub(crate) fn runs_of(&self) -> Vec<RunId> {
        self.runs.iter().map(|run| run.id).collect()
    }
}

impl<'s> World<'s> {
    /// A world around an empty store.
    pub(crate) fn of(store: &'s dyn AnyStore) -> Self {
        let hand = Hand(Arc::new(AtomicI64::new(BEGINNING)));
        Self { store, hand: hand.clone(), env: Environment::seeded(hand, 7) }
    }

    pub(crate) fn store(&self) -> &'s dyn AnyStore {
        self.store
    }

    pub(crate) fn env(&self) -> &Environment {
        &self.env
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.hand.now()
    }

    /// Lets time pass.
    pub(crate) fn pass_ms(&self, ms: i64) {
        self.hand.0.fetch_add(ms, Ordering::Relaxed);
    }

    /// The present moment, with the default threshold of five minutes.
    pub(crate) fn watch(&self) -> StuckThreshold {
        StuckThreshold::at(self.now())
    }

    /// A step that is bounded by nothing that a test would notice.
    pub(crate) fn step(&self) -> Step {
        self.step_of(Scope::All, PLENTY)
    }

    pub(crate) fn step_of(&self, scope: Scope, limit: u32) -> Step {
        Step { scope, now: self.now(), limit }
    }
}

/// What is submitted, appended and sealed.
impl World<'_> {
    pub(crate) fn try_submit(&self, draft: &RunDraft) -> Result<SubmitOutcome, SubmitError> {
        let run = draft.validate().expect("a draft without issues");
        self.store.submit(&Submit::new(run, &self.env))
    }

    /// Submits a run that did not exist.
    pub(crate) fn submit(&self, draft: &RunDraft) -> RunId {
        let submitted = self.try_submit(draft).expect("a submission");
        assert!(submitted.created, "the run is a new one");
        submitted.run
    }

    /// Submits a run with these root tasks; their ids, in order.
    pub(crate) fn run_of(&self, tasks: impl IntoIterator<Item = TaskDraft>) -> (RunId, Vec<TaskId>) {
        let run = self.submit(&RunDraft::new().tasks(tasks));
        (run, self.roots(run).iter().map(|task| task.id).collect())
    }

    /// Submits a run with this one task.
    pub(crate) fn one(&self, task: TaskDraft) -> (RunId, TaskId) {
        let (run, roots) = self.run_of([task]);
        (run, roots[0])
    }

    /// Submits a run with the leaf `A`.
    pub(crate) fn leaf(&self) -> (RunId, TaskId) {
        self.one(TaskDraft::new("A"))
    }

    /// Submits a run with the parent `P` and creates its `n` children.
    pub(crate) fn family(&self, n: u32) -> (RunId, TaskId, Vec<TaskId>) {
        let (run, parent) = self.one(TaskDraft::new("P").input(json!({ "fanout": n })));
        self.fan_out();
        (run, parent, self.children(parent).iter().map(|child| child.id).collect())
    }

    /// Submits a run with the parent `P`, whose fan-out is open.
    pub(crate) fn open_parent(&self) -> (RunId, TaskId) {
        self.one(TaskDraft::new("P").open())
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
        let tasks: Vec<NewTask> = tasks.into_iter().map(|task| task.validate().expect("a task")).collect();
        self.store.append(&Append::tasks(run, first, tasks, &self.env))
    }

    pub(crate) fn seal(&self, parent: TaskId, children: u32) -> Result<(), SealError> {
        self.store.seal(&Seal { parent: NodeId::Task(parent), children, now: self.now() })
    }

    pub(crate) fn seal_run(&self, run: RunId, children: u32) -> Result<(), SealError> {
        self.store.seal(&Seal { parent: NodeId::Run(run), children, now: self.now() })
    }
}

/// Reports and steps.
impl World<'_> {
    pub(crate) fn reports(&self, reports: impl IntoIterator<Item = Report>) -> Vec<ReportOutcome> {
        self.store.report(&ReportBatch::new(reports, &self.env)).expect("answers to reports")
    }

    pub(crate) fn report(&self, report: Report) -> ReportOutcome {
        self.reports([report]).pop().expect("one answer")
    }

    /// A report that must be applied.
    #[track_caller]
    pub(crate) fn apply(&self, report: Report) {
        let said = format!("{report:?}");
        assert_eq!(self.report(report), ReportOutcome::Applied, "{said}");
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

    pub(crate) fn fail_for_good(&self, task: TaskId) {
        self.apply(Report::failed_permanently(task, "it is broken"));
    }

    pub(crate) fn cancel(&self, task: TaskId) {
        self.apply(Report::cancelled(task));
    }

    /// One fan-out step with so many ids.
    pub(crate) fn fan_out_step(&self, scope: Scope, ids: u32) -> FanOutOutcome {
        let step =
            FanOut { scope, now: self.now(), ids: self.env.ids(ids), cursor: RotationCursor::default() };
        self.store.fan_out(&step).expect("a fan-out step")
    }

    /// Fans out until nothing is missing; how many children were created.
    pub(crate) fn fan_out(&self) -> u32 {
        let mut children = 0;
        loop {
            let done = self.fan_out_step(Scope::All, PLENTY);
            children += done.children;
            if !done.more {
                return children;
            }
        }
    }

    pub(crate) fn aggregate_step(&self, step: &Step) -> AggregateOutcome {
        self.store.aggregate(step).expect("an aggregate step")
    }

    /// Aggregates until nothing can be decided; how many parents and runs were.
    pub(crate) fn aggregate(&self) -> (u32, u32) {
        let (mut parents, mut runs) = (0, 0);
        loop {
            let done = self.aggregate_step(&self.step());
            parents += done.parents;
            runs += done.runs;
            if !done.more {
                return (parents, runs);
            }
        }
    }

    pub(crate) fn retry_step(&self, step: &Step) -> StepOutcome {
        self.store.retry(step).expect("a retry step")
    }

    pub(crate) fn retry(&self) -> u32 {
        self.retry_step(&self.step()).changed
    }

    pub(crate) fn promote_step(&self, step: &Step) -> StepOutcome {
        self.store.promote(step).expect("a promote step")
    }

    pub(crate) fn promote(&self) -> u32 {
        self.promote_step(&self.step()).changed
    }

    /// Every kind of step, until none of them has anything to do.
    pub(crate) fn settle(&self) {
        loop {
            let (tasks, parents) = self.sweep();
            let moved = tasks + parents + self.fan_out() + self.retry() + self.promote() + self.aggregate().0;
            if moved == 0 {
                break;
            }
        }
    }
}

/// What is read.
impl World<'_> {
    pub(crate) fn run(&self, id: RunId) -> Run {
        self.store.run(id).expect("an answer").expect("the run")
    }

    pub(crate) fn run_state(&self, id: RunId) -> State {
        self.run(id).state
    }

    pub(crate) fn task(&self, id: TaskId) -> Task {
        self.store.task(id).expect("an answer").expect("the task")
    }

    pub(crate) fn state(&self, id: TaskId) -> State {
        self.task(id).state
    }

    /// The numbers of a parent.
    pub(crate) fn numbers(&self, parent: TaskId) -> ChildCounts {
        self.task(parent).child_counts.expect("a parent")
    }

    pub(crate) fn tasks(&self, run: RunId) -> Vec<Task> {
        all_tasks(self.store, run)
    }

    pub(crate) fn roots(&self, run: RunId) -> Vec<Task> {
        self.tasks(run).into_iter().filter(|task| task.parent.is_none()).collect()
    }

    pub(crate) fn children(&self, parent: TaskId) -> Vec<Task> {
        pages(0, |after| self.store.children(parent, after, 1000).expect("a page of children"))
    }

    /// The inputs of a parent's children, as texts.
    pub(crate) fn inputs(&self, parent: TaskId) -> Vec<String> {
        let text = |task: Task| task.input.map_or_else(|| "none".into(), |input| input.to_string());
        self.children(parent).into_iter().map(text).collect()
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

    /// Does something that must write nothing.
    pub(crate) fn writes_nothing<T>(&self, act: impl FnOnce() -> T) -> T {
        let before = self.rows();
        let done = act();
        assert_eq!(self.rows(), before, "nothing was written");
        done
    }
}

pub(crate) fn json_of(text: &str) -> Json {
    text.parse().expect("JSON")
}

pub(crate) fn all_runs(store: &dyn AnyStore) -> Vec<Run> {
    pages(None, |after| optional(store.runs(after, 1000).expect("a page of runs")))
}

pub(crate) fn all_tasks(store: &dyn AnyStore, run: RunId) -> Vec<Task> {
    let filter = TaskFilter::default();
    pages(None, |after| optional(store.tasks(run, filter, after, 1000).expect("a page of tasks")))
}

pub(crate) fn all_events(store: &dyn AnyStore) -> Vec<Event> {
    pages(0, |after| store.events(EventFilter::default(), after, 1000).expect("a page of events"))
}

fn optional<T, C>(page: Page<T, C>) -> Page<T, Option<C>> {
    Page { items: page.items, next: page.next.map(Some) }
}

/// All pages, one after the other.
pub(crate) fn pages<T, C>(first: C, mut page: impl FnMut(C) -> Page<T, C>) -> Vec<T> {
    let mut all = Vec::new();
    let mut next = Some(first);
    while let Some(cursor) = next {
        let page = page(cursor);
        all.extend(page.items);
        next = page.next;
    }
    all
}
