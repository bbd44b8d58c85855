//! Whoever follows what happens sees every event once, in its order, however slow it is and however late it comes.

use crate::desk::{Desk, LONG, Patience, gate, settle, until};
use crate::meddler::{Meddler, Meddling};
use conductor_model::{Event, EventBody, RunDraft, RunId, State, TaskDraft};
use conductor_store::{Environment, EventFilter, Query, SqliteStore, Store, StoreError, Submit};
use conductor_workers::{Context, Engine, EngineBuilder, Subscription, TaskError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// All that there is, read at once.
fn all_events(store: &SqliteStore) -> Vec<Event> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let page = store.events(EventFilter::default(), after, 1000).unwrap();
        all.extend(page.items);
        match page.next {
            Some(next) => after = next,
            None => return all,
        }
    }
}

/// Everything up to the end of so many runs.
fn follow(events: &mut Subscription, runs: usize) -> Vec<Event> {
    let (mut seen, mut ended) = (Vec::new(), 0);
    while ended < runs {
        let event = events.next_timeout(LONG).unwrap().expect("the runs end");
        ended += usize::from(matches!(event.body, EventBody::RunAggregated { .. }));
        seen.push(event);
    }
    seen
}

fn unlucky(builder: EngineBuilder) -> Engine {
    let work = |(): (), context: Context| {
        if context.attempt() == 1 && context.index().is_multiple_of(3) {
            return Err(TaskError::retry("no luck"));
        }
        Ok(context.index())
    };
    builder.workers(3).handler("work", work).build().unwrap()
}

fn many(count: usize) -> TaskDraft {
    TaskDraft::new("P").kind("work").fan_out(vec![(); count])
}

#[test]
fn every_event_arrives_once_in_order() {
    let _patience = Patience::of("a subscription");
    let desk = Desk::on_disk();
    let engines = [desk.engine(), Engine::builder(desk.open_again())].map(unlucky);
    // One of an engine, one of the other, and one of a program without an engine.
    let subscriptions =
        [engines[0].subscribe(0), engines[1].subscribe(0), Subscription::new(desk.open_again(), 0)];
    thread::scope(|scope| {
        let readers: Vec<_> = subscriptions
            .into_iter()
            .map(|mut events| scope.spawn(move || (follow(&mut events, 3), events)))
            .collect();
        let runs = [400, 300, 200].map(|count| desk.submit(many(count)));
        for engine in &engines {
            for run in runs {
                assert_eq!(settle(engine, run).state, State::Succeeded);
            }
        }
        let all = all_events(&desk.store);
        assert!(all.len() > 2000, "{} events", all.len());
        for reader in readers {
            let (seen, mut events) = reader.join().unwrap();
            assert_eq!(seen.len(), all.len());
            assert!(seen == all, "the same in the same order");
            assert_eq!(events.position(), all.last().unwrap().seq);
            assert_eq!(events.next_timeout(Duration::from_millis(120)).unwrap(), None);
        }
    });
}

#[test]
fn slow_or_late_reader_receives_every_event() {
    let desk = Desk::on_disk();
    let engine = unlucky(desk.engine());
    let mut slow = engine.subscribe(0);
    let run = engine.submit(RunDraft::new().task(many(2000))).unwrap();
    let first = slow.next_timeout(LONG).unwrap().expect("the submission");
    // Nobody reads until everything is over.
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let all = all_events(&desk.store);
    let rest: Vec<Event> = slow.iter_timeout(Duration::ZERO).map(Result::unwrap).collect();
    assert!(first == all[0] && rest == all[1..]);
    let mut late = engine.subscribe(0);
    assert!(follow(&mut late, 1) == all);
}

#[test]
fn reader_continues_from_its_position() {
    let desk = Desk::new();
    let engine = unlucky(desk.engine());
    let run = desk.submit(many(30));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    let (mut seen, mut position) = (Vec::new(), 0);
    loop {
        // A new one for each few events: it remembers nothing but its position.
        let mut events = Subscription::new(Arc::clone(&desk.store), position);
        assert_eq!(events.position(), position);
        seen.extend(events.iter_timeout(Duration::ZERO).take(7).map(Result::unwrap));
        if events.position() == position {
            break;
        }
        position = events.position();
    }
    assert!(seen == all_events(&desk.store));
}

#[test]
fn run_filter_returns_only_its_events() {
    let desk = Desk::on_disk();
    let engine = unlucky(desk.engine());
    let run = desk.submit(many(50));
    let before = desk.submit(many(50));
    let mut events = engine.subscribe(0).for_run(run);
    for run in [before, run] {
        assert_eq!(settle(&engine, run).state, State::Succeeded);
    }
    assert!(follow(&mut events, 1) == desk.events(run));
    assert_eq!(settle(&engine, desk.submit(many(1))).state, State::Succeeded);
    assert_eq!(events.next_timeout(Duration::from_millis(60)).unwrap(), None);
    let mut nothing = engine.subscribe(0).for_run(RunId::from_u128(1));
    assert_eq!(nothing.next_timeout(Duration::ZERO).unwrap(), None);
}

#[test]
fn own_engine_events_are_noticed_immediately() {
    let desk = Desk::on_disk();
    let (gate, waiting) = gate();
    let work = move |(): (), _: Context| {
        waiting.pass();
        // Meanwhile the reader has read all that there was, and waits.
        thread::sleep(Duration::from_millis(5));
        Ok(())
    };
    let engine = desk.engine().handler("work", work).build().unwrap();
    engine.start();
    let mut events = engine.subscribe(0);
    let mut wait = || {
        engine.submit(RunDraft::new().task(TaskDraft::new("work"))).unwrap();
        while events.next_timeout(LONG).unwrap().expect("the start").body != EventBody::TaskStarted {}
        gate.let_through();
        let let_through = Instant::now();
        follow(&mut events, 1);
        let_through.elapsed()
    };
    // By polls it takes 50 ms, and less at this many moments never.
    let mut median = || {
        let mut waits: Vec<_> = (0..11).map(|_| wait()).collect();
        waits.sort();
        waits[5]
    };
    // A machine may be busy, but not each time.
    assert!((0..20).any(|_| median() < Duration::from_millis(25)));
}

#[test]
fn external_writes_are_noticed_soon() {
    let desk = Desk::on_disk();
    let mut events = Subscription::new(desk.open_again(), 0);
    for _ in 0..5 {
        let submitted = thread::scope(|scope| {
            let writing = scope.spawn(|| {
                thread::sleep(Duration::from_millis(70));
                desk.submit(TaskDraft::new("work"));
                Instant::now()
            });
            for _ in 0..3 {
                assert!(events.next_timeout(LONG).unwrap().is_some());
            }
            writing.join().unwrap()
        });
        assert!(submitted.elapsed() < Duration::from_secs(1));
    }
}

#[test]
fn write_between_two_reads_is_not_missed() {
    let desk = Desk::new();
    let armed = AtomicBool::new(true);
    let store = {
        let (inner, env) = (Arc::clone(&desk.store), Environment::system());
        Meddler::new(&desk.store, move |method| {
            // It has looked for events, found none, and is about to wait.
            if method == "change_token" && armed.swap(false, Ordering::SeqCst) {
                let run = RunDraft::new().task(TaskDraft::new("T")).validate().unwrap();
                let _ = inner.submit(&Submit::new(run, &env)).unwrap();
            }
            Meddling::Pass
        })
    };
    let mut events = Subscription::new(store, 0);
    assert!(events.next_timeout(Duration::from_secs(5)).unwrap().is_some());
}

#[test]
fn wait_ends_after_timeout_and_only_reads() {
    let desk = Desk::on_disk();
    let other = desk.open_again();
    let before = other.change_token().unwrap();
    let mut events = Subscription::new(Arc::clone(&desk.store), 0);
    for patience in [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(130)] {
        let began = Instant::now();
        assert_eq!(events.next_timeout(patience).unwrap(), None);
        assert!(began.elapsed() >= patience);
    }
    assert_eq!(other.change_token().unwrap(), before, "somebody wrote");
}

#[test]
fn event_is_visible_only_after_commit() {
    let desk = Desk::on_disk();
    let mut events = Subscription::new(desk.open_again(), 0);
    let writer = rusqlite::Connection::open(desk.path()).unwrap();
    desk.submit(TaskDraft::new("held"));
    while events.next_timeout(Duration::ZERO).unwrap().is_some() {}
    let insert = "BEGIN IMMEDIATE; INSERT INTO conductor_events (run, name, at) SELECT 1, 2, 0";
    // What is rolled back was never there, and its number is used by whoever comes next.
    writer.execute_batch(insert).unwrap();
    assert_eq!(events.next_timeout(Duration::from_millis(60)).unwrap(), None);
    writer.execute_batch("ROLLBACK").unwrap();
    assert_eq!(events.next_timeout(Duration::from_millis(60)).unwrap(), None);
    let position = events.position();
    writer.execute_batch(insert).unwrap();
    writer.execute_batch("COMMIT").unwrap();
    let event = events.next_timeout(LONG).unwrap().expect("the event");
    assert_eq!((event.seq, event.body), (position + 1, EventBody::RunStarted));
}

#[test]
fn corrupt_event_is_an_error() {
    let desk = Desk::on_disk();
    desk.submit_all((0..8).map(|_| TaskDraft::new("T")));
    let other = rusqlite::Connection::open(desk.path()).unwrap();
    assert_eq!(other.execute("UPDATE conductor_events SET name = 99 WHERE seq = 6", []).unwrap(), 1);
    let mut events = Subscription::new(desk.open_again(), 0);
    let before: Vec<u64> =
        events.iter_timeout(Duration::ZERO).map_while(Result::ok).map(|event| event.seq).collect();
    assert_eq!(before, [1, 2, 3, 4, 5]);
    for _ in 0..2 {
        let fault = events.next_timeout(Duration::ZERO).unwrap_err();
        assert!(matches!(fault, StoreError::CorruptRow { .. }), "{fault}");
        assert_eq!(events.position(), 5);
    }
    let mut rest = Subscription::new(desk.open_again(), 6);
    assert_eq!(rest.next_timeout(Duration::ZERO).unwrap().map(|event| event.seq), Some(7));
}

#[test]
fn paused_reader_does_not_block_engine_drop() {
    let desk = Desk::on_disk();
    let (hold, wait) = gate();
    let engine = desk.engine().handler("work", |(): (), _| Ok(())).build().unwrap();
    let mut events = engine.subscribe(0);
    let (seen, read) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let reader = thread::spawn({
        let (seen, read) = (Arc::clone(&seen), Arc::clone(&read));
        move || {
            assert!(events.next_timeout(LONG).unwrap().is_some());
            seen.store(true, Ordering::SeqCst);
            wait.pass();
            let rest = events.iter_timeout(Duration::ZERO).map(Result::unwrap).count();
            read.store(true, Ordering::SeqCst);
            rest
        }
    });
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("work"))).unwrap();
    until("the reader is in the midst", || seen.load(Ordering::SeqCst));
    assert_eq!(settle(&engine, run).state, State::Succeeded);
    // The engine is gone, and the reader reads on.
    drop(engine);
    assert!(!read.load(Ordering::SeqCst));
    hold.open();
    assert_eq!(reader.join().unwrap() + 1, all_events(&desk.store).len());
}

#[test]
fn concurrent_writers_leave_no_sequence_gap() {
    let desk = Desk::on_disk();
    let other = desk.open_again();
    let mut events = Subscription::new(desk.open_again(), 0);
    let writers: [&SqliteStore; 2] = [&desk.store, &other];
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
        // run.created, three times task.created, run.sealed.
        let seen: Vec<u64> = events.iter_timeout(LONG).take(1000).map(|event| event.unwrap().seq).collect();
        assert_eq!(seen, (1..=1000).collect::<Vec<u64>>());
    });
}
