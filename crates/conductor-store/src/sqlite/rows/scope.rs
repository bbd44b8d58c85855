//! Scopes in row keys.

use crate::sqlite::connection::sql::{Result, Sql};
use crate::{Scope, StoreError};
use conductor_model::RunId;
use rusqlite::Connection;

/// A scope in row keys.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ScopeKey {
    All,
    Run(i64),
}

impl ScopeKey {
    pub(crate) fn of(scope: Scope, connection: &Connection) -> Result<Self> {
        match scope {
            Scope::All => Ok(Self::All),
            Scope::Run(id) => Ok(Self::Run(run_key(connection, id)?.ok_or(StoreError::RunNotFound(id))?)),
        }
    }

    /// The keys of the runs, for statements with `run BETWEEN ? AND ?`: the index is searched in either case.
    pub(crate) fn range(self) -> (i64, i64) {
        match self {
            // AUTOINCREMENT keys begin with 1.
            Self::All => (1, i64::MAX),
            Self::Run(key) => (key, key),
        }
    }
}

/// The row key of a run.
pub(crate) fn run_key(connection: &Connection, id: RunId) -> Result<Option<i64>> {
    connection.first("SELECT key FROM conductor_runs WHERE id = ?1", [id.to_string()], |row| row.get(0))
}
