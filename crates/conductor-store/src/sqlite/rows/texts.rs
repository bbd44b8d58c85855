//! Texts of the leaves of a block, in the order of their keys.

use crate::sqlite::connection::sql::{Result, Sql, fault};
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;
use rusqlite::{CachedStatement, Connection, Rows, Statement};

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

/// The statements of [`LeafTexts`].
pub(crate) struct LeafStatements<'c> {
    short: CachedStatement<'c>,
    long: CachedStatement<'c>,
    errors: CachedStatement<'c>,
}

impl<'c> LeafStatements<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            short: connection.cached(SHORT_OUTPUTS)?,
            long: connection.cached(LONG_OUTPUTS)?,
            errors: connection.cached(ERRORS)?,
        })
    }

    /// The texts from a first key to a last one.
    pub(crate) fn read(&mut self, keys: [i64; 2]) -> Result<LeafTexts<'_>> {
        Ok(LeafTexts {
            short: Texts::read(&mut self.short, keys)?,
            long: Texts::read(&mut self.long, keys)?,
            errors: Texts::read(&mut self.errors, keys)?,
        })
    }
}

/// The outputs and the last errors of the leaves of a block.
pub(crate) struct LeafTexts<'s> {
    short: Texts<'s>,
    long: Texts<'s>,
    errors: Texts<'s>,
}

impl LeafTexts<'_> {
    /// The output of a leaf. Imported leaves may have one in any state, but only those that ended have a short one.
    pub(crate) fn output(&mut self, key: i64, has_ended: bool) -> Result<Option<String>> {
        let short = if has_ended { self.short.of(key)? } else { None };
        short.map_or_else(|| self.long.of(key), |output| Ok(Some(output)))
    }

    pub(crate) fn error(&mut self, key: i64) -> Result<Option<String>> {
        self.errors.of(key)
    }
}

const SHORT_OUTPUTS: &str =
    "SELECT task, output FROM conductor_ended WHERE task BETWEEN ?1 AND ?2 ORDER BY task";
pub(crate) const LONG_OUTPUTS: &str =
    "SELECT task, output FROM conductor_outputs WHERE task BETWEEN ?1 AND ?2 ORDER BY task";
pub(crate) const ERRORS: &str =
    "SELECT task, error FROM conductor_errors WHERE task BETWEEN ?1 AND ?2 ORDER BY task";
