//! Rows up to a limit.

use crate::backend::Rows;
use crate::sqlite::connection::sql::{Result, Sql, fault};
use rusqlite::{Connection, Params, Row};

/// The first `limit` rows of a statement. The row behind them is not read: it only shows that more follow.
pub(crate) fn rows_up_to<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    limit: u32,
    mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Rows<T>> {
    let mut statement = connection.cached(sql)?;
    let mut rows = statement.query(params).map_err(fault)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next().map_err(fault)? {
        if items.len() == limit as usize {
            return Ok(Rows { items, more: true });
        }
        items.push(read(row).map_err(fault)?);
    }
    Ok(Rows { items, more: false })
}
