//! Cost of idle steps, an empty claim, an explanation and a run query, while the number of settled tasks in the file grows.

use crate::baseline;
use crate::measure::{Bench, Both, Unit};
use crate::outcome::Outcome;
use crate::workspace::{Workspace, fan_out, fanned_out, settle_all, submit};
use conductor_model::{RunId, TaskDraft};
use conductor_store::{
    Claim, EngineKey, Environment, FanOut, KindQuota, NodeId, Query, RegisterEngine, Rescue, Scope,
    SqliteStore, Step, Store, Synchronous,
};
use rusqlite::Connection;
use serde_json::json;
use std::time::Instant;

/// The number of calls in a round.
const TIMES: u32 = 2_000;
const ROUNDS: usize = 5;

type Op = fn(&Fixture) -> Outcome<()>;

struct Fixture {
    store: std::sync::Arc<SqliteStore>,
    raw: Connection,
    env: Environment,
    engine_key: EngineKey,
    run: RunId,
    /// A run whose children have a kind without a handler, so that all its reasons must be explained.
    open: RunId,
}

/// Each operation twice: as an engine does it, and as the shortest statement with the same answer. For an explanation that is
/// the first of its statements.
const OPS: [(&str, Op, Op); 10] = [
    (
        "history/fan_out",
        |world| ignore_output(world.store.fan_out(&FanOut::new(Scope::All, 1000, &world.env))),
        next_parent,
    ),
    ("history/aggregate", |world| ignore_output(world.store.aggregate(&world.step())), next_parent),
    ("history/sweep", |world| ignore_output(world.store.sweep(&world.step())), next_parent),
    ("history/retry", |world| ignore_output(world.store.retry(&world.step())), due),
    ("history/promote", |world| ignore_output(world.store.promote(&world.step())), due),
    ("history/expire", |world| ignore_output(world.store.expire(&world.step())), expired),
    ("history/rescue", |world| ignore_output(world.store.rescue(&Rescue::new(1000, &world.env))), running),
    ("history/claim", claim, ready),
    (
        "history/explain",
        |world| ignore_output(world.store.explain(NodeId::Run(world.open), world.env.now())),
        run_row,
    ),
    ("history/status", |world| ignore_output(world.store.run(world.run)), run_row),
];

impl Fixture {
    fn step(&self) -> Step {
        Step::new(Scope::All, 1000, &self.env)
    }
}

fn ignore_output<T, E: std::error::Error + 'static>(done: Result<T, E>) -> Outcome<()> {
    done.map(|done| drop(std::hint::black_box(done))).map_err(Into::into)
}

fn claim(world: &Fixture) -> Outcome<()> {
    let want = KindQuota::new("noop".parse()?, 100);
    ignore_output(world.store.claim(&Claim::new(world.engine_key, vec![want], 30_000, &world.env)))
}

fn next_parent(world: &Fixture) -> Outcome<()> {
    baseline::read_one_row(&world.raw, "SELECT task FROM conductor_parents WHERE next_step = 1 LIMIT 1")
}

fn due(world: &Fixture) -> Outcome<()> {
    baseline::read_one_row(
        &world.raw,
        "SELECT key FROM conductor_ranges WHERE state = 3 AND due_at <= 1 LIMIT 1",
    )
}

fn expired(world: &Fixture) -> Outcome<()> {
    let sql = "SELECT key FROM conductor_runs INDEXED BY conductor_runs_deadline WHERE deadline IS NOT NULL \
        AND cancel_cause IS NULL AND state IN (0, 1) AND deadline <= 1 LIMIT 1";
    baseline::read_one_row(&world.raw, sql)
}

fn running(world: &Fixture) -> Outcome<()> {
    baseline::read_one_row(
        &world.raw,
        "SELECT key FROM conductor_ranges WHERE state = 1 AND lease_until <= 1 LIMIT 1",
    )
}

fn ready(world: &Fixture) -> Outcome<()> {
    let sql = "SELECT key FROM conductor_ranges WHERE kind = 1 AND state = 0 AND due_at IS NULL \
        AND coalesce(lease_losses, 0) < 2 LIMIT 1";
    baseline::read_one_row(&world.raw, sql)
}

fn run_row(world: &Fixture) -> Outcome<()> {
    baseline::read_one_row(&world.raw, "SELECT * FROM conductor_runs WHERE key = 1")
}

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    let workspace = Workspace::new(Synchronous::Full)?;
    let (store, env) = (workspace.store()?, Environment::system());
    let registration = store.register_engine(&RegisterEngine::new(&env))?;
    let run = fanned_out(&store, 1)?;
    let mut world =
        Fixture { raw: workspace.raw()?, engine_key: registration.key(), store, env, run, open: run };
    settle_all(&world.store)?;
    let mut tasks = 0;
    for n in bench.sizes([10_000, 100_000, 1_000_000, 10_000_000]) {
        while tasks < n {
            let more = (n - tasks).min(1_000_000);
            fanned_out(&world.store, more)?;
            settle_all(&world.store)?;
            tasks += more;
        }
        world.open = submit(&world.store, TaskDraft::new("strange").input(json!({ "fanout": 3 })))?;
        fan_out(&world.store)?;
        world.raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        for (name, ours, baseline) in OPS {
            let mut both = Both::default();
            for _ in 0..bench.rounds(ROUNDS) {
                both.ours.0.push(each(&world, ours)?);
                both.baseline.0.push(each(&world, baseline)?);
            }
            bench.print(&both.time(name, n, Synchronous::Full, 50, Unit::Microseconds))?;
        }
    }
    Ok(())
}

/// Returns the time of one call, in seconds.
fn each(world: &Fixture, op: Op) -> Outcome<f64> {
    let began = Instant::now();
    for _ in 0..TIMES {
        op(world)?;
    }
    Ok(began.elapsed().as_secs_f64() / f64::from(TIMES))
}
