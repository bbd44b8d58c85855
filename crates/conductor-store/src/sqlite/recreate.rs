//! Create a task again whose row is gone, from its events and what its relatives say.

use super::audit::Audit;
use super::compare::{self, Stored, StoredHead};
use super::inputs;
use super::repair::{Outcome, clear, due_at};
use super::rows::{self, state_code};
use super::sql::{Sql, id_blob};
use crate::StoreError;
use conductor_model::{RunReplayTask, State, TaskId, Timestamp};
use rusqlite::{Connection, params};

/// The id of a task, if something else than its row says it.
pub(super) fn known_id(
    tx: &Connection,
    audit: &Audit,
    number: u32,
    told: &RunReplayTask,
    parent: i64,
) -> Result<Option<TaskId>, StoreError> {
    if told.index > 0 {
        return Ok(audit.keys.id_of(number));
    }
    let id = tx.first(SELECT_JOIN, params![audit.run, parent], |row| Ok(rows::id(row, 0).ok()))?;
    Ok(id.flatten().map(TaskId::from_u128))
}

/// Gives a task's row its key back, if another program gave it one that no event names. A row with the id of the task
/// is its row. The id of a root task is stored nowhere else, so that its row is the one at its position.
pub(super) fn take_back(
    tx: &Connection,
    audit: &Audit,
    number: u32,
    told: &RunReplayTask,
    key: i64,
) -> Result<Option<(Stored, i64)>, StoreError> {
    let (parent, ordinal) = compare::place(audit, told);
    let stray: Option<i64> = match known_id(tx, audit, number, told, parent)? {
        Some(id) => tx.first(STRAY_BY_ID, params![audit.run, id_blob(id.as_u128())], |row| row.get(0))?,
        None => tx.first(STRAY_BY_PLACE, params![audit.run, parent, ordinal], |row| row.get(0))?,
    };
    let is_of_another =
        |stray| audit.keys.number_of(stray).and_then(|number| audit.told.task(number)).is_some();
    let Some(stray) = stray.filter(|stray| !is_of_another(*stray)) else { return Ok(None) };
    tx.run("UPDATE conductor_tasks SET key = ?2 WHERE key = ?1", [stray, key])?;
    tx.run("UPDATE OR IGNORE conductor_inputs SET task = ?2 WHERE task = ?1", [stray, key])?;
    compare::stored(tx, key)
}

/// Creates a task again whose row is gone.
pub(super) fn create(
    tx: &Connection,
    audit: &mut Audit,
    number: u32,
    told: &RunReplayTask,
    parent: i64,
    now: Timestamp,
) -> Result<Outcome, StoreError> {
    let known = audit.keys.key_of(number);
    let run = audit.run;
    if parent == 0 && told.index > 0 {
        return Ok(Outcome::not("the data of a root task is stored only in its row"));
    }
    let Some(id) = known_id(tx, audit, number, told, parent)? else {
        return Ok(Outcome::not("its id is stored only in its row"));
    };
    if compare::id_is_taken(tx, id)? {
        return Ok(Outcome::not("another row has its id"));
    }
    if known.is_none() && compare::stored(tx, i64::MAX)?.is_some() {
        return Ok(Outcome::not("no row key is free: another row has the largest possible key"));
    }
    clear(tx, run, (parent, i64::from(told.index)), known.unwrap_or(0))?;
    // Its worker is unknown: the next rescue treats its lease as expired.
    let is_running_leaf = told.status.is_none() && told.state == State::Running;
    let head = StoredHead::of(told.status)?;
    let sql = if told.index == 0 { INSERT_JOIN } else { INSERT_CHILD };
    let inserted = tx.run(
        sql,
        params![
            known,
            id_blob(id.as_u128()),
            run,
            parent,
            told.index,
            state_code(told.state),
            now.as_millis(),
            due_at(None, told, now),
            told.attempt,
            told.retry_count,
            is_running_leaf.then_some(now.as_millis()),
            head.sealed,
            head.numbers[0],
            head.numbers[1],
            head.numbers[2],
            head.numbers[3],
            head.numbers[4],
            head.policy,
            head.mark,
            head.joining,
        ],
    )?;
    if inserted == 0 {
        return Ok(Outcome::not("the row of its parent or of its kind is missing"));
    }
    let key = tx.last_insert_rowid();
    if known.is_none() {
        audit.keys.add(key, number, 1);
    }
    let has_input = told.index == 0 || give_input(tx, key, parent, told.index)?;
    let input = if has_input { "" } else { "; its input is lost" };
    let output = if told.state == State::Succeeded { "; its output is lost" } else { "" };
    let worker = if is_running_leaf {
        "; its worker is unknown, so that the next rescue fails its attempt"
    } else {
        ""
    };
    Ok(Outcome::Done(format!("created again as {}{input}{output}{worker}", told.state)))
}

/// Gives a child that was created again its input, as far as it is known; whether it has one.
pub(super) fn give_input(tx: &Connection, key: i64, parent: i64, index: u32) -> Result<bool, StoreError> {
    if inputs::is_there(tx, key)? {
        return Ok(true);
    }
    let input = match rows::read_input(tx, parent) {
        Err(StoreError::CorruptRow { .. }) => None,
        other => other?,
    };
    let Some(input) = input else { return Ok(false) };
    let Some(item) = inputs::item(&input, index) else {
        // A child of a counted fan-out has its parent's.
        return Ok(inputs::is_counted(&input));
    };
    tx.run(super::create::INSERT_INPUT, params![key, item])?;
    Ok(true)
}

const STRAY_BY_ID: &str = "SELECT key FROM conductor_tasks WHERE run = ?1 AND id = ?2";
const STRAY_BY_PLACE: &str =
    "SELECT key FROM conductor_tasks WHERE run = ?1 AND parent = ?2 AND ordinal = ?3";

const SELECT_JOIN: &str = "SELECT id FROM conductor_joins WHERE run = ?1 AND task = ?2";

/// What a child inherits, it inherits again.
const INSERT_CHILD: &str = "INSERT INTO conductor_tasks (key, id, run, parent, ordinal, state, kind, priority, \
    created_at, updated_at, due_at, attempt, retry_count, max_retries, lease_until, sealed, fanout, children, \
    open_children, failed_children, cancelled_children, policy, mark, swept, joining, name, backoff, timeout_ms) \
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, kind, priority, ?7, ?7, ?8, ?9, ?10, max_retries, ?11, ?12, ?13, ?14, ?15, ?16, \
        ?17, ?18, ?19, CASE WHEN ?19 IS NOT NULL THEN 0 END, ?20, \
        CASE WHEN ?12 IS NOT NULL THEN name || '#' || ?5 END, backoff, timeout_ms \
    FROM conductor_tasks WHERE key = ?4";

/// The same for a join, of which another row says what it is.
const INSERT_JOIN: &str = "INSERT INTO conductor_tasks (key, id, run, parent, ordinal, state, kind, priority, \
    created_at, updated_at, due_at, attempt, retry_count, max_retries, lease_until, sealed, fanout, children, \
    open_children, failed_children, cancelled_children, policy, mark, swept, joining, name, backoff, timeout_ms) \
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, j.kind, coalesce(p.priority, 0), ?7, ?7, ?8, ?9, ?10, j.max_retries, ?11, ?12, \
        ?13, ?14, ?15, ?16, ?17, ?18, ?19, CASE WHEN ?19 IS NOT NULL THEN 0 END, ?20, \
        CASE WHEN ?4 = 0 THEN k.name END, j.backoff, j.timeout_ms \
    FROM conductor_joins j JOIN conductor_kinds k ON k.key = j.kind \
    LEFT JOIN conductor_tasks p ON p.key = j.task WHERE j.run = ?3 AND j.task = ?4";
