//! What became of children, page by page.

use super::query::{BYTES_PER_PAGE, run_and_key_of};
use super::rows;
use super::sql::{Sql, fault, run_key};
use crate::{ChildFailure, ChildOutput, NodeId, Page, StoreError};
use conductor_model::{ErrorText, TaskId};
use rusqlite::{Connection, Row, params};

/// How many children one page looks at: a page of the few that failed among a million is no long transaction.
const LOOKED_AT: u32 = 20_000;

pub(super) fn outputs(
    connection: &Connection,
    of: NodeId,
    after: u32,
    limit: u32,
) -> Result<Page<ChildOutput, u32>, StoreError> {
    let read = |row: &Row<'_>| {
        let output: Option<String> = row.get(1)?;
        let bytes = output.as_ref().map_or(0, String::len);
        Ok((ChildOutput { index: row.get(0)?, output }, bytes))
    };
    page(connection, SELECT_OUTPUTS, of, after, limit, read, |output| output.index)
}

pub(super) fn failures(
    connection: &Connection,
    of: NodeId,
    after: u32,
    limit: u32,
) -> Result<Page<ChildFailure, u32>, StoreError> {
    let read = |row: &Row<'_>| {
        let error: Option<String> = row.get(3)?;
        let bytes = error.as_ref().map_or(0, String::len);
        let (index, id) = (row.get(0)?, TaskId::from_u128(rows::id(row, 1)?));
        Ok((
            ChildFailure { index, id, state: rows::state(row, 2)?, error: error.map(ErrorText::from) },
            bytes,
        ))
    };
    page(connection, SELECT_FAILURES, of, after, limit, read, |failure| failure.index)
}

/// A page of children, bounded by their number, by their bytes, and by how many are looked at.
#[expect(
    clippy::too_many_arguments,
    reason = "the statements of the store are rewritten with the new tables"
)]
fn page<T>(
    connection: &Connection,
    sql: &str,
    of: NodeId,
    after: u32,
    limit: u32,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<(T, usize)>,
    index: impl Fn(&T) -> u32,
) -> Result<Page<T, u32>, StoreError> {
    let mut items = Vec::new();
    let Some((run, parent, children)) = family(connection, of)? else {
        return Ok(Page { items, next: None });
    };
    let last = after.saturating_add(LOOKED_AT);
    let mut statement = connection.cached(sql)?;
    let mut rows = statement.query(params![run, parent, after, last, limit]).map_err(fault)?;
    let mut bytes = 0;
    while bytes < BYTES_PER_PAGE
        && let Some(row) = rows.next().map_err(fault)?
    {
        let (item, size) = read(row).map_err(fault)?;
        bytes += size;
        items.push(item);
    }
    let is_full = items.len() == limit as usize || bytes >= BYTES_PER_PAGE;
    let next = if is_full { items.last().map_or(last, index) } else { last };
    Ok(Page { items, next: (next < children).then_some(next) })
}

/// The row keys of a run and a parent (0 for root tasks), and how many children there are.
fn family(connection: &Connection, of: NodeId) -> Result<Option<(i64, i64, u32)>, StoreError> {
    let (keys, sql) = match of {
        NodeId::Run(id) => {
            let run = run_key(connection, id)?;
            (run.map(|run| (run, 0)), "SELECT children FROM conductor_runs WHERE key = ?1")
        }
        NodeId::Task(id) => {
            let task = run_and_key_of(connection, id)?;
            (task, "SELECT coalesce(children, 0) FROM conductor_tasks WHERE key = ?1")
        }
    };
    let Some((run, parent)) = keys else { return Ok(None) };
    let head = if parent == 0 { run } else { parent };
    Ok(connection.first(sql, [head], |row| row.get(0))?.map(|children| (run, parent, children)))
}

pub(super) const SELECT_OUTPUTS: &str = "SELECT ordinal, output FROM conductor_tasks \
    WHERE run = ?1 AND parent = ?2 AND ordinal > ?3 AND ordinal <= ?4 AND state = 2 ORDER BY ordinal LIMIT ?5";

pub(super) const SELECT_FAILURES: &str = "SELECT ordinal, id, state, last_error FROM conductor_tasks \
    WHERE run = ?1 AND parent = ?2 AND ordinal > ?3 AND ordinal <= ?4 AND state <> 2 ORDER BY ordinal LIMIT ?5";
