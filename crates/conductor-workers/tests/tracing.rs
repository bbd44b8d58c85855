//! What an engine tells `tracing`. The program's one subscriber writes everything down; each test looks for its own tasks.

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
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Longer than anything here takes, on however busy a machine.
const LONG: Duration = Duration::from_mins(1);

/// A kind that the subscriber cannot bear.
const UNBEARABLE: &str = "unbearable";

type Fields = BTreeMap<String, String>;

/// What was told: an event, and the span in which it stood.
#[derive(Clone, Debug)]
struct Told {
    level: Level,
    fields: Fields,
    span: Option<(&'static str, Fields)>,
}

impl Told {
    fn is(&self, message: &str, fields: &[(&str, &str)]) -> bool {
        let has = |(name, value): &(&str, &str)| self.fields.get(*name).is_some_and(|field| field == value);
        self.fields["message"] == message && fields.iter().all(has)
    }
}

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    spans: Vec<(&'static str, Fields)>,
    told: Vec<Told>,
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
    fn book(&self) -> MutexGuard<'_, Book> {
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
        assert_ne!(fields.get("kind").map(String::as_str), Some(UNBEARABLE), "a subscriber that panics");
        let mut book = self.book();
        book.spans.push((span.metadata().name(), fields));
        Id::from_u64(book.spans.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::new();
        event.record(&mut Reader(&mut fields));
        let entered = ENTERED.with_borrow(|entered| entered.last().copied());
        let mut book = self.book();
        let span = entered.map(|id| book.spans[usize::try_from(id).expect("a place in a list") - 1].clone());
        book.told.push(Told { level: *event.metadata().level(), fields, span });
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

/// Waits until that is told.
#[track_caller]
fn told(level: Level, message: &str, fields: &[(&str, &str)]) -> Told {
    let began = Instant::now();
    loop {
        let found = RECORDER.book().told.iter().find(|told| told.is(message, fields)).cloned();
        if let Some(found) = found {
            assert_eq!(found.level, level, "{found:?}");
            return found;
        }
        assert!(began.elapsed() < LONG, "nobody told {message:?} with {fields:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A store in a file.
struct Place {
    store: Arc<SqliteStore>,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Place {
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

    /// The id of a run's first task, in words.
    fn task(&self, run: RunId) -> String {
        self.store.tasks(run, TaskFilter::default(), None, 1).unwrap().items[0].id.to_string()
    }

    fn begin_to_write(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(&self.path).unwrap();
        connection.busy_timeout(LONG).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        connection
    }
}

fn settle(engine: &Engine, run: RunId) -> Run {
    engine.run_until_settled(run).unwrap()
}

#[expect(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "the form of every handler")]
fn says(text: String, _: Context) -> Result<(), TaskError> {
    tracing::info!(target: "handler", "{text}");
    Ok(())
}

#[test]
fn handler_runs_in_span_of_its_attempt() {
    let place = Place::new();
    let twice = |text: String, context: Context| {
        if context.attempt() == 1 { Err(TaskError::retry("once more")) } else { says(text, context) }
    };
    let engine = place.engine().handler("say", twice).build().unwrap();
    let run = place.submit(TaskDraft::new("S").kind("say").input("in the span of a plain handler"));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let (name, fields) = told(Level::INFO, "in the span of a plain handler", &[]).span.expect("a span");
    let expected = [
        ("run", run.to_string()),
        ("task", place.task(run)),
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
    let place = Place::new();
    let handler = |text: String, context: Context| async move {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            says(text.clone(), context.clone())?;
        }
        Ok(())
    };
    let engine = place.engine().handler("say", handler).build().unwrap();
    let texts = ["the first future", "the second future"];
    let run = place.submit(TaskDraft::new("S").kind("say").fan_out(texts));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    for (nth, text) in texts.into_iter().enumerate() {
        let book = RECORDER.book();
        let said: Vec<_> = book.told.iter().filter(|told| told.is(text, &[])).collect();
        assert_eq!(said.len(), 3);
        for told in said {
            let (_, fields) = told.span.as_ref().expect("a span");
            assert_eq!((&fields["run"], &fields["index"]), (&run.to_string(), &(nth + 1).to_string()));
        }
    }
}

#[test]
fn engine_activity_is_logged() {
    let place = Place::new();
    let engine = place.engine().workers(3).handler("work", |(): (), _| Ok(())).build().unwrap();
    let run = place.submit(TaskDraft::new("W").kind("work"));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    told(Level::INFO, "engine started", &[("workers", "3"), ("kinds", "1")]);
    told(Level::DEBUG, "claimed", &[("tasks", "1")]);
    told(Level::DEBUG, "settled", &[("tasks", "1"), ("stale", "0")]);
    told(Level::INFO, "runs decided", &[("runs", "1")]);
    drop(engine);
    told(Level::INFO, "engine stopped", &[]);
}

#[test]
fn failures_and_timeouts_are_logged_with_tasks() {
    let place = Place::new();
    let fail = |(): (), _: Context| Err::<(), _>(TaskError::fatal("it is broken"));
    let wait = |(): (), context: Context| {
        let _ = context.sleep(LONG);
        Ok(())
    };
    let engine = place.engine().handler("fail", fail).handler("wait", wait).build().unwrap();
    let failed = place.submit(TaskDraft::new("fail"));
    assert_eq!(settle(&engine, failed).state, State::Failed);
    let late = place.submit(TaskDraft::new("wait").timeout_ms(20).max_retries(0));
    assert_eq!(settle(&engine, late).state, State::Failed);
    let (task, run) = (place.task(failed), failed.to_string());
    let fields = [("task", &*task), ("run", &run), ("kind", "fail"), ("attempt", "1")];
    assert_eq!(told(Level::INFO, "attempt failed", &fields).fields["error"], "it is broken");
    told(Level::INFO, "attempt timed out", &[("task", &place.task(late)), ("kind", "wait")]);
}

#[test]
fn lost_lease_is_logged() {
    let place = Place::new();
    let (begins, begun) = mpsc::channel();
    let wait = move |(): (), context: Context| {
        begins.send(())?;
        Ok(context.sleep(LONG))
    };
    let engine = place.engine().lease(Duration::from_millis(300)).handler("wait", wait).build().unwrap();
    let run = place.submit(TaskDraft::new("wait"));
    engine.start();
    begun.recv_timeout(LONG).unwrap();
    let other = place.begin_to_write();
    let taken = other.execute("UPDATE conductor_tasks SET attempt = 5 WHERE state = 1", []);
    assert_eq!(taken.unwrap(), 1);
    other.execute_batch("COMMIT").unwrap();
    told(Level::WARN, "lease lost", &[("task", &place.task(run)), ("attempt", "1")]);
    engine.stop_handle().stop_now();
}

#[test]
fn store_retry_is_logged() {
    let place = Place::new();
    let engine = place.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
    let run = place.submit(TaskDraft::new("W").kind("work"));
    let other = place.begin_to_write();
    engine.start();
    told(Level::WARN, "the store failed, and is asked again", &[]);
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
}

#[test]
fn warnings_are_logged() {
    let place = Place::new();
    let engine = place.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
    place.submit(TaskDraft::new("a strange one"));
    engine.start();
    let warning = "tasks of kind a strange one are ready, and this engine has no handler for them";
    told(Level::WARN, "warning", &[("warning", warning)]);
}

#[test]
fn panicking_subscriber_fails_only_one_attempt() {
    let place = Place::new();
    let engine = place.engine().workers(1).handler(UNBEARABLE, says).handler("work", |(): (), _| Ok(()));
    let engine = engine.build().unwrap();
    let run = place.submit(TaskDraft::new(UNBEARABLE).max_retries(0).input("never said"));
    assert_eq!(settle(&engine, run).state, State::Failed);
    let run = place.submit(TaskDraft::new("W").kind("work"));
    assert_eq!(settle(&engine, run).state, State::Succeeded, "its thread goes on");
}

#[cfg(feature = "tokio")]
#[test]
fn panicking_subscriber_fails_only_one_async_attempt() {
    let place = Place::new();
    let handler = |text: String, context: Context| async move { says(text, context) };
    let engine = place.engine().workers(1).handler(UNBEARABLE, handler).handler("work", |(): (), _| Ok(()));
    let engine = engine.build().unwrap();
    let run = place.submit(TaskDraft::new(UNBEARABLE).max_retries(0).input("never said"));
    assert_eq!(settle(&engine, run).state, State::Failed);
    let run = place.submit(TaskDraft::new("W").kind("work"));
    assert_eq!(settle(&engine, run).state, State::Succeeded, "its thread goes on");
}
