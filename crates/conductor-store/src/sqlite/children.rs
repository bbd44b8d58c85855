//! Children come into being, by the thousand.

use super::create::{Columns, PENDING_LEAF};
use super::event_log;
use super::ledger::Place;
use super::rows::{self, bad_row};
use super::sql::{Sql, fault, id_blob};
use super::write::Write;
use crate::StoreError;
use conductor_model::{ChildCounts, EventBody, FanoutItem, IdBlock, NodeStatus, NodeType, TaskId, TaskName};
use rusqlite::{CachedStatement, Connection};
use std::fmt::Write as _;
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
    timeout_ms: Option<u32>,
}

/// A child that is to be created.
struct Child<'a> {
    ordinal: u32,
    id: TaskId,
    /// Its input; `None` when it has its parent's.
    item: Option<&'a str>,
    /// `None` on a leaf.
    numbers: Option<ChildCounts>,
}

impl Child<'_> {
    fn is_leaf(&self) -> bool {
        self.numbers.is_none()
    }
}

impl Write<'_> {
    /// Inserts the children of a parent with these indices; `items` are their inputs, in order, or empty when they
    /// have their parent's.
    pub(super) fn create_children(
        &mut self,
        family: &Family,
        indices: RangeInclusive<u32>,
        ids: IdBlock,
        items: &[FanoutItem<'_>],
    ) -> Result<(), StoreError> {
        let (first, last) = (*indices.start(), *indices.end());
        let (tx, ledger, now) = self.parts();
        let children = children(family, indices, ids, items)?;
        for siblings in children.chunk_by(|one, next| one.is_leaf() == next.is_leaf()) {
            if siblings[0].is_leaf() {
                insert_leaves(family, tx, now.as_millis(), siblings)?;
            } else {
                siblings.iter().try_for_each(|child| insert_parent(family, tx, now.as_millis(), child))?;
            }
        }
        let place = Place::child(family.run, family.parent);
        for child in &children {
            let shape = if child.is_leaf() { NodeType::Leaf } else { NodeType::Parent };
            ledger.count(tx, place, now, None, NodeStatus { node_type: shape, ..PENDING_LEAF })?;
        }
        let total = |child: &Child<'_>| Some((child.ordinal, child.numbers?.total?));
        let parents: Vec<(u32, u32)> = children.iter().filter_map(total).collect();
        let body = EventBody::TaskFannedOut { first, last, first_id: ids.first_task(), parents };
        event_log::record(tx, family.run, Some(family.parent), now, &body)
    }

    /// Reads what the children of a parent will have in common.
    pub(super) fn family(&self, parent: i64) -> Result<Family, StoreError> {
        let family = self.tx().first(SELECT_FAMILY, [parent], |row| {
            Ok(Family {
                parent,
                name: rows::text(row, 0)?.ok_or(rusqlite::Error::InvalidQuery)?,
                run: row.get(1)?,
                kind: row.get(2)?,
                priority: row.get(3)?,
                max_retries: row.get(4)?,
                backoff: row.get(5)?,
                timeout_ms: row.get(6)?,
            })
        })?;
        family.ok_or_else(|| bad_row("task", parent, "its row is missing"))
    }
}

fn children<'a>(
    family: &Family,
    indices: RangeInclusive<u32>,
    mut ids: IdBlock,
    items: &[FanoutItem<'a>],
) -> Result<Vec<Child<'a>>, StoreError> {
    let child = |(nth, ordinal): (usize, u32)| {
        let id = ids.take_task().ok_or_else(|| bad_row("task", family.parent, "the step has too few ids"))?;
        let item = items.get(nth).copied();
        let numbers = item.and_then(|item| item.fanout).map(|fanout| ChildCounts::sealed(fanout.total()));
        Ok(Child { ordinal, id, item: item.map(|item| item.input), numbers })
    };
    indices.enumerate().map(child).collect()
}

fn insert_parent(family: &Family, tx: &Connection, now: i64, child: &Child<'_>) -> Result<(), StoreError> {
    let name = family.name.child(child.ordinal);
    let columns = Columns {
        id: child.id,
        run: family.run,
        parent: family.parent,
        ordinal: child.ordinal,
        kind: family.kind,
        priority: family.priority,
        now,
        due_at: None,
        max_retries: family.max_retries,
        timeout_ms: family.timeout_ms,
        numbers: child.numbers,
        name: Some(name.as_str()),
        backoff: family.backoff.as_deref(),
        policy: None,
        joins: false,
    };
    columns.insert(tx, child.item).map(|_| ())
}

/// The numbers of leaves that one statement inserts, largest first. One statement opens the table and its indexes once,
/// which otherwise costs more than the rows.
const LEAVES_PER_STATEMENT: [usize; 3] = [256, 16, 1];

/// The prepared statements that insert that many leaves, and their inputs.
struct Statements<'c> {
    leaves: usize,
    tasks: CachedStatement<'c>,
    inputs: CachedStatement<'c>,
}

fn insert_leaves(
    family: &Family,
    tx: &Connection,
    now: i64,
    mut leaves: &[Child<'_>],
) -> Result<(), StoreError> {
    for count in LEAVES_PER_STATEMENT {
        if leaves.len() < count {
            continue;
        }
        let tasks = tx.cached(&insert_tasks_sql(count))?;
        let mut statements =
            Statements { leaves: count, tasks, inputs: tx.cached(&insert_inputs_sql(count))? };
        let groups = leaves.chunks_exact(count);
        leaves = groups.remainder();
        for group in groups {
            statements.insert(family, tx, now, group).map_err(fault)?;
        }
    }
    Ok(())
}

impl Statements<'_> {
    /// Inserts one group of leaves, whose ordinals follow each other, with their inputs.
    fn insert(
        &mut self,
        family: &Family,
        tx: &Connection,
        now: i64,
        group: &[Child<'_>],
    ) -> rusqlite::Result<()> {
        let tasks = &mut self.tasks;
        tasks.raw_bind_parameter(1, family.run)?;
        tasks.raw_bind_parameter(2, family.parent)?;
        tasks.raw_bind_parameter(3, group[0].ordinal)?;
        tasks.raw_bind_parameter(4, family.kind)?;
        tasks.raw_bind_parameter(5, family.priority)?;
        tasks.raw_bind_parameter(6, now)?;
        tasks.raw_bind_parameter(7, family.max_retries)?;
        tasks.raw_bind_parameter(8, family.backoff.as_deref())?;
        tasks.raw_bind_parameter(9, family.timeout_ms)?;
        for (nth, child) in group.iter().enumerate() {
            tasks.raw_bind_parameter(10 + nth, id_blob(child.id.as_u128()))?;
        }
        tasks.raw_execute()?;
        if group[0].item.is_some() {
            // The keys of one statement's rows follow each other.
            let others = i64::try_from(self.leaves).unwrap_or(i64::MAX) - 1;
            self.inputs.raw_bind_parameter(1, tx.last_insert_rowid() - others)?;
            for (nth, child) in group.iter().enumerate() {
                self.inputs.raw_bind_parameter(2 + nth, child.item)?;
            }
            self.inputs.raw_execute()?;
        }
        Ok(())
    }
}

/// Inserts that many leaves. ?1 to ?9: what they have in common, ?3 being the first one's ordinal; then their ids.
pub(super) fn insert_tasks_sql(count: usize) -> String {
    let mut sql = String::from(
        "INSERT INTO conductor_tasks (id, run, parent, ordinal, state, kind, priority, created_at, updated_at, \
         attempt, retry_count, max_retries, backoff, timeout_ms) VALUES ",
    );
    for nth in 0..count {
        let comma = if nth > 0 { ", " } else { "" };
        let id = 10 + nth;
        // Writing to a String cannot fail.
        let _ = write!(sql, "{comma}(?{id}, ?1, ?2, ?3 + {nth}, 0, ?4, ?5, ?6, ?6, 0, 0, ?7, ?8, ?9)");
    }
    sql
}

/// Inserts that many inputs. ?1: the key of the first task; then the inputs.
pub(super) fn insert_inputs_sql(count: usize) -> String {
    let mut sql = String::from("INSERT INTO conductor_inputs (task, input) VALUES ");
    for nth in 0..count {
        let comma = if nth > 0 { ", " } else { "" };
        let _ = write!(sql, "{comma}(?1 + {nth}, ?{})", 2 + nth);
    }
    sql
}

const SELECT_FAMILY: &str = "SELECT name, run, kind, priority, max_retries, backoff, timeout_ms FROM conductor_tasks \
    WHERE key = ?1";
