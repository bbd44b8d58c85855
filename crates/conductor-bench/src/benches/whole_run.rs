//! Time from the submission to the settled run: fan out, run, aggregate, and join.

use crate::baseline::{self, Drain, Inputs, Of, check};
use crate::measure::{Bench, Workload};
use crate::outcome::Outcome;
use crate::workspace::{Workspace, engine, first_task, noop, submit_run, time};
use conductor_model::{RunDraft, State, TaskDraft};
use conductor_store::{Query, Synchronous};
use conductor_workers::{Children, Context, Engine, TaskError};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const PARENTS: u32 = 1_000;

pub(super) const ONE_PARENT: Workload =
    Workload { name: "whole", unit: "s", ours: one_parent, baseline: baseline_noop };
const MANY_PARENTS: Workload =
    Workload { name: "whole/1000 parents", unit: "s", ours: many_parents, baseline: baseline_many };
const WITH_JOIN: Workload =
    Workload { name: "whole/join", unit: "s", ours: with_join, baseline: baseline_join };

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    for n in bench.sizes([10_000, 100_000, 1_000_000]) {
        let rounds = if n < 1_000_000 { 5 } else { 3 };
        for workload in [ONE_PARENT, MANY_PARENTS, WITH_JOIN] {
            bench.run(workload, n, Synchronous::Full, rounds)?;
        }
    }
    Ok(())
}

fn one_parent(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let store = workspace.store()?;
    whole(&engine(&store)?, &RunDraft::new().task(TaskDraft::new("noop").input(json!({ "fanout": n }))))
}

fn many_parents(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let store = workspace.store()?;
    whole(&engine(&store)?, &run_of_parents(n))
}

fn run_of_parents(n: u32) -> RunDraft {
    let parents = PARENTS.min(n);
    let parent =
        |i| TaskDraft::new(format!("parent {i}")).kind("noop").input(json!({ "fanout": n / parents }));
    RunDraft::new().tasks((0..parents).map(parent))
}

/// The parents are the first blocks.
fn baseline_many(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let parents = PARENTS.min(n);
    submit_run(&*workspace.store()?, &run_of_parents(n))?;
    let mut raw = workspace.raw()?;
    let took = time(|| {
        baseline::fan_out_each(&mut raw, (1, parents), n / parents, baseline::INSERTS)?;
        baseline::drain(&mut raw, Drain { of: Of::Parents(parents), ..Drain::by(baseline::UPDATES) })?;
        baseline::aggregate(&mut raw, baseline::UPDATES)
    })?;
    check::leaves(workspace, State::Succeeded, n)?;
    Ok(took)
}

/// Each task returns its index, and the join returns the sum.
fn with_join(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let store = workspace.store()?;
    let index = |_: serde_json::Value, context: Context| Ok::<_, TaskError>(context.index());
    let sum = |numbers: Children<u64>, _: Context| numbers.outputs().sum::<Result<u64, TaskError>>();
    let builder = Engine::builder(Arc::clone(&store)).handler("noop", noop).handler("index", index);
    let engine = builder.handler("sum", sum).workers(2).build()?;
    let task = TaskDraft::new("index").input(json!({ "fanout": n })).join("sum");
    let took = whole(&engine, &RunDraft::new().task(task))?;
    let run = store.runs(None, 1)?.items[0].id;
    let sum: u64 = first_task(&store, run)?.output.ok_or("no sum")?.to()?;
    assert_eq!(sum, u64::from(n) * (u64::from(n) + 1) / 2);
    Ok(took)
}

fn whole(engine: &Engine, run: &RunDraft) -> Outcome<Duration> {
    time(|| match engine.run_until_settled(engine.submit(run)?)?.state {
        State::Succeeded => Ok(()),
        state => Err(format!("the run is {state:?}").into()),
    })
}

fn baseline_noop(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    baseline_of(workspace, n, |raw, _| baseline::drain(raw, Drain::by(baseline::UPDATES)))
}

fn baseline_join(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    baseline_of(workspace, n, |raw, n| {
        let longest = baseline::drain(raw, Drain { output: Some("1"), ..Drain::by(baseline::UPDATES) })?;
        assert_eq!(baseline::sum_of_outputs(raw)?, u64::from(n));
        Ok(longest)
    })
}

fn baseline_of(
    workspace: &Workspace,
    n: u32,
    drain: fn(&mut rusqlite::Connection, u32) -> Outcome<Duration>,
) -> Outcome<Duration> {
    let mut raw = workspace.raw_with_parent(n)?;
    let took = time(|| {
        baseline::fan_out(&mut raw, n, Inputs::None, baseline::INSERTS)?;
        drain(&mut raw, n)?;
        baseline::aggregate(&mut raw, baseline::UPDATES)
    })?;
    check::leaves(workspace, State::Succeeded, n)?;
    Ok(took)
}
