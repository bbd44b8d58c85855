//! Real work on real input: how many words are in the files of a folder?
//!
//! One parent with an open fan-out, one child per file. The walk through the folder appends children while an engine
//! counts, on all cores, those that are there already. Everything is in the database, so that another process goes on
//! where this one was stopped or killed.

mod count;
mod feed;
mod files;
mod totals;

use self::totals::Totals;
use super::Scenario;
use crate::{
    failure::{Failure, check},
    look,
    screen::{counted, grouped},
    stage::Stage,
};
use conductor_model::{Run, RunDraft, RunId, State, Task, TaskDraft, TaskId};
use conductor_store::{EventFilter, MAX_PAGE, Query, TaskFilter};
use conductor_workers::Engine;
use std::path::{Path, PathBuf};

pub(super) const SCENARIO: Scenario = Scenario {
    title: "Counting words",
    about: "One child for every file under a folder, appended page by page to an open fan-out, while an engine\n\
        counts on all cores. A file that cannot be read as text is tried again, and then has failed; the\n\
        others' words are added up. Ctrl-C stops it so that it can be gone on with.",
    play,
};

/// What its tasks are called.
const KIND: &str = "count-words";
/// How often a file that cannot be read is tried again.
const RETRIES: u32 = 2;

fn play(stage: &Stage) -> Result<(), Failure> {
    let engine = Engine::builder(stage.store()?).handler(KIND, count::words).build()?;
    stage.interrupt.stops(&engine);
    let run = if stage.resume { interrupted(stage, engine.store())? } else { submit(&engine, &stage.input)? };
    let parent = look::root(engine.store(), run)?;
    say_what(stage, &parent)?;

    engine.start();
    feed::all_files(stage, &engine, parent.id)?;
    say_how_far(stage, &engine, parent.id)?;
    let outcome = engine.run_until_settled(run)?;

    let mut totals = Totals::default();
    look::each_child(engine.store(), parent.id, |child| totals.add(&child))?;
    stage.show(engine.store(), run)?;
    totals.show(stage);
    everything_adds_up(engine.store(), &outcome, &totals)
}

/// A run with one parent, which gets its children later.
fn submit(engine: &Engine, folder: &Path) -> Result<RunId, Failure> {
    // Whoever goes on may stand elsewhere.
    let folder = std::path::absolute(folder)?;
    let parent = TaskDraft::new("COUNT").kind(KIND).input(folder).max_retries(RETRIES.into()).open();
    Ok(engine.submit(RunDraft::new().task(parent))?)
}

/// The counting that an earlier process left.
fn interrupted(stage: &Stage, store: &(impl Query + ?Sized)) -> Result<RunId, Failure> {
    let nothing = || Failure::new(format!("no counting was begun in {}", stage.database.display()));
    Ok(last_counting(store)?.ok_or_else(nothing)?.id)
}

/// Whether there is a counting in this database that has not come to its end.
pub(crate) fn is_counting(store: &impl Query) -> Result<bool, Failure> {
    Ok(last_counting(store)?.is_some_and(|run| !run.state.is_terminal()))
}

fn last_counting(store: &(impl Query + ?Sized)) -> Result<Option<Run>, Failure> {
    let (mut last, mut after) = (None, None);
    loop {
        let page = store.runs(after, MAX_PAGE)?;
        for run in page.items {
            let root = store.tasks(run.id, TaskFilter::default(), None, 1)?.items.pop();
            if root.is_some_and(|root| root.kind.as_str() == KIND) {
                last = Some(run);
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(last);
        }
    }
}

fn say_what(stage: &Stage, parent: &Task) -> Result<(), Failure> {
    let folder: PathBuf = look::input(parent)?;
    stage.say(format_args!("The folder: {}", folder.display()));
    if stage.resume {
        let numbers = parent.child_counts.unwrap_or_default();
        let (found, done) = (grouped(numbers.created), grouped(numbers.created - numbers.open));
        stage.say(format_args!("Going on: {found} files were found so far, and {done} are done"));
    }
    Ok(())
}

/// The engine did not wait for the end of the walk.
fn say_how_far(stage: &Stage, engine: &Engine, parent: TaskId) -> Result<(), Failure> {
    let numbers = look::task(engine.store(), parent)?.child_counts.unwrap_or_default();
    let files = counted(numbers.created, "file", "files");
    match numbers.created - numbers.open {
        0 => stage.say(format_args!("{files} found\n")),
        done => stage.say(format_args!("{files} found, and {} done before the last was\n", grouped(done))),
    }
    Ok(())
}

/// The table is worth what the run says: every file is in it once, and no failure was given up too early.
fn everything_adds_up(store: &(impl Query + ?Sized), run: &Run, totals: &Totals) -> Result<(), Failure> {
    let numbers = look::root(store, run.id)?.child_counts.unwrap_or_default();
    check("the number of counted files", totals.files(), numbers.succeeded().into())?;
    check("the number of failed files", totals.failures(), numbers.failed.into())?;
    check("the number of all files", totals.files() + totals.failures(), numbers.created.into())?;

    let failed = EventFilter { run: Some(run.id), name: Some("task.failed"), ..EventFilter::default() };
    let mut attempts = 0;
    look::each_event(store, failed, |_| {
        attempts += 1;
        Ok(())
    })?;
    check("the number of failed attempts", attempts, totals.failed_attempts())?;

    let end = if totals.failures() == 0 { State::Succeeded } else { State::Failed };
    check("the run", run.state, end)
}
