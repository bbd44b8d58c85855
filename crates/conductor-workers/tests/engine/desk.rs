//! What the tests of the engine have in common: a store, runs, and a patience that ends.

use conductor_conformance::assert_replays;
use conductor_model::{Event, EventBody, Run, RunDraft, RunId, State, Task, TaskDraft, TaskId};
use conductor_store::{
    Environment, EventFilter, Query, Report, ReportBatch, ReportOutcome, ReportedResult, SqliteStore, Store,
    Submit, TaskFilter,
};
use conductor_workers::{Context, Engine, EngineBuilder, RunError, TaskError};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than anything here takes, on however busy a machine.
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// A store, and a way to put runs into it without any engine.
pub(crate) struct Desk {
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) env: Environment,
    folder: Option<TempDir>,
}

impl Desk {
    /// In memory.
    pub(crate) fn new() -> Self {
        let store = Arc::new(SqliteStore::open_in_memory().unwrap());
        Self { store, env: Environment::system(), folder: None }
    }

    /// In a file, for those who open it more than once.
    pub(crate) fn on_disk() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(folder.path().join("desk.db")).unwrap());
        Self { store, env: Environment::system(), folder: Some(folder) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.as_ref().expect("a desk on disk").path().join("desk.db")
    }

    /// Another handle of the same file.
    pub(crate) fn open_again(&self) -> Arc<SqliteStore> {
        Arc::new(SqliteStore::open(self.path()).unwrap())
    }

    pub(crate) fn engine(&self) -> EngineBuilder {
        Engine::builder(Arc::clone(&self.store))
    }

    pub(crate) fn submit(&self, task: TaskDraft) -> RunId {
        self.submit_all([task])
    }

    pub(crate) fn submit_all(&self, tasks: impl IntoIterator<Item = TaskDraft>) -> RunId {
        let run = RunDraft::new().tasks(tasks).validate().unwrap();
        self.store.submit(&Submit::new(run, &self.env)).unwrap().run
    }

    pub(crate) fn run(&self, run: RunId) -> Run {
        self.store.run(run).unwrap().unwrap()
    }

    pub(crate) fn task(&self, task: TaskId) -> Task {
        self.store.task(task).unwrap().unwrap()
    }

    pub(crate) fn tasks(&self, run: RunId) -> Vec<Task> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.tasks(run, TaskFilter::default(), after, 1000).unwrap();
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    }

    /// The first task of a run.
    pub(crate) fn first(&self, run: RunId) -> Task {
        self.tasks(run).remove(0)
    }

    pub(crate) fn events(&self, run: RunId) -> Vec<Event> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let filter = EventFilter { run: Some(run), ..EventFilter::default() };
            let page = self.store.events(filter, after, 1000).unwrap();
            all.extend(page.items);
            match page.next {
                Some(next) => after = next,
                None => return all,
            }
        }
    }

    /// How often something of that name happened in a run.
    pub(crate) fn count(&self, run: RunId, name: &str) -> usize {
        self.events(run).iter().filter(|event| event.body.name() == name).count()
    }

    /// Runs a single task with this engine, and shows how it ended.
    pub(crate) fn carry_out(&self, engine: &Engine, task: TaskDraft) -> Task {
        let run = self.submit(task);
        settle(engine, run);
        self.first(run)
    }

    /// Reports from outside that a task is worked on.
    pub(crate) fn hold(&self, task: TaskId) {
        self.report(Report::started(task));
    }

    pub(crate) fn report(&self, report: Report) {
        let answer = self.store.report(&ReportBatch::new([report], &self.env)).unwrap();
        assert_eq!(answer, [ReportOutcome::Applied]);
    }

    /// Each success is recorded once, whatever was attempted, and the events alone tell every state.
    pub(crate) fn assert_whole(&self, run: RunId) {
        let successes = self.count(run, "task.succeeded");
        let leaves = self.tasks(run).into_iter().filter(|task| task.child_counts.is_none());
        assert_eq!(successes, leaves.filter(|task| task.state == State::Succeeded).count());
        assert_replays(&*self.store);
    }
}

/// The failures of a run, in words.
pub(crate) fn failures(events: &[Event]) -> Vec<String> {
    let error = |event: &Event| match &event.body {
        EventBody::TaskFailed { error, .. } => Some(error.to_string()),
        _ => None,
    };
    events.iter().filter_map(error).collect()
}

/// Works until a run is settled, and ends the whole test program if that takes for ever.
pub(crate) fn settle(engine: &Engine, run: RunId) -> Run {
    try_to_settle(engine, run).unwrap()
}

pub(crate) fn try_to_settle(engine: &Engine, run: RunId) -> Result<Run, RunError> {
    let _patience = Patience::of("run_until_settled");
    engine.run_until_settled(run)
}

/// Ends the test program, which says so, unless it is dropped in time: a hang is a failure with a name.
pub(crate) struct Patience {
    _over: Sender<()>,
}

impl Patience {
    pub(crate) fn of(what: &str) -> Self {
        let (over, ended): (Sender<()>, Receiver<()>) = mpsc::channel();
        let test = thread::current().name().unwrap_or("a test").to_owned();
        let what = what.to_owned();
        thread::spawn(move || {
            if ended.recv_timeout(LONG) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("{test}: {what} hangs");
                std::process::abort();
            }
        });
        Self { _over: over }
    }
}

/// Looks until something is so.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LONG, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The next message, of somebody who will send one.
pub(crate) fn next<T>(messages: &Receiver<T>) -> T {
    messages.recv_timeout(LONG).expect("a message")
}

/// A gate that handlers wait at. It opens for good, also when a test fails.
pub(crate) fn gate() -> (Gate, Waiting) {
    let (sender, receiver) = mpsc::channel();
    (Gate(sender), Waiting(Arc::new(std::sync::Mutex::new(receiver))))
}

pub(crate) struct Gate(Sender<()>);

impl Gate {
    /// Lets one through.
    pub(crate) fn let_through(&self) {
        self.0.send(()).unwrap();
    }

    /// Lets all through.
    pub(crate) fn open(self) {
        drop(self);
    }
}

#[derive(Clone)]
pub(crate) struct Waiting(Arc<std::sync::Mutex<Receiver<()>>>);

impl Waiting {
    pub(crate) fn pass(&self) {
        // An error says that the gate is open for good.
        let _ = self.0.lock().unwrap().recv();
    }
}

/// Whether a report says that a task ended well: for those who look at outcomes.
pub(crate) fn succeeded(task: TaskId) -> Report {
    Report { task, attempt: None, result: ReportedResult::Succeeded { output: None } }
}

/// How many tasks there are for a handler that pauses.
pub(crate) const ALL: u32 = 3000;
const PAUSE_EVERY: u32 = 300;

/// A handler for as many workers at once, which pauses now and then: between the pauses its tasks end at once, so that
/// an engine claims ahead of its workers. The output is the attempt.
pub(crate) fn pausing(
    workers: u32,
) -> (impl Fn((), Context) -> Result<u32, TaskError> + Send + Sync + 'static, Pauses) {
    let (gate, waiting) = gate();
    let (began, told) = mpsc::channel();
    let handler = move |(): (), context: Context| {
        let attempt = context.attempt();
        if context.index() >= PAUSE_EVERY && context.index() % PAUSE_EVERY < workers {
            // After the pause that was looked for nobody listens, and the gate is open.
            let _ = began.send(context);
            waiting.pass();
        }
        Ok(attempt)
    };
    (handler, Pauses { workers, gate, told })
}

pub(crate) struct Pauses {
    workers: u32,
    gate: Gate,
    told: Receiver<Context>,
}

impl Pauses {
    /// Goes on until all workers pause while the engine holds claims that have not begun.
    pub(crate) fn with_others_waiting(self, desk: &Desk, run: RunId) -> (Vec<Context>, Gate) {
        loop {
            let mut running: Vec<Context> = (0..self.workers).map(|_| next(&self.told)).collect();
            running.sort_by_key(Context::index);
            thread::sleep(Duration::from_millis(20));
            if desk.run(run).state_counts.running > u64::from(self.workers) {
                return (running, self.gate);
            }
            (0..self.workers).for_each(|_| self.gate.let_through());
        }
    }
}
