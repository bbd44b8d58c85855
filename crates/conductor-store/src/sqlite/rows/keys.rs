//! Keys as they are stored: a key is a row id, and the parent of a root task is 0.

use crate::EngineKey;
use crate::backend::{ParentKey, RunKey, TaskKey};
use rusqlite::Row;

/// A key that is the row id of a table.
pub(crate) trait RowKey: Sized {
    fn of_row(row: i64) -> Self;
    fn row(self) -> i64;
}

macro_rules! row_keys {
    ($($key:ident),*) => {$(
        impl RowKey for $key {
            fn of_row(row: i64) -> Self {
                Self(row.cast_unsigned())
            }

            fn row(self) -> i64 {
                self.0.cast_signed()
            }
        }
    )*};
}

row_keys!(RunKey, TaskKey, EngineKey);

/// Reads a key.
pub(crate) fn key<K: RowKey>(row: &Row<'_>, column: usize) -> rusqlite::Result<K> {
    row.get(column).map(K::of_row)
}

/// Reads a key that may be missing.
pub(crate) fn optional_key<K: RowKey>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<K>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(K::of_row))
}

/// Reads the parent from the column of a child; `None` for a root task.
pub(crate) fn parent_task(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<TaskKey>> {
    let parent: i64 = row.get(column)?;
    Ok((parent != 0).then(|| TaskKey::of_row(parent)))
}

/// Reads the parent from the column of a child of this run.
pub(crate) fn parent_key(run: RunKey, row: &Row<'_>, column: usize) -> rusqlite::Result<ParentKey> {
    Ok(ParentKey { run, task: parent_task(row, column)? })
}

/// The column `parent` of the children of a task, or of the root tasks of a run.
pub(crate) fn parent_column(parent: Option<TaskKey>) -> i64 {
    parent.map_or(0, TaskKey::row)
}

/// The columns `run` and `parent` of the children of a parent.
pub(crate) fn parent_columns(parent: ParentKey) -> (i64, i64) {
    (parent.run.row(), parent_column(parent.task))
}
