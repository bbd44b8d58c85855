//! Short ways to talk to SQLite: cached statements, and its errors as those of the store.

use crate::StoreError;
use rusqlite::types::Value;
use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension, Params, Row, ToSql};
use std::ops::ControlFlow;
use std::rc::Rc;

/// The result of a statement.
pub(crate) type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Maps an error of SQLite, by what a caller can do about it.
pub(crate) fn fault(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        // A lock protocol error is a race of several connections on the WAL, which is treated as busy.
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            StoreError::Busy(Box::new(error))
        }
        Some(
            ErrorCode::SystemIoFailure | ErrorCode::DiskFull | ErrorCode::CannotOpen | ErrorCode::ReadOnly,
        ) => StoreError::Io(Box::new(error)),
        // A constraint rejects a value that follows from a row which another program has written.
        Some(ErrorCode::ConstraintViolation) => {
            StoreError::CorruptRow { row: "a row of the database".into(), reason: error.to_string() }
        }
        _ => match error {
            rusqlite::Error::FromSqlConversionFailure(_, _, why) => {
                StoreError::CorruptRow { row: "a row of the database".into(), reason: why.to_string() }
            }
            rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::IntegralValueOutOfRange(..) => {
                StoreError::CorruptRow { row: "a row of the database".into(), reason: error.to_string() }
            }
            other => StoreError::Backend(Box::new(other)),
        },
    }
}

pub(crate) fn no_connection() -> StoreError {
    StoreError::Io("the database in memory was closed after an error".into())
}

#[cfg(test)]
thread_local! {
    /// The statements that this thread has run.
    pub(crate) static SEEN: std::cell::RefCell<std::collections::BTreeSet<String>> =
        const { std::cell::RefCell::new(std::collections::BTreeSet::new()) };
}

/// Short ways to run cached statements, with the store's errors.
pub(crate) trait Sql {
    /// A statement that is prepared once per connection.
    fn cached(&self, sql: &str) -> Result<CachedStatement<'_>>;

    /// Runs a statement that returns nothing; the number of rows that it changed.
    fn run(&self, sql: &str, params: impl Params) -> Result<usize>;

    /// The first row; `None` without one.
    fn first<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>>;

    /// All rows of a statement that has a LIMIT of its own.
    fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>>;

    /// Visits the rows one by one, until `visit` breaks off. It reads no row behind that one.
    fn each(
        &self,
        sql: &str,
        params: impl Params,
        visit: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()>;
}

impl Sql for Connection {
    fn cached(&self, sql: &str) -> Result<CachedStatement<'_>> {
        // Every statement passes here, so that tests can check the plans of all.
        #[cfg(test)]
        SEEN.with_borrow_mut(|seen| seen.insert(sql.into()));
        self.prepare_cached(sql).map_err(fault)
    }

    fn run(&self, sql: &str, params: impl Params) -> Result<usize> {
        self.cached(sql)?.execute(params).map_err(fault)
    }

    fn first<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        self.cached(sql)?.query_row(params, map).optional().map_err(fault)
    }

    fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.cached(sql)?;
        let rows = statement.query_map(params, map).map_err(fault)?;
        rows.collect::<rusqlite::Result<_>>().map_err(fault)
    }

    fn each(
        &self,
        sql: &str,
        params: impl Params,
        mut visit: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut statement = self.cached(sql)?;
        let mut rows = statement.query(params).map_err(fault)?;
        while let Some(row) = rows.next().map_err(fault)? {
            if visit(row)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Breaks off a visit of rows, if this was the last that is wanted.
pub(crate) fn break_if(is_last: bool) -> ControlFlow<()> {
    if is_last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// The numbers of rows that one statement inserts, largest first.
const ROWS_PER_STATEMENT: [usize; 3] = [64, 8, 1];

/// Inserts rows in order, many with one statement: it opens the table and its indexes once, which otherwise costs more than a
/// row. `insert` is the statement for one row; `values` are its parameters.
pub(crate) fn insert_rows<R, const N: usize>(
    connection: &Connection,
    insert: &str,
    mut rows: &[R],
    values: impl Fn(&R) -> [&dyn ToSql; N],
) -> Result<()> {
    for count in ROWS_PER_STATEMENT {
        if rows.len() < count {
            continue;
        }
        let mut statement = match count {
            1 => connection.cached(insert)?,
            _ => connection.cached(&for_rows(insert, count))?,
        };
        while let Some((first, rest)) = rows.split_at_checked(count) {
            for (place, value) in first.iter().flat_map(&values).enumerate() {
                statement.raw_bind_parameter(place + 1, value).map_err(fault)?;
            }
            statement.raw_execute().map_err(fault)?;
            rows = rest;
        }
    }
    Ok(())
}

/// A statement that inserts so many rows, from the one for one row.
fn for_rows(insert: &str, count: usize) -> String {
    let (table, row) = insert.split_once(" VALUES ").unwrap_or((insert, ""));
    format!("{table} VALUES {}", vec![row; count].join(", "))
}

/// The row key of a kind; `None` if no task ever had it.
pub(crate) fn kind_key(connection: &Connection, kind: &str) -> Result<Option<i64>> {
    connection.first("SELECT key FROM conductor_kinds WHERE name = ?1", [kind], |row| row.get(0))
}

/// Row keys as one parameter, for `rarray(?)`.
pub(crate) fn array(keys: impl IntoIterator<Item = i64>) -> Rc<Vec<Value>> {
    Rc::new(keys.into_iter().map(Value::from).collect())
}

/// An id as it is stored: its 16 bytes, the most significant first, so that the order is that of the text.
pub(crate) fn id_blob(id: u128) -> [u8; 16] {
    id.to_be_bytes()
}
