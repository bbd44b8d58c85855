//! The longest time that one step holds the write lock, with a large backlog.

use super::operations::{fan_out::ITEM, prune, retry};
use crate::baseline::{self, Drain, Inputs, check};
use crate::measure::{Bench, Unit};
use crate::outcome::Outcome;
use crate::workspace::{
    SUCCEEDED, Workspace, attempt_all, fan_out as create, fanned_out, open_parent, submit, submit_run, time,
};
use conductor_model::{Json, MAX_TASKS, RunDraft, TaskDraft, Timestamp};
use conductor_store::{
    Admin, Append, AttemptResult, Cancel, Claim, ClaimedTask, Clock as _, Environment, FanOut, KindQuota,
    Prune, RegisterEngine, Rescue, Scope, Settle, SqliteStore, Step, Store, Synchronous, SystemClock,
};
use conductor_workers::{CHILDREN_PER_STEP, ROWS_PER_HEAVY_STEP, ROWS_PER_STEP, TASKS_PER_SWEEP};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Measures the longest call of each step.
type Longest = fn(&Workspace, u32) -> Outcome<Duration>;

const ITEMS_PER_APPEND: u32 = 10_000;
const TASKS_PER_CLAIM: u32 = 2_048;
/// The number of outputs of 100 KB that an engine settles at once.
const WIDE_PER_CLAIM: u32 = 43;

const CHILDREN_OF_PARENT: u32 = 20;

/// The steps, each with the divisor of the number of tasks and the baseline: the longest raw transaction that changes as many
/// tasks. Retries and promotions share a baseline, because they write the same.
const STEPS: [(&str, u32, Longest, Longest); 11] = [
    ("hold/fan_out", 1, fan_out, floor_of_fan_out),
    ("hold/fan_out of parents", 1, fan_out_of_parents, floor_of_parents),
    ("hold/append", 1, append, |workspace, n| {
        baseline::fan_out(&mut workspace.raw_with_parent(n)?, n, Inputs::Each(ITEM), ITEMS_PER_APPEND)
    }),
    ("hold/settle and claim", 1, settle, |workspace, n| {
        baseline::drain(&mut workspace.raw_with_children(n)?, Drain::by(TASKS_PER_CLAIM))
    }),
    ("hold/settle 100 KB", 50, settle_wide, floor_of_wide),
    ("hold/retry", 1, retried, |workspace, n| rows(workspace, n, ROWS_PER_STEP)),
    ("hold/promote", 1, promote, |workspace, n| rows(workspace, n, ROWS_PER_STEP)),
    ("hold/rescue", 1, rescue, |workspace, n| {
        claimed(workspace, n)?;
        let longest = baseline::rescue(&mut workspace.raw()?, ROWS_PER_HEAVY_STEP)?;
        check::verify(workspace).map(|()| longest)
    }),
    ("hold/sweep", 1, sweep, baseline_of_sweep),
    ("hold/aggregate", 1, aggregate, |workspace, n| {
        parents(workspace, n)?;
        baseline::aggregate(&mut workspace.raw()?, ROWS_PER_HEAVY_STEP)
    }),
    ("hold/prune", 1, pruned, floor_of_prune),
];

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    let sync = Synchronous::Full;
    for (name, divisor, ours, baseline) in STEPS {
        let n = bench.size(200_000) / divisor;
        let both = bench.both(3, sync, |workspace| ours(workspace, n), |workspace| baseline(workspace, n))?;
        bench.print(&both.time(name, n, sync, 100, Unit::Milliseconds))?;
    }
    Ok(())
}

fn floor_of_fan_out(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    baseline::fan_out(&mut workspace.raw_with_parent(n)?, n, Inputs::None, CHILDREN_PER_STEP)
}

/// Half as many parents in a transaction as other children, and then their children.
fn floor_of_parents(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let (mut raw, parents) = (workspace.raw_with_parent(n)?, n.div_ceil(CHILDREN_OF_PARENT));
    let longest = baseline::fan_out_of_parents(&mut raw, parents, CHILDREN_OF_PARENT, CHILDREN_PER_STEP / 2)?;
    let of_each = baseline::fan_out_each(&mut raw, (2, parents), CHILDREN_OF_PARENT, CHILDREN_PER_STEP)?;
    check::verify(workspace)?;
    Ok(longest.max(of_each))
}

fn rows(workspace: &Workspace, n: u32, each: u32) -> Outcome<Duration> {
    let mut raw = workspace.raw_with_children(n)?;
    retry::fail_all(&*workspace.store()?)?;
    baseline::retry(&mut raw, each)
}

pub(super) fn baseline_of_sweep(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    baseline::cancel(&mut workspace.raw_with_children(n)?, TASKS_PER_SWEEP)
}

fn floor_of_prune(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    prune::settled(workspace, n)?;
    baseline::prune(&mut workspace.raw()?, Prune::ROWS)
}

/// Repeats a step until it reports no more work.
fn longest(step: impl Fn() -> Outcome<bool>) -> Outcome<Duration> {
    let (mut longest, mut more) = (Duration::ZERO, true);
    while more {
        longest = longest.max(time(|| {
            more = step()?;
            Ok(())
        })?);
    }
    Ok(longest)
}

fn step(env: &Environment, limit: u32) -> Step {
    Step::new(Scope::All, limit, env)
}

fn fan_out(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    longest_fan_out(workspace, &json!({ "fanout": n }))
}

/// Children that are parents of a few children each: the children are created first, then the grandchildren.
fn fan_out_of_parents(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let parents = vec![json!({ "fanout": CHILDREN_OF_PARENT }); n.div_ceil(CHILDREN_OF_PARENT) as usize];
    longest_fan_out(workspace, &json!({ "fanout": parents }))
}

fn longest_fan_out(workspace: &Workspace, input: &serde_json::Value) -> Outcome<Duration> {
    let (store, env) = (workspace.store()?, Environment::system());
    submit(&store, TaskDraft::new("noop").input(input))?;
    longest(|| Ok(store.fan_out(&FanOut::new(Scope::All, CHILDREN_PER_STEP, &env))?.more))
}

fn append(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let (store, env) = (workspace.store()?, Environment::system());
    let (_, parent) = open_parent(&store, "noop")?;
    let (item, mut longest) = (ITEM.parse::<Json>()?, Duration::ZERO);
    for first in (0..n).step_by(ITEMS_PER_APPEND as usize) {
        let items = vec![item.clone(); ITEMS_PER_APPEND.min(n - first) as usize];
        let append = Append::items(parent, first + 1, items, &env);
        longest = longest.max(time(|| Ok(store.append(&append)?))?);
    }
    Ok(longest)
}

fn settle(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    settle_all(workspace, n, TASKS_PER_CLAIM, None)
}

/// With outputs of 100 KB.
fn settle_wide(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    settle_all(workspace, n, WIDE_PER_CLAIM, Some(&wide()?))
}

fn floor_of_wide(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let mut raw = workspace.raw_with_children(n)?;
    let output = wide()?;
    let wide = Drain { output: Some(output.as_str()), ..Drain::by(WIDE_PER_CLAIM) };
    baseline::drain(&mut raw, wide)
}

fn wide() -> Outcome<Json> {
    Ok(Json::of(&ITEM.trim_matches('"').repeat(1_000))?)
}

fn settle_all(workspace: &Workspace, n: u32, each: u32, output: Option<&Json>) -> Outcome<Duration> {
    let (store, env) = (workspace.store()?, Environment::system());
    fanned_out(&store, n)?;
    let registration = store.register_engine(&RegisterEngine::new(&env))?;
    let (mut results, mut longest) = (Vec::new(), Duration::ZERO);
    loop {
        let claim = Claim::new(registration.key(), vec![KindQuota::new("noop".parse()?, each)], 30_000, &env);
        let settle = Settle::new(results, &env).and_claim(claim);
        let mut claimed = Vec::new();
        longest = longest.max(time(|| {
            claimed = store.settle(&settle)?.claimed.tasks();
            Ok(())
        })?);
        if claimed.is_empty() {
            return Ok(longest);
        }
        let succeeded =
            |task: &ClaimedTask| (task.fence, AttemptResult::Succeeded { output: output.cloned() });
        results = claimed.iter().map(succeeded).collect();
    }
}

fn retried(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let (store, env) = (workspace.store()?, Environment::system());
    fanned_out(&store, n)?;
    retry::fail_all(&store)?;
    longest(|| Ok(store.retry(&step(&env, ROWS_PER_STEP))?.more))
}

fn promote(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let (store, env) = (workspace.store()?, Environment::system());
    fanned_out(&store, n)?;
    workspace.raw()?.execute("UPDATE conductor_ranges SET due_at = 1", [])?;
    longest(|| Ok(store.promote(&step(&env, ROWS_PER_STEP))?.more))
}

fn rescue(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let (store, env) = (claimed(workspace, n)?, Environment::system());
    longest(|| Ok(store.rescue(&Rescue::new(ROWS_PER_HEAVY_STEP, &env))?.more))
}

/// All tasks are claimed, and their leases are over.
fn claimed(workspace: &Workspace, n: u32) -> Outcome<Arc<SqliteStore>> {
    let store = workspace.store()?;
    fanned_out(&store, n)?;
    let env = Environment::seeded(SystemClock.now(), 1);
    let registration = store.register_engine(&RegisterEngine::new(&env))?;
    let claim = Claim::new(registration.key(), vec![KindQuota::new("noop".parse()?, 1_000)], 1, &env);
    while !store.claim(&claim)?.tasks().is_empty() {}
    std::thread::sleep(Duration::from_millis(2));
    Ok(store)
}

pub(super) fn sweep(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let (store, env) = (workspace.store()?, Environment::system());
    let run = fanned_out(&store, n)?;
    let _ = store.cancel(&Cancel::run(run, env.now()))?;
    longest(|| Ok(store.sweep(&step(&env, TASKS_PER_SWEEP))?.more))
}

fn aggregate(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let (store, env) = (parents(workspace, n)?, Environment::system());
    longest(|| Ok(store.aggregate(&step(&env, ROWS_PER_HEAVY_STEP))?.more))
}

/// Parents of one child each; all of them can be decided.
fn parents(workspace: &Workspace, n: u32) -> Outcome<Arc<SqliteStore>> {
    let (store, env) = (workspace.store()?, Environment::system());
    let parent = |i| TaskDraft::new(format!("p{i}")).kind("noop").input(json!({ "fanout": 1 }));
    for first in (0..n).step_by(MAX_TASKS) {
        let last = n.min(first + u32::try_from(MAX_TASKS)?);
        submit_run(&store, &RunDraft::new().tasks((first..last).map(parent)))?;
    }
    create(&store)?;
    attempt_all(&store, &env, "noop", |_| Ok(SUCCEEDED))?;
    Ok(store)
}

fn pruned(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let store = prune::settled(workspace, n)?;
    longest(|| Ok(store.prune(&Prune::before(Timestamp::MAX))?.more))
}
