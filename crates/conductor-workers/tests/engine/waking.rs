//! How soon an engine notices what there is to do, and that it is quiet otherwise.

use crate::desk::{Desk, gate, next, settle, until};
use crate::meddler::{Meddler, Meddling};
use conductor_model::{RunDraft, State, TaskDraft};
use conductor_store::{Environment, Query, Store, Submit};
use conductor_workers::{Context, Engine};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

fn work() -> RunDraft {
    RunDraft::new().task(TaskDraft::new("work"))
}

/// The middle one of several waits, from the end of `submit` to the beginning of the handler.
fn median_wait(engine: &Engine, began: &mpsc::Receiver<Instant>, submit: impl Fn()) -> Duration {
    engine.start();
    let mut waits: Vec<Duration> = (0..11)
        .map(|nth| {
            // At another moment of the poll each time.
            thread::sleep(Duration::from_millis(60 + 7 * nth));
            let submitted = Instant::now();
            submit();
            next(began).saturating_duration_since(submitted)
        })
        .collect();
    waits.sort();
    waits[waits.len() / 2]
}

fn telling() -> (impl Fn((), Context) -> Result<(), conductor_workers::TaskError>, mpsc::Receiver<Instant>) {
    let (began, told) = mpsc::channel();
    let handler = move |(): (), _: Context| {
        began.send(Instant::now())?;
        Ok(())
    };
    (handler, told)
}

#[test]
fn submission_through_engine_starts_immediately() {
    let desk = Desk::on_disk();
    let (handler, began) = telling();
    let engine = desk.engine().handler("work", handler).build().unwrap();
    let wait = median_wait(&engine, &began, || {
        engine.submit(work()).unwrap();
    });
    assert!(wait < Duration::from_millis(200), "{wait:?}");
}

#[test]
fn idle_engine_claims_within_submission() {
    let desk = Desk::new();
    let store = Meddler::new(&desk.store, |_| Meddling::Pass);
    let (handler, began) = telling();
    let engine = Engine::builder(Arc::clone(&store)).handler("work", handler).build().unwrap();
    let before_the_start = engine.submit(work()).unwrap();
    settle(&engine, before_the_start);
    next(&began);
    assert_eq!(store.calls("submit_and_claim"), 0, "nobody was there to claim");
    for _ in 0..10 {
        thread::sleep(Duration::from_millis(60));
        let run = engine.submit(work()).unwrap();
        next(&began);
        assert_eq!(settle(&engine, run).state, State::Succeeded);
        desk.assert_whole(run);
    }
    // Now and then it just looks whether there is something to do.
    let (plain, claimed) = (store.calls("submit") - 1, store.calls("submit_and_claim"));
    assert!(claimed > plain, "{claimed} of {}", claimed + plain);
}

#[test]
fn concurrent_submissions_run_once_each() {
    let desk = Desk::on_disk();
    let engine = desk.engine().workers(2).handler("work", |(): (), _| Ok(())).build().unwrap();
    engine.start();
    let submit = || (0..40).map(|_| engine.submit(work()).unwrap()).collect::<Vec<_>>();
    let runs: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(submit)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for run in &runs {
        assert_eq!(settle(&engine, *run).state, State::Succeeded);
        assert_eq!(desk.first(*run).attempt, 1);
    }
    desk.assert_whole(runs[0]);
}

/// How many run, and how many did at most.
type Counts = Arc<[AtomicU64; 2]>;

#[test]
fn submissions_to_idle_engine_respect_limits() {
    let desk = Desk::new();
    let (all, few) = (Counts::default(), Counts::default());
    let counting = |counts: &[&Counts]| {
        let counts: Vec<Counts> = counts.iter().map(|counts| Arc::clone(counts)).collect();
        move |(): (), _: Context| {
            for [running, most] in counts.iter().map(|counts| &**counts) {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            }
            thread::sleep(Duration::from_millis(20));
            for [running, _] in counts.iter().map(|counts| &**counts) {
                running.fetch_sub(1, Ordering::SeqCst);
            }
            Ok(())
        }
    };
    let engine = desk.engine().workers(3).handler("work", counting(&[&all]));
    let engine = engine.handler("few", counting(&[&all, &few])).kind_limit("few", 1).build().unwrap();
    engine.start();
    let draft =
        |nth: u32| RunDraft::new().task(TaskDraft::new(if nth.is_multiple_of(3) { "few" } else { "work" }));
    let runs: Vec<_> = (0..60)
        .map(|nth| {
            thread::sleep(Duration::from_millis(u64::from(nth % 7)));
            engine.submit(draft(nth)).unwrap()
        })
        .collect();
    for run in runs {
        assert_eq!(settle(&engine, run).state, State::Succeeded);
        assert_eq!(desk.first(run).attempt, 1);
    }
    assert_eq!([all, few].map(|counts| counts[1].load(Ordering::SeqCst)), [3, 1]);
}

#[test]
fn writes_of_another_handle_are_noticed_soon() {
    let desk = Desk::on_disk();
    let (handler, began) = telling();
    let engine = desk.engine().handler("work", handler).build().unwrap();
    let (other, env) = (desk.open_again(), Environment::system());
    let wait = median_wait(&engine, &began, || {
        let _ = other.submit(&Submit::new(work().validate().unwrap(), &env)).unwrap();
    });
    assert!(wait < Duration::from_millis(200), "{wait:?}");
}

#[test]
fn writes_through_same_store_are_noticed_soon() {
    let desk = Desk::new();
    let (handler, began) = telling();
    let engine = desk.engine().handler("work", handler).build().unwrap();
    let wait = median_wait(&engine, &began, || {
        desk.submit(TaskDraft::new("work"));
    });
    assert!(wait < Duration::from_millis(200), "{wait:?}");
}

#[test]
fn write_during_turn_is_noticed_at_next_poll() {
    let desk = Desk::new();
    let (armed, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let noticed = Arc::new(Mutex::new(None));
    let store = {
        let (inner, env) = (Arc::clone(&desk.store), Environment::system());
        let (armed, looks, noticed) = (Arc::clone(&armed), Arc::clone(&looks), Arc::clone(&noticed));
        Meddler::new(&desk.store, move |method| {
            match method {
                // The last step of a turn has nothing to do with a leaf that is ready.
                "aggregate" if armed.swap(false, Ordering::SeqCst) => {
                    inner.submit(&Submit::new(work().validate().unwrap(), &env)).unwrap();
                    looks.store(0, Ordering::SeqCst);
                    *noticed.lock().unwrap() = None;
                }
                "change_token" => {
                    looks.fetch_add(1, Ordering::SeqCst);
                }
                // The next turn.
                "settle" => {
                    noticed.lock().unwrap().get_or_insert(looks.load(Ordering::SeqCst));
                }
                _ => {}
            }
            Meddling::Pass
        })
    };
    let (handler, began) = telling();
    let engine = Engine::builder(store).handler("work", handler).build().unwrap();
    engine.start();
    for _ in 0..5 {
        // By now it does nothing but look.
        thread::sleep(Duration::from_millis(400));
        armed.store(true, Ordering::SeqCst);
        next(&began);
        // One look notices, and the turn that follows takes another one first.
        assert_eq!(*noticed.lock().unwrap(), Some(2));
    }
}

#[test]
fn unrelated_writes_cause_no_extra_polls() {
    let desk = Desk::new();
    let looks = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&looks);
    let store = Meddler::new(&desk.store, move |method| {
        counted.fetch_add(u64::from(method == "change_token"), Ordering::SeqCst);
        Meddling::Pass
    });
    let engine =
        Engine::builder(store).handler("work", |(): (), _| Ok(())).on_warning(|_| {}).build().unwrap();
    engine.start();
    thread::sleep(Duration::from_millis(300));
    looks.store(0, Ordering::SeqCst);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        desk.submit(TaskDraft::new("strange"));
        thread::sleep(Duration::from_millis(1));
    }
    // Twenty times, and once more in each turn that follows.
    let looks = looks.load(Ordering::SeqCst);
    assert!(looks < 100, "{looks} looks");
}

#[test]
fn idle_engine_writes_nothing() {
    let desk = Desk::on_disk();
    let engine = desk.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
    let run = engine.submit(work()).unwrap();
    settle(&engine, run);
    // Things that wait, too: for somebody with a handler, for their time, and for whoever holds them.
    let later = desk.env.now().plus_millis(3_600_000);
    let waiting = desk.submit_all([
        TaskDraft::new("strange"),
        TaskDraft::new("work").due_at(later),
        TaskDraft::new("held").kind("work").due_at(later),
    ]);
    desk.hold(desk.tasks(waiting)[2].id);
    let other = desk.open_again();
    thread::sleep(Duration::from_millis(300));
    let before = other.change_token().unwrap();
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(other.change_token().unwrap(), before, "somebody wrote");
    assert_eq!(desk.tasks(waiting)[0].state, State::Pending);
}

#[test]
fn two_engines_share_one_store() {
    let desk = Desk::new();
    share(&desk, &[desk.engine(), desk.engine()].map(with_handler));
}

#[test]
fn two_engines_share_one_file() {
    let desk = Desk::on_disk();
    let other = Engine::builder(desk.open_again());
    share(&desk, &[desk.engine(), other].map(with_handler));
}

fn with_handler(builder: conductor_workers::EngineBuilder) -> Engine {
    let work = |(): (), _: Context| {
        thread::sleep(Duration::from_millis(3));
        Ok(())
    };
    builder.workers(2).handler("work", work).build().unwrap()
}

fn share(desk: &Desk, engines: &[Engine]) {
    let run = desk.submit_all((0..200).map(|n| TaskDraft::new(format!("t {n}")).kind("work")));
    thread::scope(|scope| {
        let waiting = engines.iter().map(|engine| scope.spawn(|| settle(engine, run).state));
        for state in waiting.collect::<Vec<_>>() {
            assert_eq!(state.join().unwrap(), State::Succeeded);
        }
    });
    assert!(desk.tasks(run).iter().all(|task| task.attempt == 1), "each was claimed once");
    desk.assert_whole(run);
}

#[test]
fn stopped_engine_leaves_work_to_another() {
    let desk = Desk::on_disk();
    let (hold, wait) = gate();
    let stuck = move |(): (), context: Context| {
        if context.attempt() == 1 {
            wait.pass();
        }
        Ok(context.attempt())
    };
    let one = desk.engine().workers(3).handler("work", stuck.clone()).build().unwrap();
    let other = Engine::builder(desk.open_again()).workers(3).handler("work", stuck).build().unwrap();
    let run = desk.submit_all((0..3).map(|n| TaskDraft::new(format!("t {n}")).kind("work").max_retries(0)));
    one.start();
    until("all are claimed", || desk.tasks(run).iter().all(|task| task.state == State::Running));
    one.stop_handle().stop_now();
    assert_eq!(settle(&other, run).state, State::Succeeded);
    assert!(desk.tasks(run).iter().all(|task| task.attempt == 2));
    hold.open();
}
