//! Root tasks with names: the rate at which they are created, and at which they are claimed, run and settled.

use super::operations::fan_out::ITEM;
use crate::baseline::{self, Drain, Inputs, Of, check};
use crate::measure::{Bench, Workload};
use crate::outcome::Outcome;
use crate::workspace::{Workspace, drain as drain_run, engine, submit_run, time};
use conductor_model::{Json, NewTask, RunDraft, RunId, State, TaskDraft};
use conductor_store::{Append, Environment, NodeId, Seal, SqliteStore, Store, Synchronous};
use rusqlite::Connection;
use std::sync::Arc;
use std::time::Duration;

/// The number of tasks in one call.
const PER_APPEND: u32 = 10_000;

const CREATE: Workload =
    Workload { name: "roots/create", unit: "tasks/s", ours: create, baseline: baseline_create };
const DRAIN: Workload =
    Workload { name: "roots/drain", unit: "tasks/s", ours: drain, baseline: baseline_drain };
/// Without inputs.
pub(super) const NAMED: Workload =
    Workload { name: "roots/named", unit: "tasks/s", ours: named, baseline: baseline_named };

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    let n = bench.size(100_000);
    [CREATE, DRAIN].into_iter().try_for_each(|workload| bench.run(workload, n, Synchronous::Full, 5))
}

/// Creates root tasks; returns their run, and the time without the validation of the drafts.
fn roots(workspace: &Workspace, n: u32, input: Option<&str>) -> Outcome<(Arc<SqliteStore>, RunId, Duration)> {
    let (store, env) = (workspace.store()?, Environment::system());
    let run = submit_run(&store, &RunDraft::new().open())?;
    let input: Option<Json> = input.map(str::parse).transpose()?;
    let task = |index| {
        let task = TaskDraft::new(baseline::root_name(index)).kind("noop");
        input.iter().fold(task, TaskDraft::input).validate()
    };
    let mut took = Duration::ZERO;
    for first in (1..=n).step_by(PER_APPEND as usize) {
        let last = n.min(first + PER_APPEND - 1);
        let tasks: Vec<NewTask> = (first..=last).map(task).collect::<Result<_, _>>()?;
        took += time(|| Ok(store.append(&Append::tasks(run, first, tasks, &env))?))?;
    }
    took += time(|| Ok(store.seal(&Seal::new(NodeId::Run(run), n, &env))?))?;
    Ok((store, run, took))
}

fn create(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    Ok(roots(workspace, n, Some(ITEM))?.2)
}

fn drain(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let (store, run, _) = roots(workspace, n, Some(ITEM))?;
    drain_run(&engine(&store)?, &store, run)
}

fn named(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let (store, run, _) = roots(workspace, n, None)?;
    drain_run(&engine(&store)?, &store, run)
}

/// Opens a file with an open run without tasks.
fn raw_with_run(workspace: &Workspace) -> Outcome<Connection> {
    submit_run(&*workspace.store()?, &RunDraft::new().open())?;
    let raw = workspace.raw()?;
    raw.execute("INSERT INTO conductor_kinds (name) VALUES ('noop')", [])?;
    Ok(raw)
}

fn baseline_create(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let mut raw = raw_with_run(workspace)?;
    let took = time(|| baseline::create_roots(&mut raw, n, Inputs::Each(ITEM), baseline::INSERTS))?;
    check::leaves(workspace, State::Pending, n)?;
    Ok(took)
}

fn baseline_drain(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    drain_raw(workspace, n, Inputs::Each(ITEM))
}

fn baseline_named(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    drain_raw(workspace, n, Inputs::None)
}

fn drain_raw(workspace: &Workspace, n: u32, inputs: Inputs<'_>) -> Outcome<Duration> {
    let mut raw = raw_with_run(workspace)?;
    baseline::create_roots(&mut raw, n, inputs, baseline::INSERTS)?;
    let reads_inputs = matches!(inputs, Inputs::Each(_));
    let drain = Drain { of: Of::Run, reads_inputs, ..Drain::by(baseline::UPDATES) };
    let took = time(|| baseline::drain(&mut raw, drain))?;
    check::leaves(workspace, State::Succeeded, n)?;
    Ok(took)
}
