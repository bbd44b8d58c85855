//! The transaction that every write goes through.

use super::ledger::Ledger;
use super::{SqliteStore, open};
use crate::{AppendError, Fault, Scope, SealError, SubmitError};
use conductor_model::{RunId, Timestamp};
use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension, Params, Row, Transaction};

/// One intent: one transaction that took the write lock at its beginning.
pub(super) struct Write<'c> {
    tx: Transaction<'c>,
    /// The numbers of the parents and runs that this transaction touches.
    pub(super) ledger: Ledger,
    /// The moment of the intent.
    pub(super) now: Timestamp,
}

impl SqliteStore {
    /// Carries out one intent: everything that `intent` writes, and the numbers that follow, or nothing.
    pub(super) fn write<T, E: MaybeFault>(
        &self,
        now: Timestamp,
        intent: impl FnOnce(&mut Write<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut writer = self.lock_writer();
        let connection = self.connect(&mut writer)?;
        let result = transact(connection, now, intent);
        if let Err((_, true)) = &result {
            // After a disk error nothing that this connection remembers can be trusted.
            *writer = None;
        }
        result.map_err(|(error, _)| error)
    }

    /// Asks on the writer's connection, outside any transaction, whether a step has something to do: an idle
    /// step takes no lock and writes nothing.
    pub(super) fn probe(&self, ask: impl FnOnce(&Connection) -> Result<bool, Fault>) -> Result<bool, Fault> {
        let mut writer = self.lock_writer();
        ask(self.connect(&mut writer)?)
    }

    fn connect<'w>(&self, writer: &'w mut Option<Connection>) -> Result<&'w mut Connection, Fault> {
        if writer.is_none() {
            let path = self.path.as_deref().ok_or_else(no_connection)?;
            let opened = open::file_again(path, &self.options).map_err(|error| Fault::Io(Box::new(error)))?;
            *writer = Some(opened);
        }
        writer.as_mut().ok_or_else(no_connection)
    }
}

/// The error, and whether the connection must be given up.
fn transact<T, E: MaybeFault>(
    connection: &mut Connection,
    now: Timestamp,
    intent: impl FnOnce(&mut Write<'_>) -> Result<T, E>,
) -> Result<T, (E, bool)> {
    let given_up = |error: E| {
        let lost = matches!(error.fault(), Some(Fault::Io(_) | Fault::CommitUnknown(_)));
        (error, lost)
    };
    let tx = connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(|error| given_up(fault(error).into()))?;
    let mut write = Write { tx, ledger: Ledger::default(), now };
    // An intent that fails is rolled back when its transaction is dropped.
    let value = intent(&mut write).map_err(given_up)?;
    let Write { tx, ledger, now } = write;
    ledger.flush(&tx, now).map_err(|fault| given_up(fault.into()))?;
    tx.commit().map_err(|error| match fault(error) {
        // Nothing was written yet when SQLite could not get its lock.
        busy @ Fault::Busy(_) => given_up(busy.into()),
        other => given_up(Fault::CommitUnknown(Box::new(other)).into()),
    })?;
    Ok(value)
}

/// An error of an intent, which may be the store's own.
pub(super) trait MaybeFault: From<Fault> {
    /// The fault, if it is one.
    fn fault(&self) -> Option<&Fault>;
}

impl MaybeFault for Fault {
    fn fault(&self) -> Option<&Fault> {
        Some(self)
    }
}

macro_rules! maybe_fault {
    ($($error:ident),*) => {$(
        impl MaybeFault for $error {
            fn fault(&self) -> Option<&Fault> {
                if let Self::Fault(fault) = self { Some(fault) } else { None }
            }
        }
    )*};
}

maybe_fault!(SubmitError, AppendError, SealError);

impl Write<'_> {
    /// The connection inside the transaction.
    pub(super) fn tx(&self) -> &Connection {
        &self.tx
    }

    /// The connection and the ledger, both to be changed.
    pub(super) fn parts(&mut self) -> (&Connection, &mut Ledger, Timestamp) {
        (&self.tx, &mut self.ledger, self.now)
    }
}

/// Everything that SQLite says, sorted into what a caller can do about it.
pub(super) fn fault(error: rusqlite::Error) -> Fault {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Fault::Busy(Box::new(error)),
        Some(ErrorCode::SystemIoFailure | ErrorCode::DiskFull | ErrorCode::CannotOpen) => {
            Fault::Io(Box::new(error))
        }
        _ => match error {
            rusqlite::Error::FromSqlConversionFailure(_, _, why) => {
                Fault::Unreadable { what: "a row of the database".into(), why: why.to_string() }
            }
            rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::IntegralValueOutOfRange(..) => {
                Fault::Unreadable { what: "a row of the database".into(), why: error.to_string() }
            }
            other => Fault::Backend(Box::new(other)),
        },
    }
}

pub(super) fn no_connection() -> Fault {
    Fault::Io("a database in memory is gone after an error".into())
}

/// Short ways to run cached statements, with the store's errors.
pub(super) trait Sql {
    /// A statement that is prepared once per connection.
    fn cached(&self, sql: &str) -> Result<CachedStatement<'_>, Fault>;

    /// Runs a statement that returns nothing; the number of rows that it changed.
    fn run(&self, sql: &str, params: impl Params) -> Result<usize, Fault>;

    /// The first row, if there is one.
    fn first<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Fault>;

    /// All rows of a statement that has a LIMIT of its own.
    fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Fault>;
}

impl Sql for Connection {
    fn cached(&self, sql: &str) -> Result<CachedStatement<'_>, Fault> {
        self.prepare_cached(sql).map_err(fault)
    }

    fn run(&self, sql: &str, params: impl Params) -> Result<usize, Fault> {
        self.cached(sql)?.execute(params).map_err(fault)
    }

    fn first<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Fault> {
        self.cached(sql)?.query_row(params, map).optional().map_err(fault)
    }

    fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Fault> {
        let mut statement = self.cached(sql)?;
        let rows = statement.query_map(params, map).map_err(fault)?;
        rows.collect::<rusqlite::Result<_>>().map_err(fault)
    }
}

/// A scope in row keys. A run that does not exist has no rows.
#[derive(Clone, Copy, Debug)]
pub(super) enum ScopeKey {
    All,
    Run(i64),
    Nothing,
}

impl ScopeKey {
    pub(super) fn of(scope: Scope, connection: &Connection) -> Result<Self, Fault> {
        match scope {
            Scope::All => Ok(Self::All),
            Scope::Run(id) => Ok(run_key(connection, id)?.map_or(Self::Nothing, Self::Run)),
        }
    }

    /// The run's key; `None` for all runs.
    pub(super) fn run(self) -> Option<i64> {
        match self {
            Self::All => None,
            Self::Run(key) => Some(key),
            Self::Nothing => Some(0),
        }
    }

    /// The keys of the runs, for statements with `run BETWEEN ? AND ?`: the index is searched in either case.
    pub(super) fn range(self) -> (i64, i64) {
        // AUTOINCREMENT keys begin with 1.
        self.run().map_or((1, i64::MAX), |key| (key, key))
    }
}

/// The row key of a run.
pub(super) fn run_key(connection: &Connection, id: RunId) -> Result<Option<i64>, Fault> {
    connection
        .first("SELECT key FROM conductor_runs WHERE id = ?1", [id_blob(id.as_u128())], |row| row.get(0))
}

/// An id as it is stored: its 16 bytes, the most significant first, so that the order is that of the text.
pub(super) fn id_blob(id: u128) -> [u8; 16] {
    id.to_be_bytes()
}
