//! Rate at which failed tasks with a due retry run again and succeed.

use crate::baseline;
use crate::measure::{Bench, Workload};
use crate::outcome::Outcome;
use crate::workspace::{Workspace, drain, engine, fanned_out, time};
use conductor_store::Synchronous;
use rusqlite::Connection;
use std::time::Duration;

pub(in crate::benches) const RETRY: Workload =
    Workload { name: "retry", unit: "tasks/s", ours, baseline: raw };

pub(in crate::benches) fn run(bench: &Bench) -> Outcome<()> {
    bench.run(RETRY, bench.size(100_000), Synchronous::Full, 5)
}

/// Marks all tasks as failed once, with their retry due.
pub(in crate::benches) fn fail_all(raw: &Connection) -> Outcome<()> {
    raw.execute_batch(
        "BEGIN IMMEDIATE;
         UPDATE conductor_tasks SET state = 3, attempt = 1, due_at = 1, last_error = 'no' WHERE sealed IS NULL;
         UPDATE conductor_runs SET failed = pending, pending = 0;
         COMMIT;",
    )?;
    Ok(())
}

fn ours(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let store = workspace.store()?;
    let run = fanned_out(&store, n)?;
    fail_all(&workspace.raw()?)?;
    drain(&engine(&store)?, &store, run)
}

fn raw(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let mut raw = workspace.raw_with_children(n)?;
    fail_all(&raw)?;
    time(|| {
        baseline::retry(&mut raw, n, baseline::UPDATES)?;
        baseline::drain(&mut raw, n, baseline::UPDATES)
    })
}
