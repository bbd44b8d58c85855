//! The spans and events of an engine to `tracing`. One subscriber of the program records everything. Each test looks for its own tasks.

#[path = "support/mod.rs"]
mod support;

use conductor_model::{Run, RunDraft, RunId, State, TaskDraft};
use conductor_store::{Environment, Query, SqliteOptions, SqliteStore, Store, Submit, TaskFilter};
use conductor_workers::{Context, Engine, EngineBuilder, TaskError};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use support::waiting::{TIME_LIMIT, receive};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// The subscriber panics at this kind.
const PANIC_KIND: &str = "panic";

type Fields = BTreeMap<String, String>;

/// A recorded event, and its span.
#[derive(Clone, Debug)]
struct Entry {
    level: Level,
    fields: Fields,
    span: Option<(&'static str, Fields)>,
}

impl Entry {
    fn matches(&self, message: &str, fields: &[(&str, &str)]) -> bool {
        let has = |(name, value): &(&str, &str)| self.fields.get(*name).is_some_and(|field| field == value);
        self.fields["message"] == message && fields.iter().all(has)
    }
}

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    spans: Vec<(&'static str, Fields)>,
    entries: Vec<Entry>,
}

thread_local! {
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

struct Reader<'f>(&'f mut Fields);

impl Visit for Reader<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().into(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }
}

impl Recorder {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        ["conductor", "handler"].contains(&metadata.target())
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::new();
        span.record(&mut Reader(&mut fields));
        assert_ne!(fields.get("kind").map(String::as_str), Some(PANIC_KIND), "a subscriber that panics");
        let mut log = self.log();
        log.spans.push((span.metadata().name(), fields));
        Id::from_u64(log.spans.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::new();
        event.record(&mut Reader(&mut fields));
        let entered = ENTERED.with_borrow(|entered| entered.last().copied());
        let mut log = self.log();
        let span =
            entered.map(|id| log.spans[usize::try_from(id).expect("a position in a list") - 1].clone());
        log.entries.push(Entry { level: *event.metadata().level(), fields, span });
    }

    fn enter(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(span.into_u64()));
    }

    fn exit(&self, _: &Id) {
        ENTERED.with_borrow_mut(Vec::pop);
    }
}

static RECORDER: LazyLock<Recorder> = LazyLock::new(|| {
    let recorder = Recorder::default();
    tracing::subscriber::set_global_default(recorder.clone()).expect("the only subscriber");
    recorder
});

/// Waits for a matching event, and returns it.
#[track_caller]
fn wait_for_entry(level: Level, message: &str, fields: &[(&str, &str)]) -> Entry {
    let start = Instant::now();
    loop {
        let found = RECORDER.log().entries.iter().find(|entry| entry.matches(message, fields)).cloned();
        if let Some(found) = found {
            assert_eq!(found.level, level, "{found:?}");
            return found;
        }
        assert!(start.elapsed() < TIME_LIMIT, "no event {message:?} with {fields:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A store in a file, with a short busy timeout.
struct TestStore {
    store: Arc<SqliteStore>,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl TestStore {
    fn new() -> Self {
        LazyLock::force(&RECORDER);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tracing.db");
        let options = SqliteOptions::default().busy_timeout(Duration::from_millis(50));
        let store = Arc::new(SqliteStore::open_with(&path, options).unwrap());
        Self { store, path, _folder: folder }
    }

    fn engine(&self) -> EngineBuilder {
        Engine::builder(Arc::clone(&self.store)).on_warning(|_| {})
    }

    fn submit(&self, task: TaskDraft) -> RunId {
        let run = RunDraft::new().task(task).validate().unwrap();
        self.store.submit(&Submit::new(run, &Environment::system())).unwrap().run
    }

    /// Returns the id of the first task of a run, as text.
    fn task_id(&self, run: RunId) -> String {
        self.store.tasks(run, TaskFilter::default(), None, 1).unwrap().items[0].id.to_string()
    }

    /// Takes the write lock of the file.
    fn lock_for_writing(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(&self.path).unwrap();
        connection.busy_timeout(TIME_LIMIT).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        connection
    }
}

fn settle(engine: &Engine, run: RunId) -> Run {
    engine.run_until_settled(run).unwrap()
}

#[expect(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "the signature of a handler")]
fn log_text(text: String, _: Context) -> Result<(), TaskError> {
    tracing::info!(target: "handler", "{text}");
    Ok(())
}

#[test]
fn handler_runs_in_span_of_its_attempt() {
    let test_store = TestStore::new();
    let twice = |text: String, context: Context| {
        if context.attempt() == 1 { Err(TaskError::retry("once more")) } else { log_text(text, context) }
    };
    let engine = test_store.engine().handler("say", twice).build().unwrap();
    let run = test_store.submit(TaskDraft::new("S").kind("say").input("in the span of a plain handler"));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let (name, fields) =
        wait_for_entry(Level::INFO, "in the span of a plain handler", &[]).span.expect("a span");
    let expected = [
        ("run", run.to_string()),
        ("task", test_store.task_id(run)),
        ("kind", "say".into()),
        ("attempt", "2".into()),
        ("index", "1".into()),
    ];
    assert_eq!(name, "conductor.attempt");
    assert_eq!(fields, expected.map(|(name, value)| (name.into(), value)).into());
}

#[cfg(feature = "tokio")]
#[test]
fn async_handler_keeps_span_after_each_await() {
    let test_store = TestStore::new();
    let handler = |text: String, context: Context| async move {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            log_text(text.clone(), context.clone())?;
        }
        Ok(())
    };
    let engine = test_store.engine().handler("say", handler).build().unwrap();
    let texts = ["the first future", "the second future"];
    let run = test_store.submit(TaskDraft::new("S").kind("say").fan_out(texts));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    for (number, text) in texts.into_iter().enumerate() {
        let log = RECORDER.log();
        let entries: Vec<_> = log.entries.iter().filter(|entry| entry.matches(text, &[])).collect();
        assert_eq!(entries.len(), 3);
        for entry in entries {
            let (_, fields) = entry.span.as_ref().expect("a span");
            assert_eq!((&fields["run"], &fields["index"]), (&run.to_string(), &(number + 1).to_string()));
        }
    }
}

#[test]
fn engine_activity_is_logged() {
    let test_store = TestStore::new();
    let engine = test_store.engine().workers(3).handler("work", |(): (), _| Ok(())).build().unwrap();
    let run = test_store.submit(TaskDraft::new("W").kind("work"));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    wait_for_entry(Level::INFO, "engine started", &[("workers", "3"), ("kinds", "1")]);
    wait_for_entry(Level::DEBUG, "claimed", &[("tasks", "1")]);
    wait_for_entry(Level::DEBUG, "settled", &[("tasks", "1"), ("stale", "0")]);
    wait_for_entry(Level::INFO, "runs decided", &[("runs", "1")]);
    drop(engine);
    wait_for_entry(Level::INFO, "engine stopped", &[]);
}

#[test]
fn failures_and_timeouts_are_logged_with_tasks() {
    let test_store = TestStore::new();
    let fail = |(): (), _: Context| Err::<(), _>(TaskError::fatal("an intended failure"));
    let wait = |(): (), context: Context| {
        let _ = context.sleep(TIME_LIMIT);
        Ok(())
    };
    let engine = test_store.engine().handler("fail", fail).handler("wait", wait).build().unwrap();
    let failed = test_store.submit(TaskDraft::new("fail"));
    assert_eq!(settle(&engine, failed).state, State::Failed);
    let late = test_store.submit(TaskDraft::new("wait").timeout_ms(20).max_retries(0));
    assert_eq!(settle(&engine, late).state, State::Failed);
    let (task, run) = (test_store.task_id(failed), failed.to_string());
    let fields = [("task", &*task), ("run", &run), ("kind", "fail"), ("attempt", "1")];
    assert_eq!(wait_for_entry(Level::INFO, "attempt failed", &fields).fields["error"], "an intended failure");
    wait_for_entry(
        Level::INFO,
        "attempt timed out",
        &[("task", &test_store.task_id(late)), ("kind", "wait")],
    );
}

#[test]
fn lost_lease_is_logged() {
    let test_store = TestStore::new();
    let (started, starts) = mpsc::channel();
    let wait = move |(): (), context: Context| {
        started.send(())?;
        Ok(context.sleep(TIME_LIMIT))
    };
    let engine = test_store.engine().lease(Duration::from_millis(300)).handler("wait", wait).build().unwrap();
    let run = test_store.submit(TaskDraft::new("wait"));
    engine.start();
    receive(&starts);
    let other = test_store.lock_for_writing();
    let taken = other.execute("UPDATE conductor_ranges SET attempt = 5 WHERE state = 1", []);
    assert_eq!(taken.unwrap(), 1);
    other.execute_batch("COMMIT").unwrap();
    wait_for_entry(Level::WARN, "lease lost", &[("task", &test_store.task_id(run)), ("attempt", "1")]);
    engine.stop_handle().stop_now();
}

#[test]
fn store_retry_is_logged() {
    let test_store = TestStore::new();
    let engine = test_store.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
    let run = test_store.submit(TaskDraft::new("W").kind("work"));
    let other = test_store.lock_for_writing();
    engine.start();
    wait_for_entry(Level::WARN, "the store failed; retrying", &[]);
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}

#[test]
fn warnings_are_logged() {
    let test_store = TestStore::new();
    let engine = test_store.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
    test_store.submit(TaskDraft::new("unknown"));
    engine.start();
    let warning = "tasks of kind \"unknown\" are ready, but this engine has no handler for them; register a handler, or \
                   ignore this if another engine handles them";
    wait_for_entry(Level::WARN, "warning", &[("warning", warning)]);
}

#[test]
fn panicking_subscriber_fails_only_one_attempt() {
    let test_store = TestStore::new();
    let engine =
        test_store.engine().workers(1).handler(PANIC_KIND, log_text).handler("work", |(): (), _| Ok(()));
    let engine = engine.build().unwrap();
    let run = test_store.submit(TaskDraft::new(PANIC_KIND).max_retries(0).input("not logged"));
    assert_eq!(settle(&engine, run).state, State::Failed);
    let run = test_store.submit(TaskDraft::new("W").kind("work"));
    assert_eq!(settle(&engine, run).state, State::Succeeded, "the worker continues");
}

#[cfg(feature = "tokio")]
#[test]
fn panicking_subscriber_fails_only_one_async_attempt() {
    let test_store = TestStore::new();
    let handler = |text: String, context: Context| async move { log_text(text, context) };
    let engine =
        test_store.engine().workers(1).handler(PANIC_KIND, handler).handler("work", |(): (), _| Ok(()));
    let engine = engine.build().unwrap();
    let run = test_store.submit(TaskDraft::new(PANIC_KIND).max_retries(0).input("not logged"));
    assert_eq!(settle(&engine, run).state, State::Failed);
    let run = test_store.submit(TaskDraft::new("W").kind("work"));
    assert_eq!(settle(&engine, run).state, State::Succeeded, "the worker continues");
}
