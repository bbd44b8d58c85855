//! Rate at which failed tasks with a due retry run again and succeed.

use crate::baseline::{self, Drain, check};
use crate::measure::{Bench, Workload};
use crate::outcome::Outcome;
use crate::workspace::{Workspace, attempt_all, drain, engine, fanned_out, time};
use conductor_model::{AttemptFailure, State};
use conductor_store::{AttemptResult, Clock as _, Environment, SqliteStore, Synchronous, SystemClock};
use std::time::Duration;

pub(in crate::benches) const RETRY: Workload =
    Workload { name: "retry", unit: "tasks/s", ours, baseline: raw };

pub(in crate::benches) fn run(bench: &Bench) -> Outcome<()> {
    bench.run(RETRY, bench.size(100_000), Synchronous::Full, 5)
}

/// Fails all tasks once, all in the same moment. Their retry is due.
pub(in crate::benches) fn fail_all(store: &SqliteStore) -> Outcome<()> {
    let env = Environment::seeded(SystemClock.now(), 1);
    attempt_all(store, &env, "noop", |_| Ok(AttemptResult::Failed(AttemptFailure::error("no"))))
}

fn ours(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let store = workspace.store()?;
    let run = fanned_out(&store, n)?;
    fail_all(&store)?;
    drain(&engine(&store)?, &store, run)
}

fn raw(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let mut raw = workspace.raw_with_children(n)?;
    fail_all(&*workspace.store()?)?;
    let took = time(|| {
        baseline::retry(&mut raw, baseline::UPDATES)?;
        baseline::drain(&mut raw, Drain::by(baseline::UPDATES))
    })?;
    check::leaves(workspace, State::Succeeded, n)?;
    Ok(took)
}
