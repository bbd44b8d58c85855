//! A real job on real input: how many words are in the files of a folder?
//!
//! One parent has an open fan-out with one child for each file. The walk through the folder appends children while an
//! engine counts, on all cores, the files that were appended before. All state is in the database, so that another process
//! can continue after a stop or a crash.

mod count;
mod feed;
mod files;
mod totals;

use self::count::RETRIES;
use self::totals::Totals;
use super::scenario::Scenario;
use crate::{
    failure::{Failure, check},
    fixture::Fixture,
    output::{counted, grouped},
    queries,
};
use origin_conductor::store::{EventFilter, MAX_PAGE, Query, TaskFilter};
use origin_conductor::{Engine, Run, RunDraft, RunId, State, Task, TaskDraft, TaskId};
use std::path::{Path, PathBuf};

pub(super) const SCENARIO: Scenario = Scenario {
    title: "Counting words",
    about: "An open fan-out with one child for each file in a folder. The children are appended in pages while\n\
        an engine counts on all cores. A file that is not text is retried and then fails; the words of\n\
        the other files are added up. Ctrl-C stops it; it can be continued later.",
    play,
};

/// The kind of the tasks.
const KIND: &str = "count-words";

fn play(fixture: &Fixture) -> Result<(), Failure> {
    let engine = Engine::builder(fixture.store()?).handler(KIND, count::words).build()?;
    fixture.interrupt.stops(&engine);
    let run =
        if fixture.resume { interrupted(fixture, engine.store())? } else { submit(&engine, &fixture.input)? };
    let parent = queries::root(engine.store(), run)?;
    print_folder(fixture, &parent)?;

    engine.start();
    feed::all_files(fixture, &engine, parent.id)?;
    print_progress(fixture, &engine, parent.id)?;
    let outcome = engine.run_until_settled(run)?;

    let mut totals = Totals::default();
    queries::each_child(engine.store(), parent.id, |child| totals.add(&child))?;
    fixture.show(engine.store(), run)?;
    totals.show(fixture);
    check_totals(engine.store(), &outcome, &totals)
}

/// Submits a run with one open parent.
fn submit(engine: &Engine, folder: &Path) -> Result<RunId, Failure> {
    // A process that continues may have another current folder.
    let folder = std::path::absolute(folder)?;
    let parent = TaskDraft::new("COUNT").kind(KIND).input(folder).max_retries(RETRIES.into()).open();
    Ok(engine.submit(RunDraft::new().task(parent))?)
}

/// Returns the run that an earlier process started.
fn interrupted(fixture: &Fixture, store: &(impl Query + ?Sized)) -> Result<RunId, Failure> {
    let nothing = || Failure::new(format!("there is no word count in {}", fixture.database.display()));
    Ok(last_count(store)?.ok_or_else(nothing)?.id)
}

/// Returns whether the database has a word count that is not finished.
pub(crate) fn has_unfinished_count(store: &impl Query) -> Result<bool, Failure> {
    Ok(last_count(store)?.is_some_and(|run| !run.state.is_terminal()))
}

fn last_count(store: &(impl Query + ?Sized)) -> Result<Option<Run>, Failure> {
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

fn print_folder(fixture: &Fixture, parent: &Task) -> Result<(), Failure> {
    let folder: PathBuf = queries::input(parent)?;
    fixture.say(format_args!("The folder: {}", folder.display()));
    if fixture.resume {
        let counts = parent.child_counts.unwrap_or_default();
        let (found, done) = (grouped(counts.created), grouped(counts.created - counts.open));
        fixture.say(format_args!("Continuing: {found} files were found before, and {done} are done"));
    }
    Ok(())
}

/// Prints how many files were counted before the walk ended.
fn print_progress(fixture: &Fixture, engine: &Engine, parent: TaskId) -> Result<(), Failure> {
    let counts = queries::task(engine.store(), parent)?.child_counts.unwrap_or_default();
    let files = counted(counts.created, "file", "files");
    match counts.created - counts.open {
        0 => fixture.say(format_args!("{files} found\n")),
        done => {
            fixture.say(format_args!("{files} found; {} were done before the walk ended\n", grouped(done)));
        }
    }
    Ok(())
}

/// Checks that the table agrees with the run: each file is counted once, and each failed file had all its retries.
fn check_totals(store: &(impl Query + ?Sized), run: &Run, totals: &Totals) -> Result<(), Failure> {
    let counts = queries::root(store, run.id)?.child_counts.unwrap_or_default();
    check("the number of counted files", totals.files(), counts.succeeded().into())?;
    check("the number of failed files", totals.failures(), counts.failed.into())?;
    check("the number of all files", totals.files() + totals.failures(), counts.created.into())?;

    let failed = EventFilter { run: Some(run.id), name: Some("task.failed"), ..EventFilter::default() };
    let mut attempts = 0;
    queries::each_event(store, failed, |_| {
        attempts += 1;
        Ok(())
    })?;
    check("the number of failed attempts", attempts, totals.failed_attempts())?;

    let end = if totals.failures() == 0 { State::Succeeded } else { State::Failed };
    check("the run", run.state, end)
}
