//! What became of children, page by page.

use super::query::{BYTES_PER_PAGE, run_and_key_of};
use super::rows;
use super::sql::{Sql, fault, run_key};
use crate::{ChildResult, Fault, Page, ParentId, Results};
use conductor_model::{ErrorText, TaskId};
use rusqlite::{Connection, Row, params};

/// How many children one page looks at: a page of the few that failed among a million is no long transaction.
const LOOKED_AT: u32 = 20_000;

pub(super) fn page(
    connection: &Connection,
    of: ParentId,
    which: Results,
    after: u32,
    limit: u32,
) -> Result<Page<ChildResult, u32>, Fault> {
    let Some((run, parent, children)) = family(connection, of)? else {
        return Ok(Page { items: Vec::new(), next: None });
    };
    let last = after.saturating_add(LOOKED_AT);
    let mut statement = connection.cached(SELECT_RESULTS)?;
    let succeeded = which == Results::Succeeded;
    let mut rows = statement.query(params![run, parent, after, last, succeeded, limit]).map_err(fault)?;
    let (mut items, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next().map_err(fault)? {
        let result = read(row).map_err(fault)?;
        bytes += result.output.as_ref().map_or(0, String::len);
        items.push(result);
        if bytes >= BYTES_PER_PAGE {
            break;
        }
    }
    let is_full = items.len() == limit as usize || bytes >= BYTES_PER_PAGE;
    let next = if is_full { items.last().map_or(last, |last| last.index) } else { last };
    Ok(Page { items, next: (next < children).then_some(next) })
}

/// The row keys of a run and a parent (0 for root tasks), and how many children there are.
fn family(connection: &Connection, of: ParentId) -> Result<Option<(i64, i64, u32)>, Fault> {
    let (keys, sql) = match of {
        ParentId::Run(id) => {
            let run = run_key(connection, id)?;
            (run.map(|run| (run, 0)), "SELECT children FROM conductor_runs WHERE key = ?1")
        }
        ParentId::Task(id) => {
            let task = run_and_key_of(connection, id)?;
            (task, "SELECT coalesce(children, 0) FROM conductor_tasks WHERE key = ?1")
        }
    };
    let Some((run, parent)) = keys else { return Ok(None) };
    let head = if parent == 0 { run } else { parent };
    Ok(connection.first(sql, [head], |row| row.get(0))?.map(|children| (run, parent, children)))
}

fn read(row: &Row<'_>) -> rusqlite::Result<ChildResult> {
    Ok(ChildResult {
        index: row.get(0)?,
        id: TaskId::from_u128(rows::id(row, 1)?),
        state: rows::state(row, 2)?,
        output: row.get(3)?,
        error: row.get::<_, Option<String>>(4)?.map(ErrorText::from),
    })
}

pub(super) const SELECT_RESULTS: &str = "SELECT ordinal, id, state, output, last_error FROM conductor_tasks \
    WHERE run = ?1 AND parent = ?2 AND ordinal > ?3 AND ordinal <= ?4 AND (state = 2) = ?5 ORDER BY ordinal LIMIT ?6";
