//! Cost of reviving one child among many.

use crate::baseline;
use crate::measure::{Bench, Both, Unit};
use crate::outcome::Outcome;
use crate::workspace::{Workspace, fanned_out, first_task};
use conductor_store::{Admin, Environment, Query, Revive, Scope, Synchronous};
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
    raw.execute("UPDATE conductor_tasks SET state = 2 WHERE sealed IS NULL", [])?;
    let mut both = Both::default();
    for _ in 0..bench.rounds(ROUNDS) {
        raw.execute("UPDATE conductor_tasks SET state = 3 WHERE sealed IS NULL AND ordinal = ?1", [middle])?;
        raw.execute_batch(
            "UPDATE conductor_tasks SET open_children = 0, failed_children = 1, state = 1 WHERE sealed = 1;
             UPDATE conductor_runs SET open_children = 1, failed_children = 0, state = 1;",
        )?;
        aggregate::run_once(&*store, Scope::All, &env)?;
        let began = Instant::now();
        let revived = store.revive(&Revive::leaf(child, env.now()))?;
        both.ours.0.push(began.elapsed().as_secs_f64());
        assert_eq!((revived.tasks, revived.reopened), (1, 2));

        let began = Instant::now();
        baseline::revive(&mut raw)?;
        both.baseline.0.push(began.elapsed().as_secs_f64());
        raw.execute("UPDATE conductor_tasks SET state = 2 WHERE key = 2", [])?;
    }
    bench.print(&both.time("revive/one", n, Synchronous::Full, 50, Unit::Milliseconds))
}
