//! Subscriptions: a reader sees every event once and in order, also when it is slow or starts late.

use crate::faulty_store::{FaultyStore, Injection};
use crate::support::fixture::{Fixture, settle};
use crate::support::gate::new_gate;
use crate::support::pages;
use crate::support::waiting::{TIME_LIMIT, Watchdog, wait_until};
use conductor_model::{Event, EventBody, RunDraft, RunId, State, TaskDraft};
use conductor_store::{Environment, EventFilter, Query, SqliteStore, Store, StoreError, Submit};
use conductor_workers::{Context, Engine, EngineBuilder, Subscription, TaskError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn all_events(store: &SqliteStore) -> Vec<Event> {
    pages::all_events(store, EventFilter::default()).unwrap()
}

/// Reads events until this many runs have settled.
fn follow(events: &mut Subscription, runs: usize) -> Vec<Event> {
    let (mut seen, mut ended) = (Vec::new(), 0);
    while ended < runs {
        let event = events.next_timeout(TIME_LIMIT).unwrap().expect("a settled run");
        ended += usize::from(matches!(event.body, EventBody::RunAggregated { .. }));
        seen.push(event);
    }
    seen
}

/// Builds an engine whose handler fails once for every third child.
fn flaky_engine(builder: EngineBuilder) -> Engine {
    let work = |(): (), context: Context| {
        if context.attempt() == 1 && context.index().is_multiple_of(3) {
            return Err(TaskError::retry("a retryable failure"));
        }
        Ok(context.index())
    };
    builder.workers(3).handler("work", work).build().unwrap()
}

fn fan_out_of(count: usize) -> TaskDraft {
    TaskDraft::new("P").kind("work").fan_out(vec![(); count])
}

/// The number of an event is this times the key of its row, plus its place in the row.
const ROW: u64 = 1024;

#[test]
fn every_event_arrives_once_in_order() {
    let _watchdog = Watchdog::new("a subscription");
    let fixture = Fixture::on_disk();
    let engines = [fixture.engine(), Engine::builder(fixture.another_handle())].map(flaky_engine);
    // Two subscriptions of engines, and one of a program without an engine.
    let subscriptions =
        [engines[0].subscribe(0), engines[1].subscribe(0), Subscription::new(fixture.another_handle(), 0)];
    thread::scope(|scope| {
        let readers: Vec<_> = subscriptions
            .into_iter()
            .map(|mut events| scope.spawn(move || (follow(&mut events, 3), events)))
            .collect();
        let runs = [400, 300, 200].map(|count| fixture.submit(fan_out_of(count)));
        for engine in &engines {
            for run in runs {
                assert_eq!(settle(engine, run).state, State::Succeeded);
            }
        }
        let all = all_events(&fixture.store);
        assert!(all.len() > 2000, "{} events", all.len());
        for reader in readers {
            let (seen, mut events) = reader.join().unwrap();
            assert_eq!(seen.len(), all.len());
            assert!(seen == all, "all events in the same order");
            assert_eq!(events.position(), all.last().unwrap().seq);
            assert_eq!(events.next_timeout(Duration::from_millis(120)).unwrap(), None);
        }
    });
}

#[test]
fn slow_or_late_reader_receives_every_event() {
    let fixture = Fixture::on_disk();
    let engine = flaky_engine(fixture.engine());
    let mut slow = engine.subscribe(0);
    let run = engine.submit(RunDraft::new().task(fan_out_of(2000))).unwrap();
    let first = slow.next_timeout(TIME_LIMIT).unwrap().expect("the submission");
    // No reads until the run is settled.
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let all = all_events(&fixture.store);
    let rest: Vec<Event> = slow.iter_timeout(Duration::ZERO).map(Result::unwrap).collect();
    assert!(first == all[0] && rest == all[1..]);
    let mut late = engine.subscribe(0);
    assert!(follow(&mut late, 1) == all);
}

#[test]
fn reader_continues_from_its_position() {
    let fixture = Fixture::new();
    let engine = flaky_engine(fixture.engine());
    let run = fixture.submit(fan_out_of(30));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let (mut seen, mut position) = (Vec::new(), 0);
    loop {
        // A new subscription for every seven events. Its position is its only state.
        let mut events = Subscription::new(Arc::clone(&fixture.store), position);
        assert_eq!(events.position(), position);
        seen.extend(events.iter_timeout(Duration::ZERO).take(7).map(Result::unwrap));
        if events.position() == position {
            break;
        }
        position = events.position();
    }
    assert!(seen == all_events(&fixture.store));
}

#[test]
fn run_filter_returns_only_its_events() {
    let fixture = Fixture::on_disk();
    let engine = flaky_engine(fixture.engine());
    let run = fixture.submit(fan_out_of(50));
    let before = fixture.submit(fan_out_of(50));
    let mut events = engine.subscribe(0).for_run(run);
    for run in [before, run] {
        assert_eq!(settle(&engine, run).state, State::Succeeded);
    }
    assert!(follow(&mut events, 1) == fixture.events(run));
    assert_eq!(settle(&engine, fixture.submit(fan_out_of(1))).state, State::Succeeded);
    assert_eq!(events.next_timeout(Duration::from_millis(60)).unwrap(), None);
    let mut nothing = engine.subscribe(0).for_run(RunId::from_u128(1));
    assert_eq!(nothing.next_timeout(Duration::ZERO).unwrap(), None);
}

#[test]
fn own_engine_events_are_noticed_immediately() {
    let fixture = Fixture::on_disk();
    let (gate, waiter) = new_gate();
    let work = move |(): (), _: Context| {
        waiter.wait();
        // Meanwhile the reader has read all events, and waits.
        thread::sleep(Duration::from_millis(5));
        Ok(())
    };
    let engine = fixture.engine().handler("work", work).build().unwrap();
    engine.start();
    let mut events = engine.subscribe(0);
    let mut wait = || {
        engine.submit(RunDraft::new().task(TaskDraft::new("work"))).unwrap();
        while events.next_timeout(TIME_LIMIT).unwrap().expect("a started task").body != EventBody::TaskStarted
        {
        }
        gate.let_one_through();
        let let_through = Instant::now();
        follow(&mut events, 1);
        let_through.elapsed()
    };
    // A poll would take up to 50 ms, so such a median would not be reached by polls.
    let mut median = || {
        let mut waits: Vec<_> = (0..11).map(|_| wait()).collect();
        waits.sort();
        waits[5]
    };
    // The machine may be busy in some rounds, but not in all.
    assert!((0..20).any(|_| median() < Duration::from_millis(25)));
}

#[test]
fn external_writes_are_noticed_soon() {
    let fixture = Fixture::on_disk();
    let mut events = Subscription::new(fixture.another_handle(), 0);
    for _ in 0..5 {
        let submitted = thread::scope(|scope| {
            let writing = scope.spawn(|| {
                thread::sleep(Duration::from_millis(70));
                fixture.submit(TaskDraft::new("work"));
                Instant::now()
            });
            for _ in 0..3 {
                assert!(events.next_timeout(TIME_LIMIT).unwrap().is_some());
            }
            writing.join().unwrap()
        });
        assert!(submitted.elapsed() < Duration::from_secs(1));
    }
}

#[test]
fn write_between_two_reads_is_not_missed() {
    let fixture = Fixture::new();
    let armed = AtomicBool::new(true);
    let store = {
        let (inner, env) = (Arc::clone(&fixture.store), Environment::system());
        FaultyStore::new(&fixture.store, move |method| {
            // The subscription has read no event, and is about to wait.
            if method == "change_token" && armed.swap(false, Ordering::SeqCst) {
                let run = RunDraft::new().task(TaskDraft::new("T")).validate().unwrap();
                let _ = inner.submit(&Submit::new(run, &env)).unwrap();
            }
            Injection::Pass
        })
    };
    let mut events = Subscription::new(store, 0);
    assert!(events.next_timeout(Duration::from_secs(5)).unwrap().is_some());
}

#[test]
fn wait_ends_after_timeout_and_only_reads() {
    let fixture = Fixture::on_disk();
    let other = fixture.another_handle();
    let before = other.change_token().unwrap();
    let mut events = Subscription::new(Arc::clone(&fixture.store), 0);
    for timeout in [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(130)] {
        let start = Instant::now();
        assert_eq!(events.next_timeout(timeout).unwrap(), None);
        assert!(start.elapsed() >= timeout);
    }
    assert_eq!(other.change_token().unwrap(), before, "a write of the subscription");
}

#[test]
fn event_is_visible_only_after_commit() {
    let fixture = Fixture::on_disk();
    let mut events = Subscription::new(fixture.another_handle(), 0);
    let writer = rusqlite::Connection::open(fixture.path()).unwrap();
    fixture.submit(TaskDraft::new("held"));
    while events.next_timeout(Duration::ZERO).unwrap().is_some() {}
    let insert = "BEGIN IMMEDIATE; INSERT INTO conductor_events (run, name, at, count) SELECT 1, 2, 0, 1";
    // A rolled back event is never visible. The next event gets its number.
    writer.execute_batch(insert).unwrap();
    assert_eq!(events.next_timeout(Duration::from_millis(60)).unwrap(), None);
    writer.execute_batch("ROLLBACK").unwrap();
    assert_eq!(events.next_timeout(Duration::from_millis(60)).unwrap(), None);
    let position = events.position();
    writer.execute_batch(insert).unwrap();
    writer.execute_batch("COMMIT").unwrap();
    let event = events.next_timeout(TIME_LIMIT).unwrap().expect("the event");
    assert_eq!((event.seq, event.body), ((position / ROW + 1) * ROW, EventBody::RunStarted));
}

#[test]
fn corrupt_event_is_returned_as_error() {
    let fixture = Fixture::on_disk();
    for _ in 0..2 {
        fixture.submit_all((0..3).map(|_| TaskDraft::new("T")));
    }
    let other = rusqlite::Connection::open(fixture.path()).unwrap();
    // The rows of a run are run.created, run.sealed, and task.created.
    assert_eq!(other.execute("UPDATE conductor_events SET name = 99 WHERE key = 4", []).unwrap(), 1);
    let mut events = Subscription::new(fixture.another_handle(), 0);
    let before: Vec<u64> =
        events.iter_timeout(Duration::ZERO).map_while(Result::ok).map(|event| event.seq).collect();
    assert_eq!(before, [ROW, 2 * ROW, 3 * ROW, 3 * ROW + 1, 3 * ROW + 2]);
    for _ in 0..2 {
        let error = events.next_timeout(Duration::ZERO).unwrap_err();
        assert!(matches!(error, StoreError::CorruptRow { .. }), "{error}");
        assert_eq!(events.position(), 3 * ROW + 2);
    }
    let mut rest = Subscription::new(fixture.another_handle(), 4 * ROW);
    assert_eq!(rest.next_timeout(Duration::ZERO).unwrap().map(|event| event.seq), Some(5 * ROW));
}

#[test]
fn paused_reader_does_not_block_engine_drop() {
    let fixture = Fixture::on_disk();
    let (gate, waiter) = new_gate();
    let engine = fixture.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
    let mut events = engine.subscribe(0);
    let (seen, read) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let reader = thread::spawn({
        let (seen, read) = (Arc::clone(&seen), Arc::clone(&read));
        move || {
            assert!(events.next_timeout(TIME_LIMIT).unwrap().is_some());
            seen.store(true, Ordering::SeqCst);
            waiter.wait();
            let rest = events.iter_timeout(Duration::ZERO).map(Result::unwrap).count();
            read.store(true, Ordering::SeqCst);
            rest
        }
    });
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("work"))).unwrap();
    wait_until("the reader has read an event", || seen.load(Ordering::SeqCst));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    // The engine is dropped, and the reader continues.
    drop(engine);
    assert!(!read.load(Ordering::SeqCst));
    gate.open();
    assert_eq!(reader.join().unwrap() + 1, all_events(&fixture.store).len());
}

#[test]
fn events_of_concurrent_writers_arrive_once_in_order() {
    let fixture = Fixture::on_disk();
    let other = fixture.another_handle();
    let mut events = Subscription::new(fixture.another_handle(), 0);
    let writers: [&SqliteStore; 2] = [&fixture.store, &other];
    thread::scope(|scope| {
        for writer in writers {
            scope.spawn(move || {
                let env = Environment::system();
                for _ in 0..100 {
                    let run = RunDraft::new().tasks((0..3).map(|_| TaskDraft::new("T"))).validate().unwrap();
                    let _ = writer.submit(&Submit::new(run, &env)).unwrap();
                }
            });
        }
        // Each run has run.created, three times task.created, and run.sealed.
        let seen: Vec<u64> =
            events.iter_timeout(TIME_LIMIT).take(1000).map(|event| event.unwrap().seq).collect();
        assert!(seen.is_sorted_by(|event, next| event < next));
        let all: Vec<u64> = all_events(&fixture.store).iter().map(|event| event.seq).collect();
        assert_eq!(seen, all);
    });
}
