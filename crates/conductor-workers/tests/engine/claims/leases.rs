//! Leases: an engine renews them while handlers run, and does not rely on leases that it could not renew.

use crate::faulty_store::{FaultyStore, Injection, busy};
use crate::pausing::{PAUSED_TASKS, pausing_handler};
use crate::support::fixture::{Fixture, failures, settle};
use crate::support::gate::new_gate;
use crate::support::waiting::{receive, wait_until};
use conductor_model::{State, TaskDraft};
use conductor_store::{Environment, Rescue, Store};
use conductor_workers::{Context, Engine, TaskError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

const LEASE: Duration = Duration::from_millis(200);

#[test]
fn handler_runs_for_many_leases() {
    let fixture = Fixture::on_disk();
    let work = |(): (), context: Context| {
        thread::sleep(6 * LEASE);
        Ok(context.is_cancelled())
    };
    let engine = fixture.engine().lease(LEASE).handler("long", work).build().unwrap();
    // A second engine rescues every claim that is not renewed.
    let other = Engine::builder(fixture.another_handle()).lease(LEASE).handler("long", work).build().unwrap();
    let run = fixture.submit_all((0..2).map(|n| TaskDraft::new(format!("t {n}")).kind("long")));
    other.start();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    for task in fixture.tasks(run) {
        assert_eq!((task.attempt, task.output.unwrap().as_str()), (1, "false"));
    }
    assert_eq!(failures(&fixture.events(run)), Vec::<String>::new());
}

#[test]
fn waiting_results_keep_their_leases() {
    const RESULTS: u32 = 40;
    const LEASE: Duration = Duration::from_secs(1);
    let fixture = Fixture::new();
    // All settlements together take two leases. Another engine rescues every claim that is not renewed.
    let (other, env) = (Arc::clone(&fixture.store), Environment::system());
    let store = FaultyStore::new(&fixture.store, move |method| {
        if method == "settle" {
            thread::sleep(LEASE / 4);
            // A rescued task would run again.
            let _ = other.rescue(&Rescue::new(RESULTS, &env)).unwrap();
        }
        Injection::Pass
    });
    // All attempts end at once. Their outputs are so large that the engine settles a few at a time.
    let barrier = Barrier::new(RESULTS as usize);
    let work = move |(): (), context: Context| {
        if context.attempt() == 1 {
            barrier.wait();
        }
        Ok("x".repeat(1_000_000))
    };
    let engine = Engine::builder(store).workers(RESULTS).lease(LEASE).handler("large", work).build().unwrap();
    let run = fixture.submit_all((0..RESULTS).map(|n| TaskDraft::new(format!("t {n}")).kind("large")));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert!(fixture.tasks(run).iter().all(|task| task.attempt == 1));
    assert_eq!(failures(&fixture.events(run)), Vec::<String>::new());
}

#[test]
fn constant_large_outputs_release_nothing() {
    let fixture = Fixture::new();
    // Each settlement is slow, so that many attempts end in the meantime.
    let store = FaultyStore::new(&fixture.store, |method| {
        if method == "settle" {
            thread::sleep(Duration::from_millis(100));
        }
        Injection::Pass
    });
    let work = |(): (), _: Context| Ok("x".repeat(900_000));
    let engine = Engine::builder(store).workers(16).handler("large", work).build().unwrap();
    let run = fixture.submit_all((0..100).map(|n| TaskDraft::new(format!("t {n}")).kind("large")));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(fixture.count_events(run, "task.released"), 0);
}

/// Builds an engine with one worker. Its renewals fail while `broken` is set.
fn engine_with_failing_renewals(
    fixture: &Fixture,
    broken: &Arc<AtomicBool>,
    handler: impl Fn((), Context) -> Result<(), TaskError> + Send + Sync + 'static,
) -> Engine {
    let broken = Arc::clone(broken);
    let store = FaultyStore::new(&fixture.store, move |method| match method {
        "renew" if broken.load(Ordering::SeqCst) => Injection::Fail(busy()),
        _ => Injection::Pass,
    });
    Engine::builder(store).workers(1).lease(LEASE).handler("work", handler).build().unwrap()
}

#[test]
fn expired_lease_cancels_running_handler() {
    let fixture = Fixture::new();
    let broken = Arc::new(AtomicBool::new(true));
    let (send_cancelled, cancelled) = mpsc::channel();
    let engine = {
        let broken = Arc::clone(&broken);
        engine_with_failing_renewals(&fixture, &Arc::clone(&broken), move |(), context| {
            if context.attempt() == 1 {
                send_cancelled.send(context.sleep(Duration::from_hours(1)))?;
                broken.store(false, Ordering::SeqCst);
                // The engine does not record this result, because another engine may run the task now.
                return Err(TaskError::fatal("cancelled"));
            }
            Ok(())
        })
    };
    let run = fixture.submit(TaskDraft::new("work"));
    engine.start();
    assert!(receive(&cancelled));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(failures(&fixture.events(run)), ["lease expired"]);
    fixture.assert_consistent(run);
}

#[test]
fn unstarted_claims_wait_while_lease_is_uncertain() {
    let fixture = Fixture::new();
    let broken = Arc::new(AtomicBool::new(false));
    let (pause, pauses) = pausing_handler(1);
    let (started, starts) = mpsc::channel();
    let engine = engine_with_failing_renewals(&fixture, &broken, move |(), context| {
        started.send(context.is_cancelled())?;
        pause((), context).map(|_| ())
    });
    let run = fixture.submit_all((0..PAUSED_TASKS).map(|n| TaskDraft::new(format!("t {n}")).kind("work")));
    engine.start();
    let (running, gate) = pauses.wait_for_prefetched_claims(&fixture, run);
    // The running attempt has the only worker. So every later attempt starts after its cancellation.
    assert!(starts.try_iter().all(|cancelled| !cancelled));
    broken.store(true, Ordering::SeqCst);
    wait_until("the running attempt is cancelled", || running[0].is_cancelled());
    // The leases of all claims have expired. The running attempt returns, and its worker is free.
    gate.open();
    thread::sleep(LEASE / 2);
    assert!(starts.try_recv().is_err(), "an attempt started on an expired lease");
    broken.store(false, Ordering::SeqCst);
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    // No attempt was cancelled before it started.
    assert!(starts.try_iter().all(|cancelled| !cancelled));
    fixture.assert_consistent(run);
}

#[test]
fn heartbeat_abandons_rescued_claim() {
    let fixture = Fixture::new();
    let (send_cancelled, cancelled) = mpsc::channel();
    let blocked = Arc::new(AtomicBool::new(true));
    let (gate, waiter) = new_gate();
    let store = {
        let blocked = Arc::clone(&blocked);
        FaultyStore::new(&fixture.store, move |method| {
            if method == "renew" && blocked.swap(false, Ordering::SeqCst) {
                waiter.wait();
            }
            Injection::Pass
        })
    };
    let handler = move |(): (), context: Context| {
        if context.attempt() == 1 {
            send_cancelled.send(context.sleep(Duration::from_hours(1)))?;
        }
        Ok(context.attempt())
    };
    let engine = Engine::builder(Arc::clone(&store)).lease(LEASE).handler("work", handler).build().unwrap();
    let run = fixture.submit(TaskDraft::new("work"));
    engine.start();
    wait_until("a heartbeat is blocked", || store.calls("renew") > 0);
    // Meanwhile the lease expires, and another engine rescues the task.
    wait_until("the lease has expired", || {
        fixture.store.rescue(&Rescue::new(10, &fixture.env)).unwrap().changed > 0
    });
    gate.open();
    assert!(receive(&cancelled), "the handler was cancelled");
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let task = fixture.first_task(run);
    assert_eq!((task.attempt, task.output.unwrap().as_str()), (2, "2"));
    fixture.assert_consistent(run);
}
