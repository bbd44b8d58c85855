//! What the ends of a run cost in a large file: a join over all outputs beside a raw scan of them, an explanation, the
//! revival of one child among all, and a cancel with its longest hold of the write lock.
//! `cargo bench -p conductor-workers --bench ends [-- N]`
//!
//! The floor of the join is one ordered SELECT of the same outputs, read into the same type.

use conductor_model::{RunDraft, RunId, State, TaskDraft, TaskId};
use conductor_store::{
    Admin, Cancel, FanOut, ParentId, Query, Revive, Scope, Source, SqliteStore, Step, Store, Submit,
    TaskFilter,
};
use conductor_workers::{Children, Context, Engine, TaskError};
use rusqlite::Connection;
use serde_json::json;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const ROUNDS: usize = 5;

fn main() -> Outcome<()> {
    let tasks: u32 = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir()?;
    println!("{tasks} tasks in the file, medians of {ROUNDS} rounds");
    join(&folder.path().join("join.db"), tasks)?;
    let path = folder.path().join("ends.db");
    let bench = Bench::new(&path, tasks)?;
    bench.explain()?;
    bench.revive(&path)?;
    bench.cancel(tasks)?;
    Ok(())
}

/// Decides whatever can be decided.
fn aggregate(store: &SqliteStore, source: &Source) -> Outcome<()> {
    while store.aggregate(&Step::new(Scope::All, 1000, source))?.more {}
    Ok(())
}

/// A run with one parent of so many children.
fn fan_out(store: &SqliteStore, source: &Source, task: TaskDraft, tasks: u32) -> Outcome<(RunId, TaskId)> {
    let run = RunDraft::new().task(task.input(json!({ "fanout": tasks }))).check()?;
    let run = store.submit(&Submit::new(run, source))?.run;
    while store.fan_out(&FanOut::new(Scope::All, 10_000, source))?.more {}
    Ok((run, store.tasks(run, TaskFilter::default(), None, 1)?.items[0].id))
}

fn join(path: &Path, tasks: u32) -> Outcome<()> {
    let (store, source) = (Arc::new(SqliteStore::open(path)?), Source::system());
    let (run, parent) = fan_out(&store, &source, TaskDraft::new("leaf").join("sum"), tasks)?;
    // As if all of them had been worked on.
    let raw = Connection::open(path)?;
    raw.execute(
        "UPDATE conductor_tasks SET state = 2, output = CAST(ordinal AS TEXT) WHERE sealed IS NULL",
        [],
    )?;
    raw.execute("UPDATE conductor_tasks SET open_children = 0 WHERE sealed = 1", [])?;
    aggregate(&store, &source)?;
    let times: Arc<Mutex<(Vec<Duration>, Vec<Duration>)>> = Arc::default();
    let (taken, path) = (Arc::clone(&times), path.to_owned());
    let sum = move |numbers: Children<u64>, _: Context| {
        let raw = Connection::open(&path)?;
        let mut sum = 0;
        for _ in 0..ROUNDS {
            let began = Instant::now();
            sum = numbers.outputs().sum::<Result<u64, TaskError>>()?;
            let ours = began.elapsed();
            // In turn, so that a drift of the machine meets both.
            let floor = raw_scan(&raw).map_err(TaskError::fatal)?;
            let mut taken = taken.lock().expect("nobody panicked");
            taken.0.push(ours);
            taken.1.push(floor);
        }
        Ok::<_, TaskError>(sum)
    };
    let engine = Engine::builder(Arc::clone(&store)).handler("sum", sum).build()?;
    let before = peak_memory_mib();
    engine.start();
    while store.task(parent)?.is_some_and(|parent| !parent.state.is_terminal()) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(store.task(parent)?.map(|parent| parent.state), Some(State::Succeeded), "run {run}");
    let after = peak_memory_mib();
    let (ours, floor) = std::mem::take(&mut *times.lock().expect("nobody panicked"));
    let (ours, floor) = (median(ours), median(floor));
    let rate = |time: Duration| f64::from(tasks) / time.as_secs_f64();
    println!(
        "  join        {:>9.0} outputs/s  floor {:>9.0} outputs/s  ratio {:.2}  peak memory {} MiB, {} before",
        rate(ours),
        rate(floor),
        floor.as_secs_f64() / ours.as_secs_f64(),
        after.unwrap_or(0),
        before.unwrap_or(0)
    );
    Ok(())
}

fn raw_scan(raw: &Connection) -> Outcome<Duration> {
    let began = Instant::now();
    let sql =
        "SELECT output FROM conductor_tasks WHERE run = 1 AND parent = 1 AND ordinal > 0 ORDER BY ordinal";
    let mut statement = raw.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut sum = 0_u64;
    while let Some(row) = rows.next()? {
        sum += serde_json::from_str::<u64>(row.get_ref(0)?.as_str()?)?;
    }
    assert!(sum > 0);
    Ok(began.elapsed())
}

struct Bench {
    store: SqliteStore,
    source: Source,
    run: RunId,
    parent: TaskId,
}

impl Bench {
    fn new(path: &Path, tasks: u32) -> Outcome<Self> {
        let (store, source) = (SqliteStore::open(path)?, Source::system());
        let (run, parent) = fan_out(&store, &source, TaskDraft::new("leaf"), tasks)?;
        Ok(Self { store, source, run, parent })
    }

    fn explain(&self) -> Outcome<()> {
        for (what, subject) in [("run", ParentId::Run(self.run)), ("parent", ParentId::Task(self.parent))] {
            let explain = || {
                let began = Instant::now();
                let explained = self.store.explain(subject)?;
                assert!(explained.is_some());
                Ok(began.elapsed())
            };
            let times = (0..ROUNDS * 20).map(|_| explain()).collect::<Outcome<_>>()?;
            println!("  explain     a {what}: {:?}", median(times));
        }
        Ok(())
    }

    /// All have succeeded but one: it is revived, again and again.
    fn revive(&self, path: &Path) -> Outcome<()> {
        let raw = Connection::open(path)?;
        let middle: u32 = raw.query_row("SELECT count(*) / 2 FROM conductor_tasks", [], |row| row.get(0))?;
        raw.execute("UPDATE conductor_tasks SET state = 2 WHERE sealed IS NULL AND ordinal <> ?1", [middle])?;
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            raw.execute(
                "UPDATE conductor_tasks SET state = 3 WHERE sealed IS NULL AND ordinal = ?1",
                [middle],
            )?;
            let parent = "UPDATE conductor_tasks SET open_children = 0, failed_children = 1, state = 1 WHERE sealed = 1";
            raw.execute(parent, [])?;
            raw.execute("UPDATE conductor_runs SET open_children = 1, failed_children = 0, state = 1", [])?;
            aggregate(&self.store, &self.source)?;
            let child = self.store.children(self.parent, middle - 1, 1)?.items[0].id;
            let began = Instant::now();
            let revived = self.store.revive(&Revive::leaf(child, self.source.now()))?;
            times.push(began.elapsed());
            assert_eq!((revived.tasks, revived.reopened), (1, 2));
        }
        println!("  revive      one of the children: {:?}", median(times));
        Ok(())
    }

    fn cancel(&self, tasks: u32) -> Outcome<()> {
        let (run, _) = fan_out(&self.store, &self.source, TaskDraft::new("open"), tasks)?;
        let began = Instant::now();
        let _ = self.store.cancel(&Cancel::run(run, self.source.now()))?;
        let marked = began.elapsed();
        let mut holds = Vec::new();
        loop {
            let began = Instant::now();
            let swept = self.store.sweep(&Step::new(Scope::All, 2000, &self.source))?;
            holds.push(began.elapsed());
            if !swept.more {
                break;
            }
        }
        aggregate(&self.store, &self.source)?;
        let state = self.store.run(run)?.map(|run| run.state);
        assert_eq!(state, Some(State::Cancelled));
        let longest = holds.iter().max().copied().unwrap_or_default();
        println!(
            "  cancel      the call {marked:?}, {tasks} swept in {} steps and {:?}, the longest {longest:?}, median {:?}",
            holds.len(),
            began.elapsed(),
            median(holds)
        );
        Ok(())
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The peak memory of this process so far, in MiB, where the system tells.
fn peak_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}
