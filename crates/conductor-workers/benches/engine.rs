//! The engine beside its floor: how fast it drains, how soon it starts, what it costs when idle, what it holds in memory.
//! `cargo bench -p conductor-workers --bench engine [-- N] [drain|latency|idle|memory]`
//!
//! The floor of a drain is the shortest raw code that claims and settles the same rows with the same events, a thousand
//! in each transaction, with nobody running them.

use conductor_model::{RunDraft, RunId, State, TaskDraft};
use conductor_store::{Query, Scope, Source, SqliteOptions, SqliteStore, Synchronous};
use conductor_workers::{Context, Engine, TaskError, fanout};
use rusqlite::{Connection, TransactionBehavior, params};
use serde_json::json;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
type Bench = fn(u32) -> Outcome<()>;

const ROUNDS: usize = 5;
const FLOOR_BATCH: u32 = 1000;

fn main() -> Outcome<()> {
    let tasks: u32 = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(100_000);
    let benches: [(&str, Bench); 4] =
        [("drain", drain), ("latency", latency), ("idle", idle), ("memory", memory)];
    let asked: Vec<String> = std::env::args().collect();
    let all = !benches.iter().any(|(name, _)| asked.iter().any(|arg| arg == name));
    for (name, bench) in benches {
        if all || asked.iter().any(|arg| arg == name) {
            bench(tasks)?;
        }
    }
    Ok(())
}

fn open(path: &Path, synchronous: Synchronous) -> Outcome<Arc<SqliteStore>> {
    Ok(Arc::new(SqliteStore::open_with(path, SqliteOptions::default().synchronous(synchronous))?))
}

#[expect(clippy::unnecessary_wraps, reason = "the form of every handler")]
fn noop(_: serde_json::Value, _: Context) -> Result<(), TaskError> {
    Ok(())
}

/// A run of that many children, all of them ready.
fn ready(store: &SqliteStore, engine: &Engine, tasks: u32) -> Outcome<RunId> {
    let task = TaskDraft::new("noop").input(json!({ "fanout": tasks }));
    let run = engine.submit(RunDraft::new().task(task))?;
    fanout::run_once(store, Scope::All, &Source::system())?;
    Ok(run)
}

fn drain(tasks: u32) -> Outcome<()> {
    println!("drain of {tasks} no-op tasks, two workers, all events, median of {ROUNDS} rounds");
    for synchronous in [Synchronous::Full, Synchronous::Normal] {
        let (mut ours, mut floors) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let folder = tempfile::tempdir()?;
            let (our_path, floor_path) = (folder.path().join("ours.db"), folder.path().join("floor.db"));
            let our_time = || drain_engine(&our_path, synchronous, tasks);
            let floor_time = || drain_floor(&floor_path, synchronous, tasks);
            // In turn, so that a drift of the machine meets both.
            if round % 2 == 0 {
                ours.push(our_time()?);
                floors.push(floor_time()?);
            } else {
                floors.push(floor_time()?);
                ours.push(our_time()?);
            }
        }
        let (ours, floor) = (median(ours), median(floors));
        let rate = |time: Duration| f64::from(tasks) / time.as_secs_f64();
        let ratio = floor.as_secs_f64() / ours.as_secs_f64();
        println!(
            "  {synchronous:<8?} engine {:>9.0} tasks/s  floor {:>9.0} tasks/s  ratio {ratio:.2}",
            rate(ours),
            rate(floor)
        );
    }
    Ok(())
}

fn drain_engine(path: &Path, synchronous: Synchronous, tasks: u32) -> Outcome<Duration> {
    let store = open(path, synchronous)?;
    let engine = Engine::builder(Arc::clone(&store)).handler("noop", noop).workers(2).build()?;
    let run = ready(&store, &engine, tasks)?;
    let start = Instant::now();
    let settled = engine.run_until_settled(run)?;
    let took = start.elapsed();
    assert_eq!((settled.state, settled.tally.succeeded), (State::Succeeded, u64::from(tasks) + 1));
    Ok(took)
}

fn drain_floor(path: &Path, synchronous: Synchronous, tasks: u32) -> Outcome<Duration> {
    let store = open(path, synchronous)?;
    let engine = Engine::builder(Arc::clone(&store)).build()?;
    ready(&store, &engine, tasks)?;
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "synchronous", format!("{synchronous:?}"))?;
    let start = Instant::now();
    // The children's row keys begin with 2.
    for first in (2..tasks + 2).step_by(FLOOR_BATCH as usize) {
        let last = (first + FLOOR_BATCH).min(tasks + 2) - 1;
        settle_and_claim(&mut connection, i64::from(first), i64::from(last))?;
    }
    Ok(start.elapsed())
}

/// Settles the tasks before these, and claims these.
fn settle_and_claim(connection: &mut Connection, first: i64, last: i64) -> Outcome<()> {
    let now = 1_767_225_600_000_i64;
    let events = "INSERT INTO conductor_events (run, task, name, at) \
        SELECT 1, key, ?3, ?4 FROM conductor_tasks WHERE key BETWEEN ?1 AND ?2";
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let batch = i64::from(FLOOR_BATCH);
    let settled = tx
        .prepare_cached(
            "UPDATE conductor_tasks SET state = 2, updated_at = ?3, lease_until = NULL, holder = NULL \
             WHERE key BETWEEN ?1 AND ?2 AND sealed IS NULL",
        )?
        .execute(params![first - batch, first - 1, now])?;
    tx.prepare_cached(events)?.execute(params![first - batch, first - 1, 10, now])?;
    tx.prepare_cached(
        "UPDATE conductor_tasks SET state = 1, updated_at = ?2, attempt = attempt + 1, lease_until = ?2 + 30000, \
         holder = 1 WHERE key IN (SELECT key FROM conductor_tasks WHERE kind = 1 AND run = 1 AND state = 0 \
         AND due_at IS NULL AND sealed IS NULL AND coalesce(lost, 0) < 2 ORDER BY priority DESC, key LIMIT ?1)",
    )?
    .execute(params![last - first + 1, now])?;
    tx.prepare_cached(events)?.execute(params![first, last, 9, now])?;
    tx.prepare_cached("UPDATE conductor_tasks SET open_children = open_children - ?1 WHERE key = 1")?
        .execute([i64::try_from(settled)?])?;
    tx.prepare_cached("UPDATE conductor_runs SET succeeded = succeeded + ?1 WHERE key = 1")?
        .execute([i64::try_from(settled)?])?;
    tx.commit()?;
    Ok(())
}

fn latency(_: u32) -> Outcome<()> {
    const TIMES: usize = 300;
    for synchronous in [Synchronous::Normal, Synchronous::Full] {
        let folder = tempfile::tempdir()?;
        let store = open(&folder.path().join("latency.db"), synchronous)?;
        let (started, starts) = mpsc::channel();
        let started = Mutex::new(started);
        let handler = move |_: serde_json::Value, _: Context| -> Result<(), TaskError> {
            started.lock().map_err(|error| TaskError::fatal(error.to_string()))?.send(Instant::now())?;
            Ok(())
        };
        let engine = Engine::builder(store).handler("noop", handler).workers(2).build()?;
        engine.start();
        let mut times = Vec::new();
        for _ in 0..TIMES {
            thread::sleep(Duration::from_millis(10));
            let submitted = Instant::now();
            engine.submit(RunDraft::new().task(TaskDraft::new("noop")))?;
            times.push(starts.recv()?.duration_since(submitted));
        }
        times.sort_unstable();
        let (p50, p99) = (times[TIMES / 2], times[TIMES * 99 / 100]);
        println!("latency, submit to handler start, idle engine, {synchronous:?}: p50 {p50:?}, p99 {p99:?}");
    }
    Ok(())
}

fn idle(tasks: u32) -> Outcome<()> {
    const WATCHED: Duration = Duration::from_secs(10);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("idle.db");
    let store = open(&path, Synchronous::Full)?;
    let engine = Engine::builder(Arc::clone(&store)).handler("noop", noop).build()?;
    let run = ready(&store, &engine, tasks)?;
    engine.run_until_settled(run)?;
    thread::sleep(Duration::from_secs(1));
    let observer = Connection::open(&path)?;
    let version = || observer.pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0));
    let (before, cpu) = (version()?, cpu_seconds());
    thread::sleep(WATCHED);
    let writes = version()? != before;
    match cpu.zip(cpu_seconds()) {
        Some((before, after)) => {
            let share = 100.0 * (after - before) / WATCHED.as_secs_f64();
            println!("idle for {WATCHED:?} after {tasks} tasks: {share:.2} % of a core, wrote: {writes}");
        }
        None => println!("idle for {WATCHED:?} after {tasks} tasks: wrote: {writes}"),
    }
    Ok(())
}

fn memory(tasks: u32) -> Outcome<()> {
    for tasks in [tasks / 10, tasks, 10 * tasks] {
        let folder = tempfile::tempdir()?;
        let store = open(&folder.path().join("memory.db"), Synchronous::Full)?;
        let engine = Engine::builder(Arc::clone(&store)).handler("noop", noop).workers(2).build()?;
        let start = Instant::now();
        let task = TaskDraft::new("noop").input(json!({ "fanout": tasks }));
        let run = engine.run_until_settled(engine.submit(RunDraft::new().task(task))?)?;
        assert_eq!(run.state, State::Succeeded);
        let took = start.elapsed().as_secs_f64();
        let events = store.run(run.id)?.is_some();
        assert!(events);
        let peak = peak_memory_mib().map_or("unknown".into(), |mib| format!("{mib} MiB"));
        println!("whole run of {tasks} tasks, fan-out included: {took:.2} s, peak memory so far {peak}");
    }
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The processor time of this process, where the system tells.
fn cpu_seconds() -> Option<f64> {
    // Fields 14 and 15, in hundredths of a second; the second field is the name, in brackets.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

/// The peak memory of this process so far, where the system tells.
fn peak_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}
