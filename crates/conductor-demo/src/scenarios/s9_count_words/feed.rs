//! Appends the files to the open fan-out, while the engine counts the files that were appended before.

use super::files;
use crate::{failure::Failure, fixture::Fixture, queries};
use origin_conductor::{Engine, TaskId};
use std::path::PathBuf;

/// The number of files in one append.
const PAGE: usize = 500;

/// Appends one child for each file, with the path as input, and seals the fan-out. Only one page of paths is in memory.
/// Files that an earlier process appended are not appended again.
pub(super) fn all_files(fixture: &Fixture, engine: &Engine, parent: TaskId) -> Result<(), Failure> {
    let task = queries::task(engine.store(), parent)?;
    let counts = task.child_counts.unwrap_or_default();
    if counts.is_sealed() {
        return Ok(());
    }
    let folder: PathBuf = queries::input(&task)?;
    let mut next_index = counts.created + 1;
    let mut page = Vec::new();
    for file in files::under(&folder, last_file(engine, parent, counts.created)?) {
        match file {
            Ok(path) => page.push(path),
            Err(failure) => fixture.say(failure),
        }
        if page.len() == PAGE {
            fixture.interrupt.check()?;
            next_index = engine.append(parent, next_index, page.drain(..))?.next_index;
        }
    }
    next_index = engine.append(parent, next_index, page)?.next_index;
    engine.seal(parent, next_index - 1)?;
    Ok(())
}

/// Returns the path of the last file that was appended; `None` before the first.
fn last_file(engine: &Engine, parent: TaskId, children: u32) -> Result<Option<PathBuf>, Failure> {
    let Some(before) = children.checked_sub(1) else { return Ok(None) };
    let last = engine.store().children(parent, before, 1)?.items.pop();
    last.map(|child| queries::input(&child)).transpose()
}
