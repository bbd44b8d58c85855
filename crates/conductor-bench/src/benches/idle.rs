//! The cost of an idle engine: processor time and writes.

use crate::measure::{Bench, Both, Rounds};
use crate::memory;
use crate::outcome::Outcome;
use crate::workspace::{Workspace, drain, engine, fanned_out};
use conductor_store::Synchronous;
use conductor_workers::POLL_INTERVAL;
use std::thread;
use std::time::{Duration, Instant};

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    let watched = Duration::from_secs(if bench.quick { 1 } else { 30 });
    let workspace = Workspace::new(Synchronous::Full)?;
    let store = workspace.store()?;
    let engine = engine(&store)?;
    let n = bench.size(100_000);
    let run = fanned_out(&store, n)?;
    drain(&engine, &store, run)?;
    engine.start();
    thread::sleep(Duration::from_secs(1));
    let before = memory::writes();
    let ours = percent(watched, thread::sleep);
    let writes = memory::writes().zip(before).map(|(after, before)| after - before);
    drop(engine);
    let observer = workspace.raw()?;
    let version = || observer.pragma_query_value(None, "data_version", |row| row.get::<_, u32>(0));
    // The baseline does what any process must do to notice writes of other processes as soon.
    let baseline = percent(watched, |watched| {
        let began = Instant::now();
        while began.elapsed() < watched {
            let _ = std::hint::black_box(version());
            thread::sleep(POLL_INTERVAL);
        }
    });
    let both = Both { ours: Rounds(vec![ours]), baseline: Rounds(vec![baseline]), ..Both::default() };
    let (sync, unit) = (Synchronous::Full, "% of a core");
    bench.print(&both.record("idle/processor", n, sync, (ours, unit), Some((baseline, baseline / ours))))?;
    // Empty on systems without this counter.
    writes.map_or(Ok(()), |writes| {
        bench.print(&Both::default().record("idle/writes", n, sync, (writes, "writes"), None))
    })
}

/// Returns the processor time meanwhile, in percent of a core; `None` on systems without this counter.
fn percent(watched: Duration, work: impl Fn(Duration)) -> f64 {
    let before = memory::cpu_seconds();
    work(watched);
    let spent = memory::cpu_seconds().zip(before).map(|(after, before)| after - before);
    100.0 * spent.unwrap_or_default() / watched.as_secs_f64()
}
