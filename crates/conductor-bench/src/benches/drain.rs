//! Rate at which ready tasks are claimed, run and settled, with all events.

use super::operations::fan_out;
use crate::baseline;
use crate::measure::{Bench, Workload};
use crate::outcome::Outcome;
use crate::subprocess::Workers;
use crate::workspace::{Workspace, drain, engine, fanned_out, open_parent, time};
use conductor_model::{Json, RunId};
use conductor_store::{Append, Environment, NodeId, Seal, SqliteStore, Store, Synchronous};
use conductor_workers::{Context, Engine, TaskError};
use std::sync::Arc;
use std::time::Duration;

const PROCESSES: u32 = 4;
const WIDE: usize = 10_000;
const WIDER: usize = 100_000;

pub(super) const NOOP: Workload =
    Workload { name: "drain", unit: "tasks/s", ours: noop, baseline: baseline_noop };
const OF_PROCESSES: Workload =
    Workload { name: "drain/4 processes", unit: "tasks/s", ours: processes, baseline: baseline_noop };
const OF_WIDE: Workload = Workload {
    name: "drain/10 KB",
    unit: "tasks/s",
    ours: wide::<WIDE>,
    baseline: baseline_wide::<WIDE, 100>,
};
const OF_WIDER: Workload = Workload {
    name: "drain/100 KB",
    unit: "tasks/s",
    ours: wide::<WIDER>,
    baseline: baseline_wide::<WIDER, 20>,
};

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    for n in bench.sizes([10_000, 100_000]) {
        for sync in [Synchronous::Full, Synchronous::Normal] {
            bench.run(NOOP, n, sync, 5)?;
            bench.run(OF_PROCESSES, n, sync, 5)?;
        }
    }
    bench.run(OF_WIDE, bench.size(10_000), Synchronous::Full, 5)?;
    bench.run(OF_WIDER, bench.size(2_000), Synchronous::Full, 5)
}

fn noop(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let store = workspace.store()?;
    let run = fanned_out(&store, n)?;
    drain(&engine(&store)?, &store, run)
}

fn baseline_noop(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let mut raw = workspace.raw_with_children(n)?;
    time(|| baseline::drain(&mut raw, n, baseline::UPDATES))
}

/// Engines in several processes work on one file.
fn processes(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let store = workspace.store()?;
    let run = fanned_out(&store, n)?;
    Workers::start(&workspace.path(), workspace.sync, PROCESSES)?.drain(&store, run)
}

fn text(bytes: usize) -> String {
    fan_out::ITEM.trim_matches('"').repeat(bytes / 98)
}

fn wide_items(workspace: &Workspace, n: u32, item: &Json) -> Outcome<(Arc<SqliteStore>, RunId)> {
    let (store, env) = (workspace.store()?, Environment::system());
    let (run, parent) = open_parent(&store, "wide")?;
    for first in (0..n).step_by(100) {
        let page = vec![item.clone(); 100.min(n - first) as usize];
        store.append(&Append::items(parent, first + 1, page, &env))?;
    }
    store.seal(&Seal::new(NodeId::Task(parent), n, &env))?;
    Ok((store, run))
}

/// Each task gets an input of that many bytes and returns it.
fn wide<const BYTES: usize>(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let (store, run) = wide_items(workspace, n, &Json::of(&text(BYTES))?)?;
    let handler = |text: String, _: Context| Ok::<_, TaskError>(text);
    let engine = Engine::builder(Arc::clone(&store)).handler("wide", handler).workers(2).build()?;
    drain(&engine, &store, run)
}

/// The same in raw SQL, with the transaction size that is fastest.
fn baseline_wide<const BYTES: usize, const EACH: u32>(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let output = Json::of(&text(BYTES))?;
    wide_items(workspace, n, &output)?;
    let mut raw = workspace.raw()?;
    time(|| baseline::drain_with_outputs(&mut raw, n, true, output.as_str(), EACH))
}
