//! What the benches share: a place, a clock, a median.
#![expect(dead_code, reason = "each bench uses a part of it")]

use conductor_model::{RunDraft, RunId, TaskDraft};
use conductor_store::{FanOut, Scope, Source, SqliteStore, Store, Submit};
use rusqlite::Connection;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// How long it took.
pub(crate) fn time(work: impl FnOnce() -> Outcome<()>) -> Outcome<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

/// The middle one, and how far apart the least and the greatest are.
pub(crate) fn median(mut times: Vec<Duration>) -> (Duration, f64) {
    times.sort_unstable();
    let spread = times[times.len() - 1].as_secs_f64() / times[0].as_secs_f64();
    (times[times.len() / 2], spread)
}

pub(crate) fn per_second(count: u32, time: Duration) -> f64 {
    f64::from(count) / time.as_secs_f64()
}

/// A run with one parent of that many children, none of them created yet.
pub(crate) fn submit_parent(store: &SqliteStore, source: &Source, children: u32) -> Outcome<RunId> {
    let task = TaskDraft::new("parent").input(serde_json::json!({ "fanout": children }));
    Ok(store.submit(&Submit::new(RunDraft::new().task(task).check()?, source))?.run)
}

/// Creates all children, in steps of 10,000.
pub(crate) fn fan_out_all(store: &SqliteStore, source: &Source) -> Outcome<()> {
    while store.fan_out(&FanOut::new(Scope::All, 10_000, source))?.more {}
    Ok(())
}

/// A connection beside the store's, with the same pragmas.
pub(crate) fn raw(path: &Path) -> Outcome<Connection> {
    let connection = Connection::open(path)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
    Ok(connection)
}

/// Pages in use, in bytes, after a checkpoint.
pub(crate) fn bytes_used(connection: &Connection) -> Outcome<i64> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let number =
        |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
    Ok((number("page_count")? - number("freelist_count")?) * number("page_size")?)
}

/// The peak memory of this process so far, in MiB, where the system tells.
pub(crate) fn peak_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}
