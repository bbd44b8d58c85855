//! Leases: renewed while a handler runs, and not trusted when they could not be.

use crate::desk::{ALL, Desk, failures, gate, next, pausing, settle, until};
use crate::meddler::{Meddler, Meddling, busy};
use conductor_model::{State, TaskDraft};
use conductor_store::{Environment, Rescue, Store};
use conductor_workers::{Context, Engine};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

const LEASE: Duration = Duration::from_millis(200);

#[test]
fn handler_runs_for_many_leases() {
    let desk = Desk::on_disk();
    let work = |(): (), context: Context| {
        thread::sleep(6 * LEASE);
        Ok(context.is_cancelled())
    };
    let engine = desk.engine().lease(LEASE).handler("long", work).build().unwrap();
    // Another one, which would take what is not renewed.
    let other = Engine::builder(desk.open_again()).lease(LEASE).handler("long", work).build().unwrap();
    let run = desk.submit_all((0..2).map(|n| TaskDraft::new(format!("t {n}")).kind("long")));
    other.start();
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    for task in desk.tasks(run) {
        assert_eq!((task.attempt, task.output.unwrap().as_str()), (1, "false"));
    }
    assert_eq!(failures(&desk.events(run)), Vec::<String>::new());
}

#[test]
fn waiting_results_keep_their_leases() {
    const RESULTS: u32 = 40;
    const LEASE: Duration = Duration::from_secs(1);
    let desk = Desk::new();
    // All settlements together take two leases, and another engine takes what is not renewed.
    let (other, env) = (Arc::clone(&desk.store), Environment::system());
    let store = Meddler::new(&desk.store, move |method| {
        if method == "settle" {
            thread::sleep(LEASE / 4);
            // What it takes is run again.
            let _ = other.rescue(&Rescue::new(RESULTS, &env)).unwrap();
        }
        Meddling::Pass
    });
    // All of them end at once, and so much is settled a few at a time.
    let all = Barrier::new(RESULTS as usize);
    let work = move |(): (), context: Context| {
        if context.attempt() == 1 {
            all.wait();
        }
        Ok("x".repeat(1_000_000))
    };
    let engine = Engine::builder(store).workers(RESULTS).lease(LEASE).handler("large", work).build().unwrap();
    let run = desk.submit_all((0..RESULTS).map(|n| TaskDraft::new(format!("t {n}")).kind("large")));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert!(desk.tasks(run).iter().all(|task| task.attempt == 1));
    assert_eq!(failures(&desk.events(run)), Vec::<String>::new());
}

#[test]
fn constant_large_outputs_release_nothing() {
    let desk = Desk::new();
    // Slow enough that many have ended whenever some are settled.
    let store = Meddler::new(&desk.store, |method| {
        if method == "settle" {
            thread::sleep(Duration::from_millis(100));
        }
        Meddling::Pass
    });
    let work = |(): (), _: Context| Ok("x".repeat(900_000));
    let engine = Engine::builder(store).workers(16).handler("large", work).build().unwrap();
    let run = desk.submit_all((0..100).map(|n| TaskDraft::new(format!("t {n}")).kind("large")));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(desk.count(run, "task.released"), 0);
}

/// An engine with one worker, whose leases cannot be renewed while `broken` says so.
fn with_broken_renewals(
    desk: &Desk,
    broken: &Arc<AtomicBool>,
    handler: impl Fn((), Context) -> Result<(), conductor_workers::TaskError> + Send + Sync + 'static,
) -> Engine {
    let broken = Arc::clone(broken);
    let store = Meddler::new(&desk.store, move |method| match method {
        "renew" if broken.load(Ordering::SeqCst) => Meddling::Fail(busy()),
        _ => Meddling::Pass,
    });
    Engine::builder(store).workers(1).lease(LEASE).handler("work", handler).build().unwrap()
}

#[test]
fn expired_lease_cancels_running_handler() {
    let desk = Desk::new();
    let broken = Arc::new(AtomicBool::new(true));
    let (told, heard) = mpsc::channel();
    let engine = {
        let broken = Arc::clone(&broken);
        with_broken_renewals(&desk, &Arc::clone(&broken), move |(), context| {
            if context.attempt() == 1 {
                told.send(context.sleep(Duration::from_hours(1)))?;
                broken.store(false, Ordering::SeqCst);
                // What it returns now is not recorded: others may have begun by now.
                return Err(conductor_workers::TaskError::fatal("it was told to give up"));
            }
            Ok(())
        })
    };
    let run = desk.submit(TaskDraft::new("work"));
    engine.start();
    assert!(next(&heard));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    assert_eq!(failures(&desk.events(run)), ["lease expired"]);
    desk.assert_whole(run);
}

#[test]
fn unstarted_claims_wait_while_lease_is_uncertain() {
    let desk = Desk::new();
    let broken = Arc::new(AtomicBool::new(false));
    let (pause, pauses) = pausing(1);
    let (began, told) = mpsc::channel();
    let engine = with_broken_renewals(&desk, &broken, move |(), context| {
        began.send(context.is_cancelled())?;
        pause((), context).map(|_| ())
    });
    let run = desk.submit_all((0..ALL).map(|n| TaskDraft::new(format!("t {n}")).kind("work")));
    engine.start();
    let (running, hold) = pauses.with_others_waiting(&desk, run);
    // Whatever begins from here on begins after the running one was told: it has the only place.
    assert!(told.try_iter().all(|cancelled| !cancelled));
    broken.store(true, Ordering::SeqCst);
    until("the running one is told", || running[0].is_cancelled());
    // The lease of everything that is held here is over. The running one returns, and its place is free.
    hold.open();
    thread::sleep(LEASE / 2);
    assert!(told.try_recv().is_err(), "one began on a lease that was over");
    broken.store(false, Ordering::SeqCst);
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    // None was told to give up before it began.
    assert!(told.try_iter().all(|cancelled| !cancelled));
    desk.assert_whole(run);
}

#[test]
fn heartbeat_abandons_rescued_claim() {
    let desk = Desk::new();
    let (told, heard) = mpsc::channel();
    let blocked = Arc::new(AtomicBool::new(true));
    let (hold, wait) = gate();
    let store = {
        let blocked = Arc::clone(&blocked);
        Meddler::new(&desk.store, move |method| {
            if method == "renew" && blocked.swap(false, Ordering::SeqCst) {
                wait.pass();
            }
            Meddling::Pass
        })
    };
    let handler = move |(): (), context: Context| {
        if context.attempt() == 1 {
            told.send(context.sleep(Duration::from_hours(1)))?;
        }
        Ok(context.attempt())
    };
    let engine = Engine::builder(Arc::clone(&store)).lease(LEASE).handler("work", handler).build().unwrap();
    let run = desk.submit(TaskDraft::new("work"));
    engine.start();
    until("a heartbeat is stuck", || store.calls("renew") > 0);
    // Meanwhile the lease ends, and somebody takes the task back.
    until("the lease is over", || desk.store.rescue(&Rescue::new(10, &desk.env)).unwrap().changed > 0);
    hold.open();
    assert!(next(&heard), "the handler was told to give up");
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let task = desk.first(run);
    assert_eq!((task.attempt, task.output.unwrap().as_str()), (2, "2"));
    desk.assert_whole(run);
}
