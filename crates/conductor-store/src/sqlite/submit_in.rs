//! Submits a run inside a transaction of the caller.

use super::open::{listed, migrations, shadowing_temp_tables};
use super::tx::SqliteTx;
use crate::sqlite::connection::sql::{Result, Sql, fault};
use crate::{Submit, SubmitError, SubmitOutcome};
use rusqlite::{Connection, Transaction};

/// Submits a run inside a transaction of the caller. The run and the other writes of the transaction are committed together
/// or not at all.
///
/// The database must have the tables of Origin Conductor, from [`install_into`](super::install_into) or from
/// [`SqliteStore::open`](crate::SqliteStore::open). The connection needs no special settings. Begin the transaction with [`TransactionBehavior::Immediate`](rusqlite::TransactionBehavior::Immediate): a deferred one that has
/// read cannot write after another writer has committed, and must start again.
///
/// Engines on the database notice the commit within 50 ms, or at once after `Engine::wake`. The connection of the caller
/// decides the durability of the commit (`PRAGMA synchronous`).
///
/// ```
/// use conductor_store::sqlite::{install_into, rusqlite, submit_in};
/// use conductor_store::{Environment, RunDraft, Submit, TaskDraft};
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
/// [`SubmitError`]; nothing of the run was written. The transaction of the caller remains open, unless SQLite has rolled it
/// back completely, for instance because the disk is full.
pub fn submit_in(tx: &Transaction<'_>, request: &Submit) -> Result<SubmitOutcome, SubmitError> {
    tx.execute_batch("SAVEPOINT conductor_submit").map_err(fault)?;
    let submitted =
        take_the_write_lock(tx).and_then(|()| check_tables(tx)).and_then(|()| submit(tx, request));
    if submitted.is_err() {
        // This fails only if SQLite has rolled back the transaction.
        let _ = tx.execute_batch("ROLLBACK TO conductor_submit");
    }
    let released = tx.execute_batch("RELEASE conductor_submit").map_err(fault);
    let submitted = submitted?;
    released?;
    Ok(submitted)
}

fn submit(tx: &Connection, request: &Submit) -> Result<SubmitOutcome, SubmitError> {
    let mut tx = SqliteTx::new(tx, None, request.now);
    let submitted = crate::ops::store::submit(&mut tx, request)?;
    tx.finish()?;
    Ok(submitted)
}

/// Waits for other writers before anything is read: a transaction that reads first fails at once if
/// another writer commits in between.
fn take_the_write_lock(tx: &Connection) -> Result<(), SubmitError> {
    let Err(error) = tx.execute("DELETE FROM main.conductor_engines WHERE 0", []) else { return Ok(()) };
    if tx.table_exists(Some("main"), "conductor_engines").map_err(fault)? {
        return Err(fault(error).into());
    }
    Err(unfit("its main database has no tables of Origin Conductor; call `install_into` with it first"))
}

/// Makes sure that our statements reach our tables, and that these have the columns that they name.
fn check_tables(tx: &Connection) -> Result<(), SubmitError> {
    let shadows = shadowing_temp_tables(tx).map_err(fault)?;
    if !shadows.is_empty() {
        let why = format!(
            "temporary tables or views hide the tables of Origin Conductor: {}; drop them",
            listed(&shadows)
        );
        return Err(unfit(&why));
    }
    let (found, known) = (schema_version(tx)?, migrations::newest());
    if found < known {
        return Err(unfit(&format!(
            "the tables have schema version {found}, but this program needs {known}; call `install_into` first"
        )));
    }
    if found > known {
        return Err(unfit(&format!(
            "the tables have schema version {found}, but this program supports only versions up to {known}; use a \
             newer program"
        )));
    }
    Ok(())
}

fn schema_version(tx: &Connection) -> Result<i64> {
    let newest = tx.first(SELECT_VERSION, [], |row| row.get::<_, Option<i64>>(0))?;
    Ok(newest.flatten().unwrap_or(0))
}

fn unfit(why: &str) -> SubmitError {
    SubmitError::UnsupportedConnection { why: why.into() }
}

const SELECT_VERSION: &str = "SELECT max(version) FROM main.conductor_migrations";
