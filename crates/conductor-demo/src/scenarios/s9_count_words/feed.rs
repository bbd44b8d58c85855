//! Appending the files to the open fan-out, while the engine counts those that are there already.

use super::files;
use crate::{failure::Failure, look, stage::Stage};
use conductor_model::{Json, TaskId};
use conductor_store::{Append, Environment, NodeId, Seal};
use conductor_workers::Engine;
use std::path::PathBuf;

/// How many files are appended in one transaction.
const PAGE: usize = 500;

/// Appends one child per file, whose input is its path, and seals the fan-out. However many files there are, one page of
/// them is held. What an earlier process has appended is not appended again.
pub(super) fn all_files(stage: &Stage, engine: &Engine, parent: TaskId) -> Result<(), Failure> {
    let env = Environment::system();
    let task = look::task(engine.store(), parent)?;
    let numbers = task.child_counts.unwrap_or_default();
    if numbers.is_sealed() {
        return Ok(());
    }
    let folder: PathBuf = look::input(&task)?;
    let mut next_index = numbers.created + 1;
    let mut page = Vec::new();
    for file in files::under(&folder, last_file(engine, parent, numbers.created)?) {
        match file {
            Ok(path) => page.push(Json::of(&path)?),
            Err(failure) => stage.say(failure),
        }
        if page.len() == PAGE {
            stage.interrupt.check()?;
            next_index = append(engine, &env, parent, next_index, std::mem::take(&mut page))?;
        }
    }
    next_index = append(engine, &env, parent, next_index, page)?;
    let seal = Seal::new(NodeId::Task(parent), next_index - 1, &env);
    engine.store().seal(&seal)?;
    engine.wake();
    Ok(())
}

/// Appends a page, and wakes the engine; the index that the next page begins with.
fn append(
    engine: &Engine,
    env: &Environment,
    parent: TaskId,
    first_index: u32,
    page: Vec<Json>,
) -> Result<u32, Failure> {
    let append = Append::items(parent, first_index, page, env);
    let next_index = engine.store().append(&append)?.next_index;
    engine.wake();
    Ok(next_index)
}

/// The file that was appended last, if any was.
fn last_file(engine: &Engine, parent: TaskId, children: u32) -> Result<Option<PathBuf>, Failure> {
    let Some(before) = children.checked_sub(1) else { return Ok(None) };
    let last = engine.store().children(parent, before, 1)?.items.pop();
    last.map(|child| look::input(&child)).transpose()
}
