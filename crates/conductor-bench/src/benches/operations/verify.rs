//! Rate at which states and counters are recomputed from the events.

use super::prune;
use crate::measure::{Bench, Both};
use crate::memory;
use crate::outcome::Outcome;
use crate::workspace::Workspace;
use conductor_store::{Admin, Synchronous, Verify};
use std::time::Instant;

const ROUNDS: usize = 3;

/// The baseline reads the same events and tasks in table order and compares nothing.
pub(in crate::benches) fn run(bench: &Bench) -> Outcome<()> {
    let n = bench.size(1_000_000);
    let workspace = Workspace::new(Synchronous::Full)?;
    let (store, raw) = (prune::settled(&workspace, n)?, workspace.raw()?);
    let mut both = Both::default();
    let mut events = 0;
    for _ in 0..bench.rounds(ROUNDS) {
        memory::reset_peak();
        let began = Instant::now();
        let found = store.verify(&Verify::all())?;
        both.ours.0.push(began.elapsed().as_secs_f64());
        assert_eq!(found.found, 0);
        both.update_peak();
        events = u32::try_from(found.events)?;

        let began = Instant::now();
        for sql in [
            "SELECT key, run, name, at, count, task, tasks, payload FROM conductor_events ORDER BY key",
            "SELECT * FROM conductor_blocks ORDER BY block",
            "SELECT * FROM conductor_ranges ORDER BY key",
            "SELECT * FROM conductor_parents ORDER BY task",
            "SELECT * FROM conductor_ended ORDER BY task",
        ] {
            let mut statement = raw.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                std::hint::black_box((row.get_ref(0)?, row.get_ref(1)?, row.get_ref(2)?, row.get_ref(3)?));
            }
        }
        both.baseline.0.push(began.elapsed().as_secs_f64());
    }
    bench.print(&both.rate("verify", events, Synchronous::Full, "events/s"))
}
