//! The results of children, by index.

use crate::backend::{ChildResult, ChildResults, ChildResultsWanted, ParentKey};
use crate::sqlite::connection::sql::{Result, Sql, fault};
use crate::sqlite::rows::keys::{RowKey, parent_columns};
use crate::sqlite::rows::{columns, conditions::sql};
use conductor_model::{ErrorText, TaskId};
use rusqlite::{Connection, Row, params};

/// See [`ReadTx::child_results`](crate::backend::ReadTx::child_results).
pub(crate) fn child_results(connection: &Connection, wanted: &ChildResultsWanted) -> Result<ChildResults> {
    let Some(created) = children_of(connection, wanted.parent)? else { return Ok(ChildResults::default()) };
    let ChildResultsWanted { after, until, limit, max_bytes, .. } = *wanted;
    let (run, parent) = parent_columns(wanted.parent);
    let sql = if wanted.succeeded { SELECT_OUTPUTS } else { SELECT_FAILURES };
    let mut statement = connection.cached(sql)?;
    let mut rows = statement.query(params![run, parent, after, until, limit]).map_err(fault)?;
    let (mut results, mut bytes) = (Vec::new(), 0);
    while bytes < max_bytes
        && let Some(row) = rows.next().map_err(fault)?
    {
        let (result, size) = child_result(row, wanted.succeeded).map_err(fault)?;
        bytes += size;
        results.push(result);
    }
    Ok(ChildResults { created, results })
}

/// A child, and the bytes of its output or error.
fn child_result(row: &Row<'_>, succeeded: bool) -> rusqlite::Result<(ChildResult, usize)> {
    let (index, id, state) = (row.get(0)?, TaskId::from_u128(columns::id(row, 1)?), columns::state(row, 2)?);
    let text: Option<String> = row.get(3)?;
    let size = text.as_ref().map_or(0, String::len);
    let (output, error) = if succeeded { (text, None) } else { (None, text.map(ErrorText::from)) };
    Ok((ChildResult { index, id, state, output, error }, size))
}

/// How many children there are; 0 for a leaf.
fn children_of(connection: &Connection, parent: ParentKey) -> Result<Option<u32>> {
    let (sql, key) = match parent.task {
        None => ("SELECT children FROM conductor_runs WHERE key = ?1", parent.run.row()),
        Some(task) => ("SELECT coalesce(children, 0) FROM conductor_tasks WHERE key = ?1", task.row()),
    };
    connection.first(sql, [key], |row| row.get(0))
}

const SELECT_OUTPUTS: &str = sql!("SELECT ordinal, id, state, output FROM conductor_tasks \
    WHERE run = ?1 AND parent = ?2 AND ordinal > ?3 AND ordinal <= ?4 AND " succeeded " ORDER BY ordinal LIMIT ?5");

const SELECT_FAILURES: &str = sql!("SELECT ordinal, id, state, last_error FROM conductor_tasks \
    WHERE run = ?1 AND parent = ?2 AND ordinal > ?3 AND ordinal <= ?4 AND " not_succeeded " ORDER BY ordinal LIMIT ?5");
