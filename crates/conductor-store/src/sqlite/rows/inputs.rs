//! Inputs: those of neighbors are one JSON array.

use crate::StoreError;
use crate::backend::{OffsetSet, ParentInput, RunKey, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block::{self, KEYS};
use crate::sqlite::rows::conditions::sql;
use crate::sqlite::rows::event_body::code_of;
use crate::sqlite::rows::keys::RowKey;
use conductor_model::Json;
use rusqlite::{Connection, params};
use serde_json::value::RawValue;

/// An input; or why it cannot be read.
pub(crate) type ReadInput = Result<Json, String>;

/// The inputs of some tasks of a block, in the order of the offsets. Empty if no task has one of its own.
pub(crate) fn of_block(
    connection: &Connection,
    block: i64,
    offsets: &OffsetSet,
) -> Result<Vec<Option<ReadInput>>> {
    let (Some(first), Some(last)) = (offsets.iter().next(), offsets.last()) else { return Ok(Vec::new()) };
    let range = params![
        block::task_key(block, 0).row(),
        block::task_key(block, first).row(),
        block::task_key(block, last).row()
    ];
    let chunks = connection.all(CHUNKS, range, |row| {
        let count = row.get::<_, i64>(1).map_or(KEYS, |count| count.clamp(0, KEYS));
        let inputs = row.get_ref(2)?.as_str().map(str::to_owned);
        Ok((
            row.get::<_, i64>(0)?,
            usize::try_from(count).unwrap_or_default(),
            inputs.map_err(|error| error.to_string()),
        ))
    })?;
    if chunks.is_empty() {
        return Ok(Vec::new());
    }
    let mut all: Vec<Option<ReadInput>> = vec![None; usize::from(last) + 1];
    for (key, count, json) in chunks {
        let (_, first) = block::place(TaskKey::of_row(key));
        let slots = (first..).zip(all.iter_mut().skip(usize::from(first)).take(count));
        let slots = slots.map(|(offset, slot)| (offsets.contains(offset), slot));
        let inputs = json
            .as_ref()
            .map_err(String::clone)
            .and_then(|json| serde_json::from_str::<Vec<&RawValue>>(json).map_err(|error| error.to_string()));
        match inputs {
            Ok(inputs) => {
                for ((is_wanted, slot), input) in slots.zip(inputs) {
                    if is_wanted {
                        *slot = Some(input.get().parse::<Json>().map_err(|error| error.to_string()));
                    }
                }
            }
            // Nothing tells where the inputs of the others end.
            Err(error) => slots.for_each(|(_, slot)| *slot = Some(Err(error.clone()))),
        }
    }
    Ok(offsets.iter().map(|offset| all[usize::from(offset)].take()).collect())
}

/// The tasks of a block that have an input of their own.
pub(crate) fn present(connection: &Connection, block: i64) -> Result<OffsetSet> {
    let range = [block::task_key(block, 0).row(), block::task_key(block, OffsetSet::MAX - 1).row()];
    let chunks: Vec<(i64, i64)> = connection.all(COUNTS, range, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let sets = chunks.into_iter().map(|(key, count)| {
        let (_, first) = block::place(TaskKey::of_row(key));
        let last = (i64::from(first) + count.clamp(1, KEYS) - 1).min(KEYS - 1);
        OffsetSet::range(first, u16::try_from(last).unwrap_or(first))
    });
    Ok(sets.fold(OffsetSet::default(), |all, set| all.or(&set)))
}

/// The input of a task itself; or why it cannot be read.
pub(crate) fn own(connection: &Connection, task: TaskKey) -> Result<Option<ReadInput>> {
    let (number, offset) = block::place(task);
    Ok(of_block(connection, number, &OffsetSet::one(offset))?.pop().flatten())
}

/// The input of a task itself.
pub(crate) fn read(connection: &Connection, task: TaskKey) -> Result<Option<Json>> {
    readable(task, own(connection, task)?)
}

/// The input of a task itself, or an error that names it.
pub(crate) fn readable(task: TaskKey, input: Option<ReadInput>) -> Result<Option<Json>> {
    let damaged = |reason| StoreError::CorruptRow { row: format!("the input of {task}"), reason };
    input.transpose().map_err(damaged)
}

/// The input that children without one of their own may have from their parent.
pub(crate) fn of_parent(connection: &Connection, run: RunKey, parent: TaskKey) -> Result<ParentInput> {
    let input = own(connection, parent)?;
    let says_nothing = match &input {
        None => true,
        Some(input) => input.as_ref().is_ok_and(|input| input.as_str() == "null"),
    };
    Ok(ParentInput { imported: says_nothing && is_imported(connection, run)?, input })
}

/// Returns whether a run was imported from the TypeScript version.
fn is_imported(connection: &Connection, run: RunKey) -> Result<bool> {
    let params = params![run.row(), code_of("run.adopted")];
    Ok(connection.first(SELECT_IMPORTED, params, |_| Ok(()))?.is_some())
}

/// ?1: the key of the block; ?2 and ?3: the first and the last task. The chunk that has the first begins at or before it.
const CHUNKS: &str = "SELECT task, count, inputs FROM conductor_inputs \
    WHERE task BETWEEN ?1 AND ?3 AND task + count > ?2 ORDER BY task";

const COUNTS: &str = "SELECT task, count FROM conductor_inputs WHERE task BETWEEN ?1 AND ?2";

/// The index covers all event names except starts and successes.
const SELECT_IMPORTED: &str = sql!("SELECT 1 FROM conductor_events INDEXED BY conductor_events_name \
    WHERE run = ?1 AND name = ?2 AND " rare_event " LIMIT 1");
