//! A process is killed in the middle of its work, several times, without time to clean up.
//!
//! The killed process is this program, started with a hidden argument. It runs the same engine as this process and does
//! not know that it will be killed.

mod counts;
mod kill;
mod worker;

use self::worker::CHILDREN;
use super::scenario::Scenario;
use crate::{
    failure::{Failure, check},
    fixture::Fixture,
    output::grouped,
    queries,
};
use origin_conductor::store::{Query, Store, Submit};
use origin_conductor::{RunDraft, RunId, Scope, SqliteStore, State, TaskDraft};
use rand::rngs::StdRng;
use serde_json::json;

pub(crate) use worker::crash_worker;

pub(super) const SCENARIO: Scenario = Scenario {
    title: "A crash in the middle",
    about: "A process whose engine works on 20,000 children is killed five times, while it creates them, runs\n\
        them and records the results. Each time the next process continues at once, also with the claims\n\
        of the dead process. At the end no result is lost, and none is recorded twice.",
    play,
};

const KILLS: u32 = 5;

fn play(fixture: &Fixture) -> Result<(), Failure> {
    let run = submit(fixture)?;
    let mut random: StdRng = rand::make_rng();
    for kill in 1..=KILLS {
        kill::kill_one_worker(fixture, run, KILLS - kill, &mut random)?;
        print_progress(fixture, &fixture.store()?, run, kill)?;
    }

    // Open the database once more and finish the work.
    let engine = worker::engine(fixture.store()?)?;
    fixture.interrupt.stops(&engine);
    let outcome = engine.run_until_settled(run)?;
    fixture.gap();
    fixture.show(engine.store(), run)?;
    check("the run", outcome.state, State::Succeeded)?;

    let parent = queries::root(engine.store(), run)?.id;
    let (children, attempts) = counts::every_child_once(engine.store(), parent)?;
    counts::created_without_gap_or_overlap(engine.store(), run)?;
    counts::every_success_once(engine.store(), run, &children)?;
    let lost = counts::every_lost_attempt(engine.store(), run)?;
    check("the number of attempts", attempts, u64::from(CHILDREN) + lost)?;
    print_summary(fixture, lost);
    Ok(())
}

/// Submits the run. An attempt whose process dies counts as a failure, so there is one retry for each kill.
fn submit(fixture: &Fixture) -> Result<RunId, Failure> {
    let (store, env) = fixture.open()?;
    let parent = TaskDraft::new("MANY").kind(worker::KIND).input(json!({"fanout": CHILDREN}));
    let run = RunDraft::new().task(parent.max_retries(KILLS.into())).validate()?;
    Ok(store.submit(&Submit::new(run, &env))?.run)
}

fn print_progress(fixture: &Fixture, store: &SqliteStore, run: RunId, kill: u32) -> Result<(), Failure> {
    let counts = queries::root(store, run)?.child_counts.unwrap_or_default();
    let (created, settled) = (grouped(counts.created), grouped(counts.succeeded()));
    // The parent is RUNNING too, from its first child on.
    let in_hand = grouped(store.state_counts(Scope::Run(run))?.running.saturating_sub(1));
    fixture.say(format_args!(
        "kill {kill}: {created:>6} children exist, {settled:>6} succeeded, {in_hand:>5} were claimed"
    ));
    Ok(())
}

fn print_summary(fixture: &Fixture, lost: u64) {
    let (children, lost) = (grouped(CHILDREN), grouped(lost));
    fixture.gap();
    fixture.say(format_args!("{children} children, indices 1 to {children}"));
    fixture.say(format_args!("{children} × task.succeeded, one each"));
    fixture.say(format_args!("{lost} × task.failed with “lease expired”, each retried"));
}
