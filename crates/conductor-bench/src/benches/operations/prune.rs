//! Pruning of a large settled run beside other work, and the slowdown of that work.

use crate::baseline::{self, check};
use crate::measure::{Bench, Workload};
use crate::outcome::Outcome;
use crate::workspace::{Workspace, drain, engine, fanned_out, settle_all, time};
use conductor_model::Timestamp;
use conductor_store::{Admin, Environment, Prune, Query, SqliteStore, Synchronous};
use conductor_workers::Engine;
use conductor_workers::steps::prune;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// The size of the runs that an engine works on meanwhile.
const BESIDE: u32 = 10_000;

const ALONE: Workload = Workload { name: "prune", unit: "tasks/s", ours: alone, baseline: alone_raw };

pub(in crate::benches) fn run(bench: &Bench) -> Outcome<()> {
    let (n, beside, sync) = (bench.size(1_000_000), bench.size(BESIDE), Synchronous::Full);
    bench.run(ALONE, n, sync, 3)?;
    let both = bench.both(
        3,
        sync,
        |workspace| {
            beside_work(workspace, n, beside, |workspace, before| {
                let removed = prune::run_once(&*workspace.store()?, before)?;
                assert_eq!(removed.tasks, u64::from(n) + 1);
                Ok(())
            })
        },
        |workspace| {
            beside_work(workspace, n, beside, |workspace, _| {
                baseline::prune(&mut workspace.raw()?, baseline::INSERTS).map(drop)
            })
        },
    )?;
    bench.print(&both.rate("prune/beside work", n, sync, "tasks/s"))?;

    let both = bench.both(
        3,
        sync,
        |workspace| work(workspace, n, beside, true),
        |workspace| work(workspace, n, beside, false),
    )?;
    bench.print(&both.rate("prune/work beside it", beside, sync, "tasks/s"))
}

fn alone(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let store = settled(workspace, n)?;
    let took = time(|| {
        let removed = prune::run_once(&*store, Timestamp::MAX)?;
        assert_eq!(removed.tasks, u64::from(n) + 1);
        Ok(())
    })?;
    check::pruned(workspace)?;
    Ok(took)
}

fn alone_raw(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    settled(workspace, n)?;
    let mut raw = workspace.raw()?;
    let took = time(|| baseline::prune(&mut raw, baseline::INSERTS))?;
    check::pruned(workspace)?;
    Ok(took)
}

/// Prepares a file whose first run is large and settled.
pub(in crate::benches) fn settled(workspace: &Workspace, n: u32) -> Outcome<std::sync::Arc<SqliteStore>> {
    let store = workspace.store()?;
    fanned_out(&store, n)?;
    settle_all(&store)?;
    Ok(store)
}

/// Works on small runs, one after the other, until `is_over`.
fn work_on(engine: &Engine, store: &SqliteStore, beside: u32, is_over: &AtomicBool) -> Outcome<()> {
    while !is_over.load(Ordering::Relaxed) {
        drain(engine, store, fanned_out(store, beside)?)?;
    }
    Ok(())
}

fn beside_work(
    workspace: &Workspace,
    n: u32,
    beside: u32,
    work: impl Fn(&Workspace, Timestamp) -> Outcome<()>,
) -> Outcome<Duration> {
    let store = settled(workspace, n)?;
    // The small runs settle later and are not pruned.
    let before = Environment::system().now().plus_millis(1);
    let engine = engine(&store)?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let working =
            scope.spawn(|| work_on(&engine, &store, beside, &is_over).map_err(|error| error.to_string()));
        let took = time(|| work(workspace, before));
        is_over.store(true, Ordering::Relaxed);
        working.join().map_err(|_| "the work beside it panicked")??;
        took
    })
}

/// Returns the time of a small run, beside a continuous prune or without one.
fn work(workspace: &Workspace, n: u32, beside: u32, prunes: bool) -> Outcome<Duration> {
    let store = settled(workspace, n)?;
    let run = fanned_out(&store, beside)?;
    let before = store.run(run)?.ok_or("no run")?.created_at;
    let engine = engine(&store)?;
    let is_over = AtomicBool::new(!prunes);
    thread::scope(|scope| {
        let pruning = scope.spawn(|| -> Result<(), String> {
            while !is_over.load(Ordering::Relaxed) {
                let done = store.prune(&Prune::before(before)).map_err(|error| error.to_string())?;
                if !done.more {
                    break;
                }
            }
            Ok(())
        });
        let took = drain(&engine, &store, run);
        is_over.store(true, Ordering::Relaxed);
        pruning.join().map_err(|_| "the prune panicked")??;
        took
    })
}
