//! Real work on real input: how many words are in the files of a folder?
//!
//! One parent with an open fan-out, one child per file. The scenario plays the outside worker, which looks for
//! PENDING children, does the work, and reports. A file that cannot be read is retried, and then has failed.

mod count;
mod files;
mod totals;

use self::totals::Totals;
use super::Scenario;
use crate::{
    failure::{Failure, check},
    look,
    stage::Stage,
};
use conductor_model::{Json, RunDraft, RunId, State, TaskDraft, TaskId};
use conductor_store::{Append, EventFilter, ParentId, Query, Reports, Scope, Seal, Source, Store, Submit};
use conductor_workers::{retry, settle_all};
use std::path::Path;

pub(super) const SCENARIO: Scenario = Scenario {
    title: "Counting words",
    about: "One child for every file under a folder, appended page by page to an open fan-out. A file that\n\
        cannot be read as text is tried again, and then has failed; the others' words are added up.",
    play,
};

/// How many files are appended, or counted and reported, in one transaction.
const PAGE: u16 = 500;
/// How often a file that cannot be read is tried again.
const RETRIES: u32 = 2;

fn play(stage: &Stage) -> Result<(), Failure> {
    let (store, source) = stage.open()?;
    stage.say(format_args!("The folder: {}", stage.input.display()));
    stage.gap();
    let (run, parent) = submit(&store, &source, &stage.input)?;
    append_files(stage, &store, &source, parent)?;
    loop {
        count_pending(&store, &source, &stage.input, parent)?;
        if retry::run_once(&store, Scope::Run(run), &source)?.retried == 0 {
            break;
        }
    }
    settle_all(&store, Scope::Run(run), &source)?;

    let totals = add_up(&store, parent)?;
    stage.show(&store, run)?;
    totals.show(stage);
    everything_adds_up(&store, run, parent, &totals)
}

/// A run with one parent, which gets its children later.
fn submit(store: &(impl Store + Query), source: &Source, folder: &Path) -> Result<(RunId, TaskId), Failure> {
    let parent = TaskDraft::new("COUNT").kind("count-words").max_retries(RETRIES.into()).open();
    let meta = serde_json::json!({"folder": folder.to_string_lossy()});
    let run = RunDraft::new().meta(meta).task(parent).check()?;
    let run = store.submit(&Submit::new(run, source))?.run;
    Ok((run, look::root(store, run)?.id))
}

/// One child per file: its path is the child's input. However many files there are, one page of them is held.
fn append_files(stage: &Stage, store: &impl Store, source: &Source, parent: TaskId) -> Result<(), Failure> {
    let mut next_index = 1;
    let mut page = Vec::new();
    for file in files::under(&stage.input) {
        match file {
            Ok(path) => page.push(Json::of(&path)?),
            Err(failure) => stage.say(failure),
        }
        if page.len() == usize::from(PAGE) {
            let append = Append::items(parent, next_index, std::mem::take(&mut page), source);
            next_index = store.append(&append)?.next_index;
        }
    }
    next_index = store.append(&Append::items(parent, next_index, page, source))?.next_index;
    let children = next_index - 1;
    store.seal(&Seal { parent: ParentId::Task(parent), children, now: source.now() })?;
    Ok(())
}

/// Counts every file whose turn it is, and reports a page of them at a time.
fn count_pending(
    store: &(impl Store + Query),
    source: &Source,
    folder: &Path,
    parent: TaskId,
) -> Result<(), Failure> {
    let mut after = Some(0);
    while let Some(index) = after {
        let mut page = store.children(parent, index, PAGE.into())?;
        page.items.retain(|child| child.state == State::Pending);
        if !page.items.is_empty() {
            let reports = count::all(folder, &page.items)?;
            look::applied(store.report(&Reports::new(reports, source))?)?;
        }
        after = page.next;
    }
    Ok(())
}

/// Adds up what the children have put out.
fn add_up(store: &impl Query, parent: TaskId) -> Result<Totals, Failure> {
    let mut totals = Totals::default();
    look::each_child(store, parent, |child| totals.add(&child))?;
    Ok(totals)
}

/// The table is worth what the run says: every file is in it once, and no failure was given up too early.
fn everything_adds_up(
    store: &impl Query,
    run: RunId,
    parent: TaskId,
    totals: &Totals,
) -> Result<(), Failure> {
    let numbers = look::task(store, parent)?.numbers.unwrap_or_default();
    check("the number of counted files", totals.files(), numbers.succeeded().into())?;
    check("the number of failed files", totals.failures(), numbers.failed.into())?;
    check("the number of all files", totals.files() + totals.failures(), numbers.children.into())?;

    let failed = EventFilter { run: Some(run), name: Some("task.failed"), ..EventFilter::default() };
    let mut attempts = 0;
    look::each_event(store, failed, |_| {
        attempts += 1;
        Ok(())
    })?;
    let should_be = totals.failures() * u64::from(1 + RETRIES);
    check("the number of failed attempts", attempts, should_be)?;

    let end = if totals.failures() == 0 { State::Succeeded } else { State::Failed };
    check("the run", look::state(store, run)?, end)
}
