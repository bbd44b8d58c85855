//! What idle steps, an empty claim, an explanation and a run's status cost, with ever more settled tasks in the file.

use crate::measure::{Bench, Both, Unit};
use crate::workspace::{Workspace, fan_out, fanned_out, settle_all, submit};
use crate::{Outcome, baseline};
use conductor_model::{RunId, TaskDraft};
use conductor_store::{
    Claim, EngineKey, Environment, FanOut, KindQuota, NodeId, Query, RegisterEngine, Rescue, Scope,
    SqliteStore, Step, Store, Synchronous,
};
use rusqlite::Connection;
use serde_json::json;
use std::time::Instant;

/// How often each is done in a round.
const TIMES: u32 = 2_000;
const ROUNDS: usize = 5;

type Op = fn(&World) -> Outcome<()>;

struct World {
    store: std::sync::Arc<SqliteStore>,
    raw: Connection,
    env: Environment,
    holder: EngineKey,
    run: RunId,
    /// One that waits for children whose kind nobody handles: all there is to explain.
    open: RunId,
}

/// What is done, and how: once as by an engine, and once with the shortest statement that would tell the same; of an
/// explanation, with the first of those that it needs.
const OPS: [(&str, Op, Op); 10] = [
    (
        "history/fan_out",
        |world| keep(world.store.fan_out(&FanOut::new(Scope::All, 1000, &world.env))),
        wanting,
    ),
    ("history/aggregate", |world| keep(world.store.aggregate(&world.step())), wanting),
    ("history/sweep", |world| keep(world.store.sweep(&world.step())), wanting),
    ("history/retry", |world| keep(world.store.retry(&world.step())), due),
    ("history/promote", |world| keep(world.store.promote(&world.step())), due),
    ("history/expire", |world| keep(world.store.expire(&world.step())), expired),
    ("history/rescue", |world| keep(world.store.rescue(&Rescue::new(1000, &world.env))), running),
    ("history/claim", claim, ready),
    ("history/explain", |world| keep(world.store.explain(NodeId::Run(world.open), world.env.now())), run_row),
    ("history/status", |world| keep(world.store.run(world.run)), run_row),
];

impl World {
    fn step(&self) -> Step {
        Step::new(Scope::All, 1000, &self.env)
    }
}

fn keep<T, E: std::error::Error + 'static>(done: Result<T, E>) -> Outcome<()> {
    done.map(|done| drop(std::hint::black_box(done))).map_err(Into::into)
}

fn claim(world: &World) -> Outcome<()> {
    let want = KindQuota::new("noop".parse()?, 100);
    keep(world.store.claim(&Claim::new(world.holder, vec![want], 30_000, &world.env)))
}

fn wanting(world: &World) -> Outcome<()> {
    baseline::probe(&world.raw, "SELECT key FROM conductor_tasks WHERE wants = 1 LIMIT 1")
}

fn due(world: &World) -> Outcome<()> {
    baseline::probe(&world.raw, "SELECT key FROM conductor_tasks WHERE state = 3 AND due_at <= 1 LIMIT 1")
}

fn expired(world: &World) -> Outcome<()> {
    let sql = "SELECT key FROM conductor_runs INDEXED BY conductor_runs_deadline WHERE deadline IS NOT NULL \
        AND mark IS NULL AND state IN (0, 1) AND deadline <= 1 LIMIT 1";
    baseline::probe(&world.raw, sql)
}

fn running(world: &World) -> Outcome<()> {
    let sql =
        "SELECT key FROM conductor_tasks WHERE state = 1 AND sealed IS NULL AND lease_until <= 1 LIMIT 1";
    baseline::probe(&world.raw, sql)
}

fn ready(world: &World) -> Outcome<()> {
    let sql = "SELECT key FROM conductor_tasks WHERE kind = 1 AND state = 0 AND due_at IS NULL AND sealed IS NULL \
        AND coalesce(lost, 0) < 2 LIMIT 1";
    baseline::probe(&world.raw, sql)
}

fn run_row(world: &World) -> Outcome<()> {
    baseline::probe(&world.raw, "SELECT * FROM conductor_runs WHERE key = 1")
}

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    let workspace = Workspace::new(Synchronous::Full)?;
    let (store, env) = (workspace.store()?, Environment::system());
    let registration = store.register_engine(&RegisterEngine::new(&env))?;
    let run = fanned_out(&store, 1)?;
    let mut world = World { raw: workspace.raw()?, holder: registration.key(), store, env, run, open: run };
    settle_all(&world.store, &world.raw)?;
    let mut tasks = 0;
    for n in bench.sizes([10_000, 100_000, 1_000_000, 10_000_000]) {
        while tasks < n {
            let more = (n - tasks).min(1_000_000);
            fanned_out(&world.store, more)?;
            settle_all(&world.store, &world.raw)?;
            tasks += more;
        }
        world.open = submit(&world.store, TaskDraft::new("strange").input(json!({ "fanout": 3 })))?;
        fan_out(&world.store)?;
        world.raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        for (name, ours, floor) in OPS {
            let mut both = Both::default();
            for _ in 0..bench.rounds(ROUNDS) {
                both.ours.0.push(each(&world, ours)?);
                both.floor.0.push(each(&world, floor)?);
            }
            bench.tell(&both.time(name, n, Synchronous::Full, 50, Unit::Microseconds))?;
        }
    }
    Ok(())
}

/// What one costs, in seconds.
fn each(world: &World, op: Op) -> Outcome<f64> {
    let began = Instant::now();
    for _ in 0..TIMES {
        op(world)?;
    }
    Ok(began.elapsed().as_secs_f64() / f64::from(TIMES))
}
