//! How fast failures that are due run again, to their success.

use crate::measure::{Bench, Workload};
use crate::place::{Place, drain, engine, fanned_out, time};
use crate::{Outcome, floor};
use conductor_store::Synchronous;
use rusqlite::Connection;
use std::time::Duration;

pub(super) const RETRY: Workload = Workload { name: "retry", unit: "tasks/s", ours, floor: raw };

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    bench.run(RETRY, bench.size(100_000), Synchronous::Full, 5)
}

/// All have failed once, and their retry is due.
pub(super) fn fail_all(raw: &Connection) -> Outcome<()> {
    raw.execute_batch(
        "BEGIN IMMEDIATE;
         UPDATE conductor_tasks SET state = 3, attempt = 1, due_at = 1, last_error = 'no' WHERE sealed IS NULL;
         UPDATE conductor_runs SET failed = pending, pending = 0;
         COMMIT;",
    )?;
    Ok(())
}

fn ours(place: &Place, n: u32) -> Outcome<Duration> {
    let store = place.store()?;
    let run = fanned_out(&store, n)?;
    fail_all(&place.raw()?)?;
    drain(&engine(&store)?, &store, run)
}

fn raw(place: &Place, n: u32) -> Outcome<Duration> {
    let mut raw = place.raw_with_children(n)?;
    fail_all(&raw)?;
    time(|| {
        floor::retry(&mut raw, n, floor::UPDATES)?;
        floor::drain(&mut raw, n, floor::UPDATES)
    })
}
