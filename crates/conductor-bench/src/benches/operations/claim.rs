//! Cost of settling and claiming beside tasks that cannot be claimed: delayed tasks, another kind, and another run.

use crate::measure::{Bench, Both, Unit};
use crate::outcome::Outcome;
use crate::workspace::{Workspace, fan_out, submit, submit_run};
use conductor_model::{RunDraft, TaskDraft};
use conductor_store::{
    AttemptResult, Claim, ClaimedTask, Environment, KindQuota, RegisterEngine, RotationCursor, Settle,
    SqliteStore, Store, Synchronous,
};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

const CLAIMS: u32 = 200;
const TASKS_PER_CLAIM: u32 = 100;
const ROUNDS: usize = 5;

/// The baseline is the same engine on a file without other tasks.
pub(in crate::benches) fn run(bench: &Bench) -> Outcome<()> {
    let n = bench.size(1_000_000);
    let rounds = bench.rounds(ROUNDS);
    let (crowded, empty) = (Workspace::new(Synchronous::Full)?, Workspace::new(Synchronous::Full)?);
    let stores = (prepare(&crowded, n, rounds)?, prepare(&empty, 0, rounds)?);
    let mut both = Both::default();
    for _ in 0..rounds {
        both.ours.0.push(settle_and_claim(&stores.0)?);
        both.baseline.0.push(settle_and_claim(&stores.1)?);
    }
    bench.print(&both.time("claim/crowded", n, Synchronous::Full, 50, Unit::Microseconds))
}

/// Prepares a file with the tasks to claim and three times `others` more tasks.
fn prepare(workspace: &Workspace, others: u32, rounds: usize) -> Outcome<Arc<SqliteStore>> {
    let store = workspace.store()?;
    let later = Environment::system().now().plus_millis(86_400_000);
    let many = |name: &str, count: u32| TaskDraft::new(name).kind("wanted").input(json!({ "fanout": count }));
    if others > 0 {
        submit(&store, many("strange", others).kind("strange"))?;
        submit(&store, many("another run", others))?;
        // Root tasks, because a delayed parent does not fan out.
        for first in (0..others).step_by(50_000) {
            let delayed = |_| TaskDraft::new("delayed").kind("wanted").due_at(later);
            submit_run(&store, &RunDraft::new().tasks((first..others.min(first + 50_000)).map(delayed)))?;
        }
    }
    submit(&store, many("ours", CLAIMS * TASKS_PER_CLAIM * u32::try_from(rounds)?))?;
    fan_out(&store)?;
    Ok(store)
}

/// Returns the cost of one task, in seconds.
fn settle_and_claim(store: &SqliteStore) -> Outcome<f64> {
    let env = Environment::system();
    let registration = store.register_engine(&RegisterEngine::new(&env))?;
    let (mut results, mut cursor) = (Vec::new(), RotationCursor::default());
    let began = Instant::now();
    for _ in 0..CLAIMS {
        let want = KindQuota::new("wanted".parse()?, TASKS_PER_CLAIM).after(cursor);
        let claim =
            Claim { allow_isolated: true, ..Claim::new(registration.key(), vec![want], 30_000, &env) };
        let settle = Settle { claim: Some(claim), ..Settle::new(std::mem::take(&mut results), &env) };
        let claimed = store.settle(&settle)?.claimed;
        cursor = claimed.cursors[0];
        let done = |task: &ClaimedTask| (task.fence, AttemptResult::Succeeded { output: None });
        results = claimed.tasks().iter().map(done).collect();
        // Some claims serve the other run, by rotation.
        if results.is_empty() {
            return Err("nothing was left to claim".into());
        }
    }
    Ok(began.elapsed().as_secs_f64() / f64::from(CLAIMS * TASKS_PER_CLAIM))
}
