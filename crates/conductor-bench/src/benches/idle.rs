//! What an engine costs that has nothing to do: processor time and writes.

use crate::measure::Bench;
use crate::place::{Place, drain, engine, fanned_out};
use crate::{Outcome, memory};
use conductor_store::Synchronous;
use conductor_workers::POLL;
use std::thread;
use std::time::{Duration, Instant};

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    let watched = Duration::from_secs(if bench.quick { 1 } else { 30 });
    let place = Place::new(Synchronous::Full)?;
    let store = place.store()?;
    let engine = engine(&store)?;
    let n = bench.size(100_000);
    let run = fanned_out(&store, n)?;
    drain(&engine, &store, run)?;
    engine.start();
    thread::sleep(Duration::from_secs(1));
    let observer = place.raw()?;
    let version = || observer.pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0));
    let before = version()?;
    let ours = percent(watched, thread::sleep);
    let writes = version()? - before;
    drop(engine);
    // What a process must do that wants to notice writes of others as soon.
    let floor = percent(watched, |watched| {
        let began = Instant::now();
        while began.elapsed() < watched {
            let _ = std::hint::black_box(version());
            thread::sleep(POLL);
        }
    });
    let figure = |bench: &str, value: f64, unit: &str, floor: Option<f64>| crate::figure::Figure {
        bench: bench.to_owned(),
        n: u64::from(n),
        sync: "FULL".to_owned(),
        value,
        unit: unit.to_owned(),
        floor,
        ratio: floor.filter(|_| value > 0.0).map(|floor| floor / value),
        rss_mb: memory::peak_mb(),
        bytes_per_task: None,
        spread: 1.0,
    };
    bench.tell(&figure("idle/processor", ours.unwrap_or_default(), "% of a core", floor))?;
    #[expect(clippy::cast_precision_loss, reason = "none, or few")]
    bench.tell(&figure("idle/writes", writes as f64, "writes", Some(0.0)))
}

fn percent(watched: Duration, work: impl Fn(Duration)) -> Option<f64> {
    let before = memory::cpu_seconds()?;
    work(watched);
    Some(100.0 * (memory::cpu_seconds()? - before) / watched.as_secs_f64())
}
