//! A crash in the middle, several times, by the means that leaves nobody time to clean up.
//!
//! The process that is killed is this program again, started with a hidden argument. It fans out and settles in
//! small transactions and says after each that it is done, so that a kill hits it at another place each time.

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
use conductor_store::{Scope, Store, Submit};
use conductor_workers::aggregate;
use rand::rngs::StdRng;
use serde_json::json;

pub(crate) use worker::crash_worker;

pub(super) const SCENARIO: Scenario = Scenario {
    title: "A crash in the middle",
    about: "A process that fans out into 20,000 children and settles them is killed, again and again. Each time\n\
        the next one goes on where it stood; in the end nothing is lost, and nothing doubled.",
    play,
};

const CHILDREN: u32 = 20_000;
const KILLS: u32 = 5;
/// How many children are created or settled in one transaction: 80 transactions to create all, 80 to settle them.
const CHUNK: u32 = 250;
/// A process is killed after at most so many transactions …
const MOST_STEPS: usize = 24;
/// … and may begin so many more until the kill arrives. However slow a machine is, the work is not done before.
const SPARE: usize = 4;

fn play(stage: &Stage) -> Result<(), Failure> {
    let run = submit(stage)?;
    let mut random: StdRng = rand::make_rng();
    for kill in 1..=KILLS {
        kill::a_worker(&stage.database, run, &mut random)?;
        say_how_far(stage, run, kill)?;
    }

    // Open the database once more, and finish.
    let (store, source) = stage.open()?;
    worker::work(&store, &source, run, || Ok(()))?;
    aggregate::run_once(&store, Scope::Run(run), &source)?;
    stage.gap();
    stage.show(&store, run)?;
    check("the run", look::state(&store, run)?, State::Succeeded)?;

    let parent = look::root(&store, run)?.id;
    let children = counts::every_child_once(&store, parent)?;
    counts::created_without_gap_or_overlap(&store, run)?;
    let successes = counts::every_success_once(&store, run, &children)?;
    stage.gap();
    let (children, successes) = (grouped(children.len() as u64), grouped(successes));
    stage.say(format_args!(
        "{children} children, indices 1 to {children}; {successes} × task.succeeded, one each"
    ));
    Ok(())
}

fn submit(stage: &Stage) -> Result<RunId, Failure> {
    let (store, source) = stage.open()?;
    let run = RunDraft::new().task(TaskDraft::new("MANY").input(json!({"fanout": CHILDREN}))).check()?;
    Ok(store.submit(&Submit::new(run, &source))?.run)
}

fn say_how_far(stage: &Stage, run: RunId, kill: u32) -> Result<(), Failure> {
    let (store, _) = stage.open()?;
    let numbers = look::root(&store, run)?.numbers.unwrap_or_default();
    let (created, settled) = (grouped(numbers.children), grouped(numbers.succeeded()));
    stage.say(format_args!("kill {kill}: {created:>6} children exist, {settled:>6} have succeeded"));
    Ok(())
}
