//! What the revival of one child among many costs.

use crate::Outcome;
use crate::measure::{Bench, Both, Unit};
use crate::place::{Place, fanned_out};
use conductor_store::{Admin, Query, Revive, Scope, Source, Synchronous, TaskFilter};
use conductor_workers::aggregate;
use std::time::Instant;

const ROUNDS: usize = 20;

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    let n = bench.size(1_000_000);
    let (place, source) = (Place::new(Synchronous::Full)?, Source::system());
    let store = place.store()?;
    let run = fanned_out(&store, n)?;
    let parent = store.tasks(run, TaskFilter::default(), None, 1)?.items[0].id;
    let middle = n / 2;
    let child = store.children(parent, middle - 1, 1)?.items[0].id;
    let raw = place.raw()?;
    raw.execute("UPDATE conductor_tasks SET state = 2 WHERE sealed IS NULL", [])?;
    let mut both = Both::default();
    for _ in 0..bench.rounds(ROUNDS) {
        raw.execute("UPDATE conductor_tasks SET state = 3 WHERE sealed IS NULL AND ordinal = ?1", [middle])?;
        raw.execute_batch(
            "UPDATE conductor_tasks SET open_children = 0, failed_children = 1, state = 1 WHERE sealed = 1;
             UPDATE conductor_runs SET open_children = 1, failed_children = 0, state = 1;",
        )?;
        aggregate::run_once(&*store, Scope::All, &source)?;
        let began = Instant::now();
        let revived = store.revive(&Revive::leaf(child, source.now()))?;
        both.ours.0.push(began.elapsed().as_secs_f64());
        assert_eq!((revived.tasks, revived.reopened), (1, 2));

        // The three rows and their events.
        let began = Instant::now();
        raw.execute_batch(
            "BEGIN IMMEDIATE;
             UPDATE conductor_tasks SET state = 0 WHERE key = 3;
             UPDATE conductor_tasks SET open_children = 1, failed_children = 0 WHERE key = 1;
             UPDATE conductor_runs SET open_children = 1, failed_children = 0 WHERE key = 1;
             INSERT INTO conductor_events (run, task, name, at) VALUES (1, 3, 15, 1), (1, 1, 16, 1), (1, NULL, 5, 1);
             COMMIT;",
        )?;
        both.floor.0.push(began.elapsed().as_secs_f64());
        raw.execute("UPDATE conductor_tasks SET state = 2 WHERE key = 3", [])?;
    }
    bench.tell(&both.time("revive/one", n, Synchronous::Full, 50, Unit::Milliseconds))
}
