//! Rate at which children are created: by count, by items, and from a stream.

use crate::baseline::{self, Inputs, check};
use crate::measure::{Bench, Workload};
use crate::outcome::Outcome;
use crate::workspace::{Workspace, fan_out, open_parent, submit, submit_run, time};
use conductor_model::{Json, RunDraft, State, TaskDraft};
use conductor_store::{Append, Environment, NodeId, Seal, Store, Synchronous};
use serde_json::json;
use std::time::Duration;

/// A JSON string of 100 bytes.
pub(in crate::benches) const ITEM: &str =
    r#""abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz abcdefghijklmnopq""#;
/// The number of items that fit into one input.
const ITEMS_PER_PARENT: u32 = 10_000;

pub(in crate::benches) const BY_COUNT: Workload =
    Workload { name: "fan_out", unit: "children/s", ours: by_count, baseline: baseline_by_count };
const BY_ITEMS: Workload =
    Workload { name: "fan_out/items", unit: "children/s", ours: by_items, baseline: baseline_by_items };
const STREAM: Workload =
    Workload { name: "fan_out/stream", unit: "children/s", ours: from_a_stream, baseline: baseline_by_items };

pub(in crate::benches) fn run(bench: &Bench) -> Outcome<()> {
    for n in bench.sizes([1_000, 10_000, 100_000, 1_000_000]) {
        for workload in [BY_COUNT, BY_ITEMS, STREAM] {
            bench.run(workload, n, Synchronous::Full, if n < 1_000_000 { 7 } else { 3 })?;
        }
    }
    Ok(())
}

fn by_count(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let store = workspace.store()?;
    submit(&store, TaskDraft::new("noop").input(json!({ "fanout": n })))?;
    time(|| fan_out(&store))
}

fn baseline_by_count(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let mut raw = workspace.raw_with_parent(n)?;
    let took = time(|| baseline::fan_out(&mut raw, n, Inputs::None, baseline::INSERTS))?;
    check::leaves(workspace, State::Pending, n)?;
    Ok(took)
}

/// One run with as many parents as needed.
fn by_items(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let (store, env) = (workspace.store()?, Environment::system());
    let run = submit_run(&store, &RunDraft::new().open())?;
    let item: Json = ITEM.parse()?;
    let mut parents = 0;
    for first in (0..n).step_by(ITEMS_PER_PARENT as usize) {
        let items = vec![item.clone(); ITEMS_PER_PARENT.min(n - first) as usize];
        let parent = TaskDraft::new(format!("parent {first}")).kind("noop").fan_out(items).validate()?;
        store.append(&Append::tasks(run, parents + 1, vec![parent], &env))?;
        parents += 1;
    }
    store.seal(&Seal::new(NodeId::Run(run), parents, &env))?;
    time(|| fan_out(&store))
}

fn baseline_by_items(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let mut raw = workspace.raw_with_parent(n)?;
    let took = time(|| baseline::fan_out(&mut raw, n, Inputs::Each(ITEM), baseline::INSERTS))?;
    check::leaves(workspace, State::Pending, n)?;
    Ok(took)
}

/// Items arrive as text and are appended in pages of 10,000.
fn from_a_stream(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let (store, env) = (workspace.store()?, Environment::system());
    let (_, parent) = open_parent(&store, "noop")?;
    time(|| {
        for first in (0..n).step_by(10_000) {
            let page = (first..n.min(first + 10_000)).map(|_| ITEM.parse()).collect::<Result<_, _>>()?;
            store.append(&Append::items(parent, first + 1, page, &env))?;
        }
        store.seal(&Seal::new(NodeId::Task(parent), n, &env))?;
        Ok(())
    })
}
