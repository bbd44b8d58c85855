//! How soon an engine notices new work, and that it does little otherwise.

use crate::faulty_store::{FaultyStore, Injection};
use crate::support::fixture::{Fixture, settle};
use crate::support::gate::new_gate;
use crate::support::waiting::{receive, wait_until};
use conductor_model::{RunDraft, State, TaskDraft};
use conductor_store::{Environment, Query, Store, Submit};
use conductor_workers::{Context, Engine, EngineBuilder, TaskError};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

fn draft() -> RunDraft {
    RunDraft::new().task(TaskDraft::new("work"))
}

/// Returns the median of several times from the call of `submit` to the start of the handler.
fn median_wait(engine: &Engine, started: &mpsc::Receiver<Instant>, submit: impl Fn()) -> Duration {
    engine.start();
    let mut waits: Vec<Duration> = (0..11)
        .map(|number| {
            // A different phase of the poll each time.
            thread::sleep(Duration::from_millis(60 + 7 * number));
            let submitted = Instant::now();
            submit();
            receive(started).saturating_duration_since(submitted)
        })
        .collect();
    waits.sort();
    waits[waits.len() / 2]
}

/// Creates a handler that sends the time of each start.
fn timestamping_handler() -> (impl Fn((), Context) -> Result<(), TaskError>, mpsc::Receiver<Instant>) {
    let (started, starts) = mpsc::channel();
    let handler = move |(): (), _: Context| {
        started.send(Instant::now())?;
        Ok(())
    };
    (handler, starts)
}

#[test]
fn submission_through_engine_starts_immediately() {
    let fixture = Fixture::on_disk();
    let (handler, started) = timestamping_handler();
    let engine = fixture.engine().handler("work", handler).build().unwrap();
    let wait = median_wait(&engine, &started, || {
        engine.submit(draft()).unwrap();
    });
    assert!(wait < Duration::from_millis(200), "{wait:?}");
}

#[test]
fn idle_engine_claims_within_submission() {
    let fixture = Fixture::new();
    let store = FaultyStore::counting(&fixture.store);
    let (handler, started) = timestamping_handler();
    let engine = Engine::builder(Arc::clone(&store)).handler("work", handler).build().unwrap();
    let before_start = engine.submit(draft()).unwrap();
    settle(&engine, before_start);
    receive(&started);
    assert_eq!(store.calls("submit_and_claim"), 0, "the engine had not started");
    for _ in 0..10 {
        thread::sleep(Duration::from_millis(60));
        let run = engine.submit(draft()).unwrap();
        receive(&started);
        assert_eq!(settle(&engine, run).state, State::Succeeded);
        fixture.assert_consistent(run);
    }
    // A submission during a turn is not claimed directly.
    let (plain, claimed) = (store.calls("submit") - 1, store.calls("submit_and_claim"));
    assert!(claimed > plain, "{claimed} of {}", claimed + plain);
}

#[test]
fn concurrent_submissions_run_once_each() {
    let fixture = Fixture::on_disk();
    let engine = fixture.engine().workers(2).handler("work", |(): (), _| Ok(())).build().unwrap();
    engine.start();
    let submit = || (0..40).map(|_| engine.submit(draft()).unwrap()).collect::<Vec<_>>();
    let runs: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(submit)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for run in &runs {
        assert_eq!(settle(&engine, *run).state, State::Succeeded);
        assert_eq!(fixture.first_task(*run).attempt, 1);
    }
    fixture.assert_consistent(runs[0]);
}

/// The number of running attempts, and its maximum.
type Counts = Arc<[AtomicU64; 2]>;

#[test]
fn submissions_to_idle_engine_respect_limits() {
    let fixture = Fixture::new();
    let (all, few) = (Counts::default(), Counts::default());
    let counting = |counts: &[&Counts]| {
        let counts: Vec<Counts> = counts.iter().map(|counts| Arc::clone(counts)).collect();
        move |(): (), _: Context| {
            for [running, maximum] in counts.iter().map(|counts| &**counts) {
                maximum.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            }
            thread::sleep(Duration::from_millis(20));
            for [running, _] in counts.iter().map(|counts| &**counts) {
                running.fetch_sub(1, Ordering::SeqCst);
            }
            Ok(())
        }
    };
    let engine = fixture.engine().workers(3).handler("work", counting(&[&all]));
    let engine = engine.handler("few", counting(&[&all, &few])).kind_limit("few", 1).build().unwrap();
    engine.start();
    let draft = |number: u32| {
        RunDraft::new().task(TaskDraft::new(if number.is_multiple_of(3) { "few" } else { "work" }))
    };
    let runs: Vec<_> = (0..60)
        .map(|number| {
            thread::sleep(Duration::from_millis(u64::from(number % 7)));
            engine.submit(draft(number)).unwrap()
        })
        .collect();
    for run in runs {
        assert_eq!(settle(&engine, run).state, State::Succeeded);
        assert_eq!(fixture.first_task(run).attempt, 1);
    }
    assert_eq!([all, few].map(|counts| counts[1].load(Ordering::SeqCst)), [3, 1]);
}

#[test]
fn writes_of_another_handle_are_noticed_soon() {
    let fixture = Fixture::on_disk();
    let (handler, started) = timestamping_handler();
    let engine = fixture.engine().handler("work", handler).build().unwrap();
    let (other, env) = (fixture.another_handle(), Environment::system());
    let wait = median_wait(&engine, &started, || {
        let _ = other.submit(&Submit::new(draft().validate().unwrap(), &env)).unwrap();
    });
    assert!(wait < Duration::from_millis(200), "{wait:?}");
}

#[test]
fn writes_through_same_store_are_noticed_soon() {
    let fixture = Fixture::new();
    let (handler, started) = timestamping_handler();
    let engine = fixture.engine().handler("work", handler).build().unwrap();
    let wait = median_wait(&engine, &started, || {
        fixture.submit(TaskDraft::new("work"));
    });
    assert!(wait < Duration::from_millis(200), "{wait:?}");
}

#[test]
fn write_during_turn_is_noticed_at_next_poll() {
    let fixture = Fixture::new();
    let (armed, polls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let noticed = Arc::new(Mutex::new(None));
    let store = {
        let (inner, env) = (Arc::clone(&fixture.store), Environment::system());
        let (armed, polls, noticed) = (Arc::clone(&armed), Arc::clone(&polls), Arc::clone(&noticed));
        FaultyStore::new(&fixture.store, move |method| {
            match method {
                // Aggregation is the last step of a turn. It does not see the new leaf.
                "aggregate" if armed.swap(false, Ordering::SeqCst) => {
                    inner.submit(&Submit::new(draft().validate().unwrap(), &env)).unwrap();
                    polls.store(0, Ordering::SeqCst);
                    *noticed.lock().unwrap() = None;
                }
                "change_token" => {
                    polls.fetch_add(1, Ordering::SeqCst);
                }
                // The settle call of the next turn.
                "settle" => {
                    noticed.lock().unwrap().get_or_insert(polls.load(Ordering::SeqCst));
                }
                _ => {}
            }
            Injection::Pass
        })
    };
    let (handler, started) = timestamping_handler();
    let engine = Engine::builder(store).handler("work", handler).build().unwrap();
    engine.start();
    for _ in 0..5 {
        // By now the engine only polls.
        thread::sleep(Duration::from_millis(400));
        armed.store(true, Ordering::SeqCst);
        receive(&started);
        // One poll notices the write, and the next turn starts with a poll of its own.
        assert_eq!(*noticed.lock().unwrap(), Some(2));
    }
}

#[test]
fn unrelated_writes_cause_no_extra_polls() {
    let fixture = Fixture::new();
    let polls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&polls);
    let store = FaultyStore::new(&fixture.store, move |method| {
        counted.fetch_add(u64::from(method == "change_token"), Ordering::SeqCst);
        Injection::Pass
    });
    let engine =
        Engine::builder(store).handler("work", |(): (), _| Ok(())).on_warning(|_| {}).build().unwrap();
    engine.start();
    thread::sleep(Duration::from_millis(300));
    polls.store(0, Ordering::SeqCst);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(1) {
        fixture.submit(TaskDraft::new("unhandled"));
        thread::sleep(Duration::from_millis(1));
    }
    // Twenty polls, and one in each turn.
    let polls = polls.load(Ordering::SeqCst);
    assert!(polls < 100, "{polls} polls");
}

#[test]
fn idle_engine_writes_nothing() {
    let fixture = Fixture::on_disk();
    let engine = fixture.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
    let run = engine.submit(draft()).unwrap();
    settle(&engine, run);
    // Also with tasks that wait for a handler, for their due time, or for an external worker.
    let later = fixture.env.now().plus_millis(3_600_000);
    let waiting = fixture.submit_all([
        TaskDraft::new("unhandled"),
        TaskDraft::new("work").due_at(later),
        TaskDraft::new("held").kind("work").due_at(later),
    ]);
    fixture.start_externally(fixture.tasks(waiting)[2].id);
    let other = fixture.another_handle();
    thread::sleep(Duration::from_millis(300));
    let before = other.change_token().unwrap();
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(other.change_token().unwrap(), before, "a write of the idle engine");
    assert_eq!(fixture.tasks(waiting)[0].state, State::Pending);
}

#[test]
fn two_engines_share_one_store() {
    let fixture = Fixture::new();
    assert_shared(&fixture, &[fixture.engine(), fixture.engine()].map(with_handler));
}

#[test]
fn two_engines_share_one_file() {
    let fixture = Fixture::on_disk();
    let other = Engine::builder(fixture.another_handle());
    assert_shared(&fixture, &[fixture.engine(), other].map(with_handler));
}

fn with_handler(builder: EngineBuilder) -> Engine {
    let work = |(): (), _: Context| {
        thread::sleep(Duration::from_millis(3));
        Ok(())
    };
    builder.workers(2).handler("work", work).build().unwrap()
}

fn assert_shared(fixture: &Fixture, engines: &[Engine]) {
    let run = fixture.submit_all((0..200).map(|n| TaskDraft::new(format!("t {n}")).kind("work")));
    thread::scope(|scope| {
        let waiting = engines.iter().map(|engine| scope.spawn(|| settle(engine, run).state));
        for state in waiting.collect::<Vec<_>>() {
            assert_eq!(state.join().unwrap(), State::Succeeded);
        }
    });
    assert!(fixture.tasks(run).iter().all(|task| task.attempt == 1), "each task was claimed once");
    fixture.assert_consistent(run);
}

#[test]
fn stopped_engine_leaves_work_to_another() {
    let fixture = Fixture::on_disk();
    let (gate, waiter) = new_gate();
    let blocking = move |(): (), context: Context| {
        if context.attempt() == 1 {
            waiter.wait();
        }
        Ok(context.attempt())
    };
    let first = fixture.engine().workers(3).handler("work", blocking.clone()).build().unwrap();
    let second =
        Engine::builder(fixture.another_handle()).workers(3).handler("work", blocking).build().unwrap();
    let run =
        fixture.submit_all((0..3).map(|n| TaskDraft::new(format!("t {n}")).kind("work").max_retries(0)));
    first.start();
    wait_until("all tasks are claimed", || {
        fixture.tasks(run).iter().all(|task| task.state == State::Running)
    });
    first.stop_handle().stop_now();
    assert_eq!(settle(&second, run).state, State::Succeeded);
    assert!(fixture.tasks(run).iter().all(|task| task.attempt == 2));
    gate.open();
}
