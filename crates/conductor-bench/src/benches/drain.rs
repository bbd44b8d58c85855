//! Rate at which ready tasks are claimed, run and settled, with all events.

use super::operations::fan_out;
use crate::baseline::{self, Drain, check};
use crate::measure::{Bench, Workload};
use crate::outcome::Outcome;
use crate::subprocess::Workers;
use crate::workspace::{Workspace, drain, engine, fanned_out, open_parent, time};
use conductor_model::{Json, RunId, State};
use conductor_store::{Append, Environment, NodeId, Seal, SqliteStore, Store, Synchronous};
use conductor_workers::{Context, Engine, TaskError};
use std::sync::Arc;
use std::time::Duration;

const PROCESSES: u32 = 4;
const WIDE: usize = 10_000;
const WIDER: usize = 100_000;
/// An output whose JSON has 20 bytes.
const OUTPUT: &str = "an output, 20 byte";
const JSON_OUTPUT: &str = r#""an output, 20 byte""#;

pub(super) const NOOP: Workload =
    Workload { name: "drain", unit: "tasks/s", ours: noop, baseline: baseline_noop };
const OF_PROCESSES: Workload =
    Workload { name: "drain/4 processes", unit: "tasks/s", ours: processes, baseline: baseline_noop };
pub(super) const OF_ITEMS: Workload =
    Workload { name: "drain/items", unit: "tasks/s", ours: items, baseline: baseline_items };
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
    if !bench.quick {
        bench.run(NOOP, 1_000_000, Synchronous::Full, 3)?;
    }
    for n in bench.sizes([100_000, 1_000_000]) {
        bench.run(OF_ITEMS, n, Synchronous::Full, if n < 1_000_000 { 5 } else { 3 })?;
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
    let took = time(|| baseline::drain(&mut raw, Drain::by(baseline::UPDATES)))?;
    check::leaves(workspace, State::Succeeded, n)?;
    Ok(took)
}

/// Engines in several processes work on one file.
fn processes(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let store = workspace.store()?;
    let run = fanned_out(&store, n)?;
    Workers::start(&workspace.path(), workspace.sync, PROCESSES)?.drain(&store, run)
}

/// Creates tasks that have this item.
fn tasks_of_items(
    workspace: &Workspace,
    n: u32,
    item: &Json,
    per_append: u32,
) -> Outcome<(Arc<SqliteStore>, RunId)> {
    let (store, env) = (workspace.store()?, Environment::system());
    let (run, parent) = open_parent(&store, "items")?;
    for first in (0..n).step_by(per_append as usize) {
        let page = vec![item.clone(); per_append.min(n - first) as usize];
        store.append(&Append::items(parent, first + 1, page, &env))?;
    }
    store.seal(&Seal::new(NodeId::Task(parent), n, &env))?;
    Ok((store, run))
}

/// Each task has an item of 100 bytes and an output of 20 bytes.
fn items(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let (store, run) = tasks_of_items(workspace, n, &fan_out::ITEM.parse()?, 10_000)?;
    let handler = |_: String, _: Context| Ok::<_, TaskError>(OUTPUT);
    let engine = Engine::builder(Arc::clone(&store)).handler("items", handler).workers(2).build()?;
    drain(&engine, &store, run)
}

fn baseline_items(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    tasks_of_items(workspace, n, &fan_out::ITEM.parse()?, 10_000)?;
    baseline_outputs(workspace, n, JSON_OUTPUT, baseline::UPDATES)
}

fn text(bytes: usize) -> String {
    fan_out::ITEM.trim_matches('"').repeat(bytes / 98)
}

/// Each task gets an input of that many bytes and returns it.
fn wide<const BYTES: usize>(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let (store, run) = tasks_of_items(workspace, n, &Json::of(&text(BYTES))?, 100)?;
    let handler = |text: String, _: Context| Ok::<_, TaskError>(text);
    let engine = Engine::builder(Arc::clone(&store)).handler("items", handler).workers(2).build()?;
    drain(&engine, &store, run)
}

/// The same in raw SQL, with the transaction size that is fastest.
fn baseline_wide<const BYTES: usize, const EACH: u32>(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let output = Json::of(&text(BYTES))?;
    tasks_of_items(workspace, n, &output, 100)?;
    baseline_outputs(workspace, n, output.as_str(), EACH)
}

fn baseline_outputs(workspace: &Workspace, n: u32, output: &str, each: u32) -> Outcome<Duration> {
    let mut raw = workspace.raw()?;
    let with_outputs = Drain { reads_inputs: true, output: Some(output), ..Drain::by(each) };
    let took = time(|| baseline::drain(&mut raw, with_outputs))?;
    check::leaves(workspace, State::Succeeded, n)?;
    Ok(took)
}
