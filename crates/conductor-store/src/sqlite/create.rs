//! Tasks come into being: root tasks one by one, children by the thousand.

use super::event_log;
use super::ledger::Place;
use super::rows::bad_row;
use super::write::{Sql, Write, fault, id_blob};
use crate::Fault;
use conductor_model::{
    Backoff, CreatedFanout, EventBody, Fanout, IdBlock, Json, NewTask, Numbers, Shape, State, Subject,
    TaskId, TaskName,
};
use rusqlite::types::ToSql;
use rusqlite::{CachedStatement, Connection, params};
use std::ops::RangeInclusive;

/// What the children of one parent have in common.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) parent: i64,
    pub(super) name: TaskName,
    pub(super) run: i64,
    kind: i64,
    priority: i16,
    max_retries: i64,
    backoff: Option<String>,
}

const PENDING_LEAF: Subject = Subject { shape: Shape::Leaf, state: State::Pending, retry_due: false };

impl Write<'_> {
    /// Inserts one root task with its input and its event; `None` if its id is taken.
    pub(super) fn create_root(
        &mut self,
        run: i64,
        index: u32,
        id: TaskId,
        task: &NewTask,
    ) -> Result<Option<i64>, Fault> {
        let (tx, ledger, now) = self.parts();
        let taken =
            tx.first("SELECT 1 FROM conductor_tasks WHERE id = ?1", [id_blob(id.as_u128())], |_| Ok(()))?;
        if taken.is_some() {
            return Ok(None);
        }
        let kind = kind_key(tx, task.kind().as_str())?;
        let numbers = task.numbers();
        let backoff = backoff_text(task.backoff())?;
        Insert::on(tx)?.task(&Columns {
            id,
            run,
            parent: 0,
            ordinal: index,
            kind,
            priority: task.priority(),
            now: now.as_millis(),
            due_at: task.due_at().map(conductor_model::Timestamp::as_millis),
            max_retries: i64::from(task.max_retries().get()),
            numbers,
            name: Some(task.name().as_str()),
            backoff: backoff.as_deref(),
        })?;
        let key = tx.last_insert_rowid();
        if let Some(input) = task.input() {
            tx.run(INSERT_INPUT, params![key, input.as_str()])?;
        }
        let fanout = numbers.map(|numbers| numbers.total.map_or(CreatedFanout::Open, CreatedFanout::Sealed));
        event_log::record(tx, run, Some(key), now, &EventBody::TaskCreated { index, fanout })?;
        let shape = if numbers.is_some() { Shape::Parent } else { Shape::Leaf };
        ledger.count(tx, Place { run, parent: 0 }, now, None, Subject { shape, ..PENDING_LEAF })?;
        Ok(Some(key))
    }

    /// Inserts the children of a parent with these indices; `items` are their inputs, in order, or empty when they
    /// have their parent's. An item that holds `fanout` makes a parent, unless the items are `opaque`. Says whether
    /// any of them is a parent.
    pub(super) fn create_children(
        &mut self,
        family: &Family,
        indices: RangeInclusive<u32>,
        ids: IdBlock,
        items: &[&str],
        opaque: bool,
    ) -> Result<bool, Fault> {
        let (first, last) = (*indices.start(), *indices.end());
        let (tx, ledger, now) = self.parts();
        let mut insert = Insert::on(tx)?;
        let mut rest = ids;
        let mut parents = Vec::new();
        let place = Place { run: family.run, parent: family.parent };
        for (nth, index) in indices.enumerate() {
            let id = rest.take_task().ok_or_else(|| bad_row("task", family.parent, "it got too few ids"))?;
            let item = items.get(nth).copied();
            let numbers = match item {
                Some(item) if !opaque => nested(item).map_err(|why| bad_row("task", family.parent, &why))?,
                _ => None,
            };
            let name = numbers.map(|_| family.name.child(index));
            insert.task(&Columns {
                id,
                run: family.run,
                parent: family.parent,
                ordinal: index,
                kind: family.kind,
                priority: family.priority,
                now: now.as_millis(),
                due_at: None,
                max_retries: family.max_retries,
                numbers,
                name: name.as_ref().map(TaskName::as_str),
                backoff: family.backoff.as_deref(),
            })?;
            if let Some(item) = item {
                insert.input(tx.last_insert_rowid(), item)?;
            }
            let shape = match numbers {
                Some(Numbers { total, .. }) => {
                    parents.push((index, total.unwrap_or(0)));
                    Shape::Parent
                }
                None => Shape::Leaf,
            };
            ledger.count(tx, place, now, None, Subject { shape, ..PENDING_LEAF })?;
        }
        let first_id = ids.first_task();
        let has_parents = !parents.is_empty();
        let body = EventBody::TaskFannedOut { first, last, first_id, parents };
        event_log::record(tx, family.run, Some(family.parent), now, &body)?;
        Ok(has_parents)
    }

    /// Reads what the children of a parent will have in common.
    pub(super) fn family(&self, parent: i64) -> Result<Family, Fault> {
        let family = self.tx().first(SELECT_FAMILY, [parent], |row| {
            Ok(Family {
                parent,
                name: super::rows::text(row, 0)?.ok_or(rusqlite::Error::InvalidQuery)?,
                run: row.get(1)?,
                kind: row.get(2)?,
                priority: row.get(3)?,
                max_retries: row.get(4)?,
                backoff: row.get(5)?,
            })
        })?;
        family.ok_or_else(|| bad_row("task", parent, "its row is missing"))
    }
}

/// The numbers that a child begins with whose input is this item; `None` for a leaf.
fn nested(item: &str) -> Result<Option<Numbers>, String> {
    if !item.starts_with('{') {
        return Ok(None);
    }
    let item: Json = item.parse().map_err(|issue: conductor_model::Issue| issue.to_string())?;
    let fanout = Fanout::of(&item).map_err(|invalid| invalid.to_string())?;
    Ok(fanout.map(|fanout| Numbers::sealed(fanout.total())))
}

/// The key of a kind, which gets one at its first use.
fn kind_key(tx: &Connection, kind: &str) -> Result<i64, Fault> {
    let known = tx.first("SELECT key FROM conductor_kinds WHERE name = ?1", [kind], |row| row.get(0))?;
    if let Some(key) = known {
        return Ok(key);
    }
    tx.run("INSERT INTO conductor_kinds (name) VALUES (?1)", [kind])?;
    Ok(tx.last_insert_rowid())
}

fn backoff_text(backoff: Backoff) -> Result<Option<String>, Fault> {
    if backoff == Backoff::NONE {
        return Ok(None);
    }
    serde_json::to_string(&backoff).map(Some).map_err(|error| Fault::Backend(Box::new(error)))
}

/// The columns of a new task.
struct Columns<'a> {
    id: TaskId,
    run: i64,
    parent: i64,
    ordinal: u32,
    kind: i64,
    priority: i16,
    now: i64,
    due_at: Option<i64>,
    max_retries: i64,
    numbers: Option<Numbers>,
    name: Option<&'a str>,
    backoff: Option<&'a str>,
}

/// The prepared statements by which tasks come into being.
struct Insert<'c> {
    task: CachedStatement<'c>,
    input: CachedStatement<'c>,
}

impl<'c> Insert<'c> {
    fn on(tx: &'c Connection) -> Result<Self, Fault> {
        Ok(Self { task: tx.cached(INSERT_TASK)?, input: tx.cached(INSERT_INPUT)? })
    }

    fn task(&mut self, columns: &Columns<'_>) -> Result<(), Fault> {
        let zero = columns.numbers.map(|_| 0);
        let id = id_blob(columns.id.as_u128());
        let params: [&dyn ToSql; 14] = [
            &id,
            &columns.run,
            &columns.parent,
            &columns.ordinal,
            &columns.kind,
            &columns.priority,
            &columns.now,
            &columns.due_at,
            &columns.max_retries,
            &columns.numbers.map(Numbers::is_sealed),
            &columns.numbers.and_then(|numbers| numbers.total),
            &zero,
            &columns.name,
            &columns.backoff,
        ];
        self.task.execute(params.as_slice()).map_err(fault)?;
        Ok(())
    }

    fn input(&mut self, task: i64, input: &str) -> Result<(), Fault> {
        self.input.execute(params![task, input]).map_err(fault)?;
        Ok(())
    }
}

pub(super) const INSERT_TASK: &str = "INSERT INTO conductor_tasks (id, run, parent, ordinal, state, kind, priority, \
    created_at, updated_at, due_at, attempt, retry_count, max_retries, sealed, fanout, children, open_children, \
    failed_children, cancelled_children, name, backoff) \
    VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?7, ?8, 0, 0, ?9, ?10, ?11, ?12, ?12, ?12, ?12, ?13, ?14)";

pub(super) const INSERT_INPUT: &str = "INSERT INTO conductor_inputs (task, input) VALUES (?1, ?2)";

const SELECT_FAMILY: &str = "SELECT name, run, kind, priority, max_retries, backoff FROM conductor_tasks \
    WHERE key = ?1";
