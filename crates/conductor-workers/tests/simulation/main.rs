//! Simulated engines under crashes, stalls, wrong clocks, cancels and revives. Each seed gives one history, and always the same.
//!
//! `CONDUCTOR_SEEDS=100000` sets the number of seeds. `CONDUCTOR_SEED=17` runs one seed again.

mod coverage;
mod history;
mod invariants;
mod outcomes;

use conductor_conformance::assert_replays;
use conductor_model::{RunDraft, State, TaskDraft};
use conductor_store::{EventFilter, Query, SqliteStore, StoreError};
use conductor_workers::TaskError;
use conductor_workers::testing::{Behavior, Simulation};
use coverage::Coverage;
use history::History;
use invariants::InvariantChecker;
use serde_json::json;
use std::sync::Mutex;
use std::time::Duration;

/// The default number of seeds.
const SEEDS: u64 = 2000;

#[test]
fn every_random_history_settles_and_keeps_invariants() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    if let Some(seed) = number("CONDUCTOR_SEED") {
        println!("{:#?}", run_seed(seed));
        return;
    }
    let seeds = number("CONDUCTOR_SEEDS").unwrap_or(SEEDS);
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let coverage = Mutex::new(Coverage::default());
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let coverage = &coverage;
            let own_seeds = (0..seeds).filter(move |seed| seed % threads == thread);
            scope.spawn(move || {
                for seed in own_seeds {
                    let more = run_or_report(seed);
                    *coverage.lock().expect("no failed thread") += more;
                }
            });
        }
    });
    let coverage = coverage.into_inner().expect("no failed thread");
    println!("{coverage:#?}");
    if seeds >= SEEDS {
        coverage.assert_complete();
    }
}

#[test]
fn same_seed_gives_same_history() {
    for seed in 0..20 {
        let (first, second) = (events_of_seed(seed), events_of_seed(seed));
        assert_eq!(first.len(), second.len(), "seed {seed}");
        let different = first.iter().zip(&second).find(|(first, second)| first != second);
        assert_eq!(different, None, "seed {seed}");
    }
}

/// An engine continues immediately with work that one of its steps creates, without waiting for a poll.
#[test]
fn ready_work_starts_without_delay() {
    for seed in 0..10 {
        let store = SqliteStore::open_in_memory().expect("a store");
        let mut simulation = Simulation::new(store, seed).script("task", |context| {
            let fails = context.attempt() == 1 && context.index() == 1;
            if fails { Behavior::fail(TaskError::retry("a retryable failure")) } else { Behavior::succeed() }
        });
        let task = || TaskDraft::new("T").kind("task");
        let nested = json!({"fanout": [{"fanout": [{"fanout": 3}]}]});
        // One run after the other, so that no run profits from the turns of another.
        for draft in [task(), task().due_at(simulation.now()), task().input(nested)] {
            let run = simulation.submit(RunDraft::new().task(draft)).expect("a submission");
            assert_eq!(simulation.run_until_settled(run).expect("an end").state, State::Succeeded);
            assert_eq!(simulation.elapsed(), Duration::ZERO, "seed {seed}");
        }
    }
}

/// Results that a busy store rejects wait for the next turn.
#[test]
fn briefly_busy_store_loses_nothing() {
    for seed in 0..20 {
        let checker = InvariantChecker::new();
        checker.fail_every(3 + seed % 3);
        let mut simulation = Simulation::new(checker.clone(), seed)
            .script("task", |context| Behavior::succeed().after(Duration::from_secs(context.index().into())));
        // A task that loses its lease fails.
        let tasks = (0..12).map(|_| TaskDraft::new("T").kind("task").max_retries(0));
        let run = simulation.submit(RunDraft::new().tasks(tasks)).expect("a submission");
        loop {
            match simulation.step() {
                Ok(true) => {}
                Ok(false) => break,
                // A real engine also retries soon.
                Err(fault) => {
                    assert!(matches!(fault, StoreError::Busy(_)), "{fault}");
                    simulation.wake();
                }
            }
            checker.check_new_events();
        }
        let found = checker.run(run).expect("an answer").expect("the run");
        assert_eq!(found.state, State::Succeeded, "seed {seed}");
    }
}

#[test]
fn timed_out_attempt_frees_its_worker() {
    for seed in 0..20 {
        let store = SqliteStore::open_in_memory().expect("a store");
        let mut simulation = Simulation::new(store, seed)
            .workers(1)
            .script("hangs", |_| Behavior::hang())
            .script("works", |_| Behavior::succeed().after(Duration::from_secs(1)));
        let tasks = ["works", "hangs", "works", "hangs", "works"]
            .map(|kind| TaskDraft::new(kind).timeout_ms(5000).max_retries(0));
        let run = simulation.submit(RunDraft::new().tasks(tasks)).expect("a submission");
        let mut steps = 0;
        while simulation.step().expect("a working store") {
            steps += 1;
            assert!(steps < 500, "the simulation does not end");
        }
        // Only the timeouts and the working attempts took time.
        assert_eq!(simulation.elapsed(), Duration::from_secs(3 + 2 * 5), "seed {seed}");
        assert_eq!(simulation.run_until_settled(run).expect("an end").state_counts.succeeded, 3);
    }
}

#[test]
fn crashing_task_does_not_fail_its_neighbours() {
    for crashing in 1..=6 {
        let checker = InvariantChecker::new();
        let mut simulation = Simulation::new(checker.clone(), u64::from(crashing)).workers(6).script(
            "work",
            // All other attempts last longer than the process lives.
            move |context| match context.index() {
                index if index == crashing => Behavior::crash().after(Duration::from_secs(1)),
                _ => Behavior::succeed().after(Duration::from_secs(10)),
            },
        );
        let task = TaskDraft::new("work").input(json!({"fanout": 6})).max_retries(3);
        let run = simulation.submit(RunDraft::new().task(task)).expect("a submission");
        let settled = simulation.run_until_settled(run).expect("an end");
        assert_eq!(
            (settled.state_counts.succeeded, settled.state_counts.failed),
            (5, 2),
            "the crashing task and its parent fail"
        );
        assert_replays(&*checker.store);
    }
}

/// Runs a seed. If it fails, the last line of the output is the command that repeats it.
fn run_or_report(seed: u64) -> Coverage {
    let result = std::panic::catch_unwind(|| run_seed(seed));
    result.unwrap_or_else(|panic| {
        eprintln!(
            "seed {seed} failed; to repeat: CONDUCTOR_SEED={seed} cargo test -p conductor-workers --test simulation"
        );
        std::panic::resume_unwind(panic);
    })
}

fn run_seed(seed: u64) -> Coverage {
    let mut history = History::new(seed);
    history.run();
    history.checker.coverage()
}

/// Returns all events of a seed as texts.
fn events_of_seed(seed: u64) -> Vec<String> {
    let mut history = History::new(seed);
    history.run();
    let page = history.checker.store.events(EventFilter::default(), 0, 1000).expect("events");
    page.items.iter().map(|event| format!("{event:?}")).collect()
}
