//! Removing a large settled run while other work goes on, and what that work loses by it.

use crate::measure::Bench;
use crate::place::{Place, drain, engine, fanned_out, run_steps_until_idle, time};
use crate::{Outcome, floor};
use conductor_model::Timestamp;
use conductor_store::{Admin, Environment, Prune, Query, SqliteStore, Synchronous};
use conductor_workers::Engine;
use conductor_workers::steps::prune;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// The size of the runs that are worked on meanwhile.
const BESIDE: u32 = 10_000;

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    let (n, beside, sync) = (bench.size(1_000_000), bench.size(BESIDE), Synchronous::Full);
    let both = bench.both(
        3,
        sync,
        |place| {
            beside_work(place, n, beside, |place, before| {
                let removed = prune::run_once(&*place.store()?, before)?;
                assert_eq!(removed.tasks, u64::from(n) + 1);
                Ok(())
            })
        },
        |place| {
            beside_work(place, n, beside, |place, _| {
                floor::prune(&mut place.raw()?, n, floor::INSERTS).map(drop)
            })
        },
    )?;
    bench.tell(&both.rate("prune/beside work", n, sync, "tasks/s"))?;

    let both =
        bench.both(3, sync, |place| work(place, n, beside, true), |place| work(place, n, beside, false))?;
    bench.tell(&both.rate("prune/work beside it", beside, sync, "tasks/s"))
}

/// A file whose first run is large and settled.
pub(super) fn settled(place: &Place, n: u32) -> Outcome<std::sync::Arc<SqliteStore>> {
    let store = place.store()?;
    fanned_out(&store, n)?;
    run_steps_until_idle(&store, &place.raw()?)?;
    Ok(store)
}

/// Small runs, one after the other, until told to stop.
fn work_on(engine: &Engine, store: &SqliteStore, beside: u32, is_over: &AtomicBool) -> Outcome<()> {
    while !is_over.load(Ordering::Relaxed) {
        drain(engine, store, fanned_out(store, beside)?)?;
    }
    Ok(())
}

fn beside_work(
    place: &Place,
    n: u32,
    beside: u32,
    work: impl Fn(&Place, Timestamp) -> Outcome<()>,
) -> Outcome<Duration> {
    let store = settled(place, n)?;
    // The small runs end later, and stay.
    let before = Environment::system().now().plus_millis(1);
    let engine = engine(&store)?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let working =
            scope.spawn(|| work_on(&engine, &store, beside, &is_over).map_err(|error| error.to_string()));
        let took = time(|| work(place, before));
        is_over.store(true, Ordering::Relaxed);
        working.join().map_err(|_| "the work beside it panicked")??;
        took
    })
}

/// How long a small run takes while a prune goes on without a pause, or while none does.
fn work(place: &Place, n: u32, beside: u32, prunes: bool) -> Outcome<Duration> {
    let store = settled(place, n)?;
    let run = fanned_out(&store, beside)?;
    let before = store.run(run)?.ok_or("no run")?.created_at;
    let engine = engine(&store)?;
    let is_over = AtomicBool::new(!prunes);
    thread::scope(|scope| {
        let pruning = scope.spawn(|| -> Result<(), String> {
            while !is_over.load(Ordering::Relaxed) {
                let done = store.prune(&Prune::before(before)).map_err(|error| error.to_string())?;
                if !done.more {
                    break;
                }
            }
            Ok(())
        });
        let took = drain(&engine, &store, run);
        is_over.store(true, Ordering::Relaxed);
        pruning.join().map_err(|_| "the prune panicked")??;
        took
    })
}
