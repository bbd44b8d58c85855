//! Finds a child of a parent or a run in some condition: in its first blocks, then in its last ones.

use super::leaf_states;
use crate::backend::{ChildWanted, LeafStatus, OffsetSet, ParentKey, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block::{self, BlockRow, block_columns};
use crate::sqlite::rows::conditions::sql;
use crate::sqlite::rows::keys::{key, parent_columns};
use conductor_model::State;
use rusqlite::{Connection, params};

/// Whether a leaf that has not ended by itself is in the condition.
type IsWanted = fn(&LeafStatus) -> bool;

/// See [`ReadTx::find_child`](crate::backend::ReadTx::find_child).
pub(crate) fn find_child(
    connection: &Connection,
    parent: ParentKey,
    child: ChildWanted,
) -> Result<Option<TaskKey>> {
    let (run, parent) = parent_columns(parent);
    let (condition, in_ranges): (&str, Option<IsWanted>) = match child {
        ChildWanted::Join => {
            return connection
                .first(JOIN, [run, parent], |row| row.get(0).map(|number| block::task_key(number, 0)));
        }
        ChildWanted::Open => (OPEN, Some(|status| !status.is_settled())),
        ChildWanted::Failed => (FAILED, None),
        ChildWanted::Cancelled => (CANCELLED, Some(|status| status.state == State::Cancelled)),
    };
    for order in ["ASC", "DESC"] {
        let sql = format!(
            "SELECT {} FROM (SELECT * FROM conductor_blocks WHERE run = ?1 AND parent = ?2 AND child_index > 0 \
             ORDER BY child_index {order} LIMIT 1000) b WHERE {condition} ORDER BY b.child_index LIMIT 1",
            block_columns!()
        );
        let block = connection.first(&sql, params![run, parent], |row| block::read(row, 0))?;
        let Some(block) = block.map(block::readable).transpose()? else { continue };
        if block.is_parent {
            return Ok(Some(block.block.base));
        }
        let all = OffsetSet::first(block.count);
        let found = match in_ranges {
            Some(is_wanted) => first_in_ranges(connection, &block, &all, is_wanted)?,
            None => {
                connection.first(FIRST_FAILED, block.keys(&all).unwrap_or_default(), |row| key(row, 0))?
            }
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The first leaf that has not ended by itself, and is in such a condition.
fn first_in_ranges(
    connection: &Connection,
    block: &BlockRow,
    all: &OffsetSet,
    is_wanted: IsWanted,
) -> Result<Option<TaskKey>> {
    let (_, mut rows) = leaf_states::in_ranges(connection, block.number, all)?;
    rows.retain(|row| is_wanted(&row.condition.status));
    let first = rows.iter().filter_map(|row| row.set.iter().next()).min();
    Ok(first.map(|offset| block.block.base.plus(offset)))
}

/// A block that has such a child, or is one.
macro_rules! has {
    ($parent:ident, $from:literal $leaves:ident) => {
        sql!("CASE b.is_parent \
            WHEN 1 THEN EXISTS (SELECT 1 FROM conductor_parents p WHERE p.task = b.block * 1024 AND " $parent ") \
            ELSE EXISTS (SELECT 1 FROM " $from " AND " $leaves ") END")
    };
}

const OPEN: &str = has!(open_parent, "conductor_ranges g WHERE g.block = b.block" open_leaf);
const FAILED: &str = has!(
    failed,
    "conductor_ended e INDEXED BY conductor_ended_failed WHERE e.task BETWEEN b.block * 1024 AND b.block * 1024 + 1023" failed
);
const CANCELLED: &str = has!(cancelled, "conductor_ranges g WHERE g.block = b.block" cancelled);

const JOIN: &str = "SELECT block FROM conductor_blocks WHERE run = ?1 AND parent = ?2 AND child_index = 0";

const FIRST_FAILED: &str = sql!("SELECT task FROM conductor_ended INDEXED BY conductor_ended_failed \
    WHERE " failed " AND task BETWEEN ?1 AND ?2 ORDER BY task LIMIT 1");
