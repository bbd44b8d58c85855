//! A crash in the middle, several times, by the means that leaves nobody time to clean up.
//!
//! The process that is killed is this program again, started with a hidden argument. It runs the same engine as this one,
//! and knows nothing of its end.

mod counts;
mod kill;
mod worker;

use super::Scenario;
use crate::{
    failure::{Failure, check},
    look,
    screen::grouped,
    stage::Stage,
};
use conductor_model::{RunDraft, RunId, State, TaskDraft};
use conductor_store::{Query, Scope, SqliteStore, Store, Submit};
use rand::rngs::StdRng;
use serde_json::json;

pub(crate) use worker::crash_worker;

pub(super) const SCENARIO: Scenario = Scenario {
    title: "A crash in the middle",
    about: "A process whose engine works on 20,000 children is killed, again and again, while it creates them,\n\
        works on them and records the results. Each time the next one goes on at once where it stood, with\n\
        what the dead one had in hand; in the end nothing is lost, and nothing recorded twice.",
    play,
};

const CHILDREN: u32 = 20_000;
const KILLS: u32 = 5;

fn play(stage: &Stage) -> Result<(), Failure> {
    let run = submit(stage)?;
    let mut random: StdRng = rand::make_rng();
    for kill in 1..=KILLS {
        kill::a_worker(stage, run, KILLS - kill, &mut random)?;
        say_how_far(stage, &stage.store()?, run, kill)?;
    }

    // Open the database once more, and finish.
    let engine = worker::engine(stage.store()?)?;
    stage.interrupt.stops(&engine);
    let outcome = engine.run_until_settled(run)?;
    stage.gap();
    stage.show(engine.store(), run)?;
    check("the run", outcome.state, State::Succeeded)?;

    let parent = look::root(engine.store(), run)?.id;
    let (children, attempts) = counts::every_child_once(engine.store(), parent)?;
    counts::created_without_gap_or_overlap(engine.store(), run)?;
    counts::every_success_once(engine.store(), run, &children)?;
    let lost = counts::every_lost_attempt(engine.store(), run)?;
    check("the number of attempts", attempts, u64::from(CHILDREN) + lost)?;
    say_the_end(stage, lost);
    Ok(())
}

/// An attempt that dies with its process is a failed one: there must be a retry for each kill.
fn submit(stage: &Stage) -> Result<RunId, Failure> {
    let (store, env) = stage.open()?;
    let parent = TaskDraft::new("MANY").kind(worker::KIND).input(json!({"fanout": CHILDREN}));
    let run = RunDraft::new().task(parent.max_retries(KILLS.into())).validate()?;
    Ok(store.submit(&Submit::new(run, &env))?.run)
}

fn say_how_far(stage: &Stage, store: &SqliteStore, run: RunId, kill: u32) -> Result<(), Failure> {
    let numbers = look::root(store, run)?.child_counts.unwrap_or_default();
    let (created, settled) = (grouped(numbers.created), grouped(numbers.succeeded()));
    // The parent is RUNNING too, from its first child on.
    let in_hand = grouped(store.state_counts(Scope::Run(run))?.running.saturating_sub(1));
    stage.say(format_args!(
        "kill {kill}: {created:>6} children exist, {settled:>6} have succeeded, {in_hand:>5} were in hand"
    ));
    Ok(())
}

fn say_the_end(stage: &Stage, lost: u64) {
    let (children, lost) = (grouped(CHILDREN), grouped(lost));
    stage.gap();
    stage.say(format_args!("{children} children, indices 1 to {children}"));
    stage.say(format_args!("{children} × task.succeeded, one each"));
    stage.say(format_args!("{lost} × task.failed with “lease expired”, made again"));
}
