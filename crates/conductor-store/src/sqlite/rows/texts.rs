//! Texts of the leaves of a block, in the order of their keys.

use crate::sqlite::connection::sql::{Result, fault};
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;
use rusqlite::{Rows, Statement};

/// The rows of a statement that selects keys in ascending order, each with a text. A text is read when it is asked for, so that
/// a page does not read more than it returns.
pub(crate) struct Texts<'s> {
    rows: Rows<'s>,
    /// The key of the row where it stands.
    key: i64,
}

impl<'s> Texts<'s> {
    /// Texts from a first key to a last one.
    pub(crate) fn read(statement: &'s mut Statement<'_>, keys: [i64; 2]) -> Result<Self> {
        Ok(Self { rows: statement.query(keys).map_err(fault)?, key: i64::MIN })
    }

    /// The text of a key that is larger than the one before; `None` without one, or without a row.
    pub(crate) fn of(&mut self, key: i64) -> Result<Option<String>> {
        while self.key < key {
            self.rows.advance().map_err(fault)?;
            self.key = self.rows.get().map_or(Ok(i64::MAX), |row| row.get(0)).map_err(fault)?;
        }
        match self.rows.get() {
            Some(row) if self.key == key => row.get(1).map_err(fault),
            _ => Ok(None),
        }
    }
}

/// The outputs that are too long for the row of an end. Imported leaves may have one in any state.
pub(crate) const LONG_OUTPUTS: &str =
    "SELECT task, output FROM conductor_outputs WHERE task BETWEEN ?1 AND ?2 ORDER BY task";
pub(crate) const ERRORS: &str =
    "SELECT task, error FROM conductor_errors WHERE task BETWEEN ?1 AND ?2 ORDER BY task";
