//! How long one step keeps the write lock, at the longest, with a large backlog.

use super::{fan_out::ITEM, prune, retry};
use crate::measure::{Bench, Unit};
use crate::place::{Place, fan_out as create, fanned_out, submit, submit_run, succeed_all, time};
use crate::{Outcome, floor};
use conductor_model::{RunDraft, TaskDraft, Timestamp};
use conductor_store::{
    Admin, Append, Cancel, Claim, Ending, Enlist, FanOut, Prune, Query, Rescue, Scope, Settle, Source,
    SqliteStore, Step, Store, Synchronous, TaskFilter, Want,
};
use conductor_workers::{ROWS_PER_SLOW_STEP, ROWS_PER_STEP};
use serde_json::json;
use std::time::Duration;

/// The longest call of each step.
type Longest = fn(&Place, u32) -> Outcome<Duration>;

/// The steps, and the longest transaction of the floor that does the same.
const STEPS: [(&str, Longest, Longest); 9] = [
    ("hold/fan_out", fan_out, |place, n| floor::fan_out(&mut place.raw_with_parent(n)?, n, None)),
    ("hold/append", append, |place, n| floor::fan_out(&mut place.raw_with_parent(n)?, n, Some(ITEM))),
    ("hold/settle and claim", settle, |place, n| floor::drain(&mut place.raw_with_children(n)?, n)),
    ("hold/retry", retried, floor_of_rows),
    ("hold/promote", promote, floor_of_rows),
    ("hold/rescue", rescue, floor_of_rows),
    ("hold/sweep", sweep, |place, n| floor::cancel(&mut place.raw_with_children(n)?, n)),
    ("hold/aggregate", aggregate, floor_of_rows),
    ("hold/prune", pruned, |place, n| floor::prune(&mut place.raw_with_children(n)?, n)),
];

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    let (n, sync) = (bench.size(200_000), Synchronous::Full);
    for (name, ours, floor) in STEPS {
        let both = bench.both(3, sync, |place| ours(place, n), |place| floor(place, n))?;
        bench.tell(&both.time(name, n, sync, 100, Unit::Milliseconds))?;
    }
    Ok(())
}

/// Rows that are written and leave an event each.
fn floor_of_rows(place: &Place, n: u32) -> Outcome<Duration> {
    let mut raw = place.raw_with_children(n)?;
    retry::fail_all(&raw)?;
    floor::retry(&mut raw, n)
}

/// Repeats a step until it has nothing more to do.
fn longest(mut step: impl FnMut() -> Outcome<bool>) -> Outcome<Duration> {
    let (mut longest, mut more) = (Duration::ZERO, true);
    while more {
        let took = time(|| {
            more = step()?;
            Ok(())
        })?;
        longest = longest.max(took);
    }
    Ok(longest)
}

fn step(source: &Source, limit: u32) -> Step {
    Step::new(Scope::All, limit, source)
}

fn fan_out(place: &Place, n: u32) -> Outcome<Duration> {
    let (store, source) = (place.store()?, Source::system());
    submit(&store, TaskDraft::new("noop").input(json!({ "fanout": n })))?;
    longest(|| Ok(store.fan_out(&FanOut::new(Scope::All, ROWS_PER_STEP, &source))?.more))
}

fn append(place: &Place, n: u32) -> Outcome<Duration> {
    let (store, source) = (place.store()?, Source::system());
    let run = submit(&store, TaskDraft::new("noop").open())?;
    let parent = store.tasks(run, TaskFilter::default(), None, 1)?.items[0].id;
    let mut next = 1;
    longest(|| {
        let items = vec![ITEM.parse()?; 10_000.min(n + 1 - next) as usize];
        next = store.append(&Append::items(parent, next, items, &source))?.next_index;
        Ok(next <= n)
    })
}

fn settle(place: &Place, n: u32) -> Outcome<Duration> {
    let (store, source) = (place.store()?, Source::system());
    fanned_out(&store, n)?;
    let presence = store.enlist(&Enlist::new(&source))?;
    let mut endings = Vec::new();
    longest(|| {
        let claim = Claim::new(presence.holder(), vec![Want::new("noop".parse()?, 2048)], 30_000, &source);
        let settle = Settle { claim: Some(claim), ..Settle::new(std::mem::take(&mut endings), &source) };
        let claimed = store.settle(&settle)?.claimed.tasks;
        endings = claimed.iter().map(|task| (task.fence, Ending::Succeeded { output: None })).collect();
        Ok(!endings.is_empty())
    })
}

fn retried(place: &Place, n: u32) -> Outcome<Duration> {
    let (store, source) = (place.store()?, Source::system());
    fanned_out(&store, n)?;
    retry::fail_all(&place.raw()?)?;
    longest(|| Ok(store.retry(&step(&source, ROWS_PER_STEP))?.more))
}

fn promote(place: &Place, n: u32) -> Outcome<Duration> {
    let (store, source) = (place.store()?, Source::system());
    fanned_out(&store, n)?;
    place.raw()?.execute("UPDATE conductor_tasks SET due_at = 1 WHERE sealed IS NULL", [])?;
    longest(|| Ok(store.promote(&step(&source, ROWS_PER_STEP))?.more))
}

/// All are held by an engine whose leases are over.
fn rescue(place: &Place, n: u32) -> Outcome<Duration> {
    let (store, source) = (place.store()?, Source::system());
    fanned_out(&store, n)?;
    place.raw()?.execute_batch(
        "BEGIN IMMEDIATE;
         UPDATE conductor_tasks SET state = 1, attempt = 1, lease_until = 1, holder = 9 WHERE sealed IS NULL;
         UPDATE conductor_runs SET running = running + pending, pending = 0;
         COMMIT;",
    )?;
    longest(|| Ok(store.rescue(&Rescue::new(ROWS_PER_SLOW_STEP, &source))?.more))
}

pub(super) fn sweep(place: &Place, n: u32) -> Outcome<Duration> {
    let (store, source) = (place.store()?, Source::system());
    let run = fanned_out(&store, n)?;
    let _ = store.cancel(&Cancel::run(run, source.now()))?;
    longest(|| Ok(store.sweep(&step(&source, ROWS_PER_SLOW_STEP))?.more))
}

/// Parents of one child each: all of them can be decided.
fn aggregate(place: &Place, n: u32) -> Outcome<Duration> {
    let (store, source) = (place.store()?, Source::system());
    let parent = |nth| TaskDraft::new(format!("p{nth}")).input(json!({ "fanout": 1 }));
    submit_run(&store, &RunDraft::new().tasks((0..n.min(100_000)).map(parent)))?;
    create(&store)?;
    succeed_all(&place.raw()?)?;
    longest(|| Ok(store.aggregate(&step(&source, ROWS_PER_SLOW_STEP))?.more))
}

fn pruned(place: &Place, n: u32) -> Outcome<Duration> {
    let store: std::sync::Arc<SqliteStore> = prune::settled(place, n)?;
    longest(|| Ok(store.prune(&Prune::before(Timestamp::MAX))?.more))
}
