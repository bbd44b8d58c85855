//! Cost of reviving one child among many.

use crate::baseline::{self, check};
use crate::measure::{Bench, Both, Unit};
use crate::outcome::Outcome;
use crate::workspace::{SUCCEEDED, Workspace, attempt_all, fanned_out, first_task};
use conductor_model::AttemptFailure;
use conductor_store::{Admin, AttemptResult, Environment, Query, Revive, Scope, Synchronous};
use conductor_workers::steps::aggregate;
use std::time::Instant;

const ROUNDS: usize = 20;

pub(in crate::benches) fn run(bench: &Bench) -> Outcome<()> {
    let n = bench.size(1_000_000);
    let (workspace, env) = (Workspace::new(Synchronous::Full)?, Environment::system());
    let store = workspace.store()?;
    let run = fanned_out(&store, n)?;
    let middle = n / 2;
    let child = store.children(first_task(&store, run)?.id, middle - 1, 1)?.items[0].id;
    let mut raw = workspace.raw()?;
    // The child fails, and all others succeed. In later rounds it is the only one left.
    let mut key = 0;
    let mut fail = || {
        attempt_all(&store, &env, "noop", |task| {
            if task.fence.task == child {
                key = i64::try_from(task.fence.key)?;
                return Ok(AttemptResult::Failed(AttemptFailure::fatal("no")));
            }
            Ok(SUCCEEDED)
        })?;
        aggregate::run_once(&*store, Scope::All, &env)?;
        Outcome::Ok(key)
    };
    let mut both = Both::default();
    for _ in 0..bench.rounds(ROUNDS) {
        fail()?;
        let began = Instant::now();
        let revived = store.revive(&Revive::leaf(child, env.now()))?;
        both.ours.0.push(began.elapsed().as_secs_f64());
        assert_eq!((revived.tasks, revived.reopened), (1, 2));

        let key = fail()?;
        let began = Instant::now();
        baseline::revive(&mut raw, key)?;
        both.baseline.0.push(began.elapsed().as_secs_f64());
    }
    check::verify(&workspace)?;
    bench.print(&both.time("revive/one", n, Synchronous::Full, 50, Unit::Milliseconds))
}
