//! Cancel of a run with many open tasks: the call, all steps that follow, and the longest hold of the write lock.

use super::lock_hold;
use crate::baseline::{self, check};
use crate::measure::{Bench, Unit, Workload};
use crate::outcome::Outcome;
use crate::workspace::{Workspace, fanned_out, time};
use conductor_model::State;
use conductor_store::{Admin, Cancel, Environment, Query, Scope, SqliteStore, Synchronous};
use conductor_workers::steps::{aggregate, sweep};
use std::time::Duration;

pub(super) const CANCEL: Workload = Workload { name: "cancel", unit: "tasks/s", ours, baseline: raw };

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    let n = bench.size(1_000_000);
    bench.run(CANCEL, n, Synchronous::Full, 3)?;
    let both = bench.both(
        3,
        Synchronous::Full,
        |workspace| call(workspace, n),
        |workspace| baseline_call(workspace, n),
    )?;
    bench.print(&both.time("cancel/call", n, Synchronous::Full, 50, Unit::Milliseconds))?;
    let both = bench.both(
        3,
        Synchronous::Full,
        |workspace| lock_hold::sweep(workspace, n),
        |workspace| lock_hold::baseline_of_sweep(workspace, n),
    )?;
    bench.print(&both.time("cancel/longest hold", n, Synchronous::Full, 100, Unit::Milliseconds))
}

fn ours(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let (store, env) = (workspace.store()?, Environment::system());
    let run = fanned_out(&store, n)?;
    let took = time(|| {
        cancel(&store, run)?;
        sweep::run_once(&*store, Scope::All, &env)?;
        aggregate::run_once(&*store, Scope::All, &env)?;
        Ok(())
    })?;
    match store.run(run)?.map(|run| run.state) {
        Some(State::Cancelled) => Ok(took),
        other => Err(format!("the run is {other:?}").into()),
    }
}

fn cancel(store: &SqliteStore, run: conductor_model::RunId) -> Outcome<()> {
    let _ = store.cancel(&Cancel::run(run, Environment::system().now()))?;
    Ok(())
}

fn call(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let store = workspace.store()?;
    let run = fanned_out(&store, n)?;
    time(|| cancel(&store, run))
}

fn raw(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let mut raw = workspace.raw_with_children(n)?;
    let took = time(|| baseline::cancel(&mut raw, baseline::INSERTS))?;
    check::leaves(workspace, State::Cancelled, n)?;
    Ok(took)
}

/// Writes only the cancel request, on a connection with a warm cache.
fn baseline_call(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let mut raw = workspace.raw_with_children(n)?;
    baseline::request_cancel(&mut raw)?;
    time(|| baseline::request_cancel(&mut raw))
}
