//! The input of a task: its own, or the one of its parent.

use super::audit::Audit;
use super::damage::readable;
use super::event_log;
use super::ledger::Place;
use super::rows;
use super::sql::Sql;
use crate::StoreError;
use conductor_model::{Fanout, Json};
use rusqlite::{Connection, params};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The input of a task, or why it has none.
#[derive(Clone, Debug)]
pub(super) enum Input {
    /// Its own.
    Own(Json),
    /// The input of its parent without the key `fanout`.
    Inherited(Json),
    /// It was created without one.
    None,
    /// It had one of its own, and another program deleted it.
    Missing,
}

impl Input {
    pub(super) fn into_json(self) -> Option<Json> {
        match self {
            Self::Own(input) | Self::Inherited(input) => Some(input),
            Self::None | Self::Missing => None,
        }
    }
}

/// Finds the inputs of tasks. It reads the input of each parent once.
#[derive(Default)]
pub(super) struct Inputs {
    /// What a task without an input of its own gets, or why that cannot be read; by parent and whether the task is a join.
    inherited: HashMap<(i64, bool), Result<Input, String>>,
}

impl Inputs {
    /// The input of a task at this place, which has `own` as the input of its own.
    pub(super) fn of(
        &mut self,
        connection: &Connection,
        place: Place,
        own: Option<Json>,
    ) -> Result<Input, StoreError> {
        match own {
            Some(own) => Ok(Input::Own(own)),
            None if place.parent == 0 => Ok(Input::None),
            None => self.inherited(connection, place),
        }
    }

    fn inherited(&mut self, connection: &Connection, place: Place) -> Result<Input, StoreError> {
        let input = match self.inherited.entry((place.parent, place.is_join)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(match inherited(connection, place) {
                Err(StoreError::CorruptRow { reason, .. }) => Err(reason),
                read => Ok(read?),
            }),
        };
        let corrupt = |reason| StoreError::CorruptRow { row: "the input of its parent".into(), reason };
        input.clone().map_err(corrupt)
    }
}

/// The input of a task below a parent that has none of its own.
///
/// Only the children of a counted fan-out are created without an input, and those of an imported parent that has none
/// itself. A join is not a child: it inherits any input.
fn inherited(connection: &Connection, place: Place) -> Result<Input, StoreError> {
    let input = rows::read_input(connection, place.parent)?;
    if !place.is_join && heirs_have_their_own(connection, place.run, input.as_ref())? {
        return Ok(Input::Missing);
    }
    Ok(input.map_or(Input::None, |input| Input::Inherited(input.without_fanout())))
}

/// Returns whether each child of a parent with this input must have an input of its own.
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

/// The input of an imported child that had none and must not inherit.
const NOTHING: &str = "null";

/// Returns whether the children of a parent with this input inherit it.
pub(super) fn is_counted(input: &Json) -> bool {
    matches!(Fanout::of(input), Ok(Some(Fanout::Count(_))))
}

/// Returns whether a run was imported from the TypeScript version.
fn is_adopted(connection: &Connection, run: i64) -> Result<bool, StoreError> {
    let adopted = params![run, event_log::code_of("run.adopted")];
    Ok(connection.first(ADOPTED, adopted, |_| Ok(()))?.is_some())
}

/// Returns whether a task has an input of its own.
pub(super) fn is_there(connection: &Connection, task: i64) -> Result<bool, StoreError> {
    Ok(connection.first(OWN, [task], |_| Ok(()))?.is_some())
}

/// The known input of a task: its own row, or its item in the input of its parent.
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

/// The item for the child with this index in the input of its parent.
pub(super) fn item(input: &Json, index: u32) -> Option<&str> {
    input.fanout_items().get((index as usize).checked_sub(1)?).copied()
}

/// The index covers all event names except starts and successes.
const ADOPTED: &str = "SELECT 1 FROM conductor_events INDEXED BY conductor_events_name \
    WHERE run = ?1 AND name = ?2 AND name NOT IN (9, 10) LIMIT 1";
const OWN: &str = "SELECT 1 FROM conductor_inputs WHERE task = ?1";
