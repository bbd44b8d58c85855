//! What a task works on: an input of its own, or its parent's.

use super::audit::Audit;
use super::damage::readable;
use super::event_log;
use super::ledger::Place;
use super::rows;
use super::sql::Sql;
use crate::StoreError;
use conductor_model::{Fanout, Json};
use rusqlite::{Connection, params};

/// What a task below a parent gets that has no input of its own, or why it should have one.
///
/// A child of a counted fan-out has none, and no other child is without, but below a parent from the original that has none
/// itself. A join is no child: it gets what there is.
pub(super) fn inherited(
    connection: &Connection,
    place: Place,
) -> Result<Result<Option<Json>, &'static str>, StoreError> {
    let input = rows::read_input(connection, place.parent)?;
    let may_be_missing = place.is_join || !heirs_have_their_own(connection, place.run, input.as_ref())?;
    let inherited = || input.map(|input| input.without_fanout());
    Ok(if may_be_missing { Ok(inherited()) } else { Err("it is missing") })
}

/// Whether each child of a parent with this input has an input of its own.
pub(super) fn heirs_have_their_own(
    connection: &Connection,
    run: i64,
    input: Option<&Json>,
) -> Result<bool, StoreError> {
    match input {
        Some(input) if is_counted(input) => Ok(false),
        Some(input) if input.as_str() != NOTHING => Ok(true),
        _ => Ok(!is_adopted(connection, run)?),
    }
}

/// What an adopted child has as its input where it had none, and is not to inherit its parent's.
const NOTHING: &str = "null";

/// Whether children of a parent with this input have none of their own.
pub(super) fn is_counted(input: &Json) -> bool {
    matches!(Fanout::of(input), Ok(Some(Fanout::Count(_))))
}

/// Whether a run came from the original.
fn is_adopted(connection: &Connection, run: i64) -> Result<bool, StoreError> {
    let adopted = params![run, event_log::code_of("run.adopted")];
    Ok(connection.first(ADOPTED, adopted, |_| Ok(()))?.is_some())
}

/// Whether a task has an input of its own.
pub(super) fn is_there(connection: &Connection, task: i64) -> Result<bool, StoreError> {
    Ok(connection.first(OWN, [task], |_| Ok(()))?.is_some())
}

/// The input of a task as far as anything tells it: its own, or else its item of its parent's.
pub(super) fn known(connection: &Connection, audit: &Audit, number: u32) -> Result<Option<Json>, StoreError> {
    let own = audit.keys.key_of(number).map(|key| rows::read_input(connection, key)).transpose();
    if let Some(own) = readable(own)?.flatten().flatten() {
        return Ok(Some(own));
    }
    let Some((parent, index)) = audit.told.task(number).and_then(|task| Some((task.parent?, task.index)))
    else {
        return Ok(None);
    };
    let input = known(connection, audit, parent)?;
    let item = input.as_ref().and_then(|input| item(input, index));
    Ok(item.and_then(|item| item.parse().ok()))
}

/// The item of a parent's input that the child with this index gets.
pub(super) fn item(input: &Json, index: u32) -> Option<&str> {
    input.fanout_items().get((index as usize).checked_sub(1)?).copied()
}

/// Names that are not of starts and successes have an index.
const ADOPTED: &str = "SELECT 1 FROM conductor_events INDEXED BY conductor_events_name \
    WHERE run = ?1 AND name = ?2 AND name NOT IN (9, 10) LIMIT 1";
const OWN: &str = "SELECT 1 FROM conductor_inputs WHERE task = ?1";
