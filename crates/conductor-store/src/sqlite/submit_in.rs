//! Submit a run inside a transaction of the caller's.

use super::open::{history, listed, temporary};
use super::sql::{Sql, fault};
use super::submit::submit;
use super::write::carry_out;
use crate::{StoreError, Submit, SubmitError, SubmitOutcome};
use rusqlite::{Connection, Transaction};

/// Submits a run inside a transaction of the caller's: what else that transaction writes and the run appear together,
/// at its commit, or not at all.
///
/// The database is one into which [`install_into`](super::install_into) has put our tables; a file that
/// [`SqliteStore::open`](crate::SqliteStore::open) made serves too. The connection needs no settings of ours. Begin the
/// transaction with [`TransactionBehavior::Immediate`](rusqlite::TransactionBehavior::Immediate): a deferred one that has
/// read something cannot write after somebody else wrote, and all of it must be done again.
///
/// Engines on the database notice the commit within 50 ms, or at once if they are nudged. How durable the commit is, the
/// caller's connection decides (`PRAGMA synchronous`).
///
/// ```
/// use conductor_model::{RunDraft, TaskDraft};
/// use conductor_store::sqlite::{install_into, rusqlite, submit_in};
/// use conductor_store::{Environment, Submit};
/// use rusqlite::{Connection, TransactionBehavior};
///
/// let mut connection = Connection::open_in_memory()?;
/// connection.execute_batch("CREATE TABLE orders (item TEXT NOT NULL)")?;
/// install_into(&mut connection)?;
///
/// let env = Environment::system();
/// let run = RunDraft::new().task(TaskDraft::new("send").input("tea")).validate()?;
/// let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
/// tx.execute("INSERT INTO orders (item) VALUES ('tea')", [])?;
/// let submitted = submit_in(&tx, &Submit::new(run, &env))?;
/// assert!(submitted.created);
/// tx.commit()?; // the order and its run, or neither
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`SubmitError`]; nothing of the run was written, and the caller's transaction is as it was, unless SQLite rolled all of
/// it back, as it does when the disk is full.
pub fn submit_in(tx: &Transaction<'_>, request: &Submit) -> Result<SubmitOutcome, SubmitError> {
    tx.execute_batch("SAVEPOINT conductor_submit").map_err(fault)?;
    let submitted = take_the_write_lock(tx)
        .and_then(|()| check_tables(tx))
        .and_then(|()| carry_out(tx, request.now, |write| submit(write, &request.run, request.ids)));
    if submitted.is_err() {
        // Where this fails there is no transaction any more.
        let _ = tx.execute_batch("ROLLBACK TO conductor_submit");
    }
    let released = tx.execute_batch("RELEASE conductor_submit").map_err(fault);
    let submitted = submitted?;
    released?;
    Ok(submitted)
}

/// Waits for other writers before anything is read: a transaction that reads first is refused, without waiting, when
/// somebody writes in between.
fn take_the_write_lock(tx: &Connection) -> Result<(), SubmitError> {
    let Err(error) = tx.execute("DELETE FROM main.conductor_engines WHERE 0", []) else { return Ok(()) };
    if tx.table_exists(Some("main"), "conductor_engines").map_err(fault)? {
        return Err(fault(error).into());
    }
    Err(unfit("its main database has no tables of Origin Conductor; call `install_into` with it first"))
}

/// Makes sure that our statements reach our tables, and that these have the columns that they name.
fn check_tables(tx: &Connection) -> Result<(), SubmitError> {
    let shadows = temporary(tx).map_err(fault)?;
    if !shadows.is_empty() {
        let why = format!("it has something temporary before our tables: {}; drop it", listed(&shadows));
        return Err(unfit(&why));
    }
    let (found, known) = (schema_version(tx)?, history::newest());
    if found < known {
        return Err(unfit(&format!(
            "the tables have schema version {found}, and this program needs {known}; call `install_into` with it first"
        )));
    }
    if found > known {
        return Err(unfit(&format!(
            "the tables have schema version {found}, but this program knows only versions up to {known}; use a newer \
             version of it"
        )));
    }
    Ok(())
}

fn schema_version(tx: &Connection) -> Result<i64, StoreError> {
    let newest = tx.first(SELECT_VERSION, [], |row| row.get::<_, Option<i64>>(0))?;
    Ok(newest.flatten().unwrap_or(0))
}

fn unfit(why: &str) -> SubmitError {
    SubmitError::UnsupportedConnection { why: why.into() }
}

const SELECT_VERSION: &str = "SELECT max(version) FROM main.conductor_migrations";
