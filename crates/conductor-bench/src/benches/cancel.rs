//! A cancel of a run with many open tasks: the call itself, all that follows from it, and its longest hold of the write lock.

use super::hold;
use crate::measure::{Bench, Unit, Workload};
use crate::place::{Place, fanned_out, time};
use crate::{Outcome, floor};
use conductor_model::State;
use conductor_store::{Admin, Cancel, Environment, Query, Scope, SqliteStore, Synchronous};
use conductor_workers::steps::{aggregate, sweep};
use std::time::Duration;

pub(super) const CANCEL: Workload = Workload { name: "cancel", unit: "tasks/s", ours, floor: raw };

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    let n = bench.size(1_000_000);
    bench.run(CANCEL, n, Synchronous::Full, 3)?;
    let both = bench.both(3, Synchronous::Full, |place| call(place, n), |place| floor_call(place, n))?;
    bench.tell(&both.time("cancel/call", n, Synchronous::Full, 50, Unit::Milliseconds))?;
    let both = bench.both(
        3,
        Synchronous::Full,
        |place| hold::sweep(place, n),
        |place| hold::floor_of_sweep(place, n),
    )?;
    bench.tell(&both.time("cancel/longest hold", n, Synchronous::Full, 100, Unit::Milliseconds))
}

fn ours(place: &Place, n: u32) -> Outcome<Duration> {
    let (store, env) = (place.store()?, Environment::system());
    let run = fanned_out(&store, n)?;
    let took = time(|| {
        cancel(&store, run)?;
        sweep::run_once(&*store, Scope::All, &env)?;
        aggregate::run_once(&*store, Scope::All, &env)?;
        Ok(())
    })?;
    match store.run(run)?.map(|run| run.state) {
        Some(State::Cancelled) => Ok(took),
        other => Err(format!("the run is {other:?}").into()),
    }
}

fn cancel(store: &SqliteStore, run: conductor_model::RunId) -> Outcome<()> {
    let _ = store.cancel(&Cancel::run(run, Environment::system().now()))?;
    Ok(())
}

fn call(place: &Place, n: u32) -> Outcome<Duration> {
    let store = place.store()?;
    let run = fanned_out(&store, n)?;
    time(|| cancel(&store, run))
}

fn raw(place: &Place, n: u32) -> Outcome<Duration> {
    let mut raw = place.raw_with_children(n)?;
    time(|| floor::cancel(&mut raw, n, floor::INSERTS))
}

/// The mark alone, on a connection that has written already.
fn floor_call(place: &Place, n: u32) -> Outcome<Duration> {
    let mut raw = place.raw_with_children(n)?;
    floor::mark(&mut raw)?;
    time(|| floor::mark(&mut raw))
}
