//! The store on SQLite: one file, no server.
//!
//! Each operation has its own module. A write has these steps. The operation (`submit.rs`, `report.rs` …) opens a
//! `write::Write` transaction and reads its rows. `transit` executes each transition and records its event through
//! `event_log`. The `ledger` collects the counts of all touched parents and runs, and writes each once before the commit.
//! Queries map rows to records in `rows` and `task_record`.

mod aggregate;
mod append;
mod audit;
mod below;
mod cancel;
mod children;
mod claim;
mod compare;
mod create;
mod damage;
mod engines;
mod eta;
mod event_log;
mod expire;
mod explain;
mod families;
mod fan_out;
mod fence;
mod given_up;
mod inputs;
mod join;
mod keys;
mod lease;
mod ledger;
mod marks;
mod monitor;
mod open;
mod patiently;
mod progress;
mod promote;
mod prune;
mod query;
mod recreate;
mod repair;
mod report;
mod rescue;
mod rest;
mod results;
mod retry;
mod revive;
mod rows;
mod seal;
mod settle;
mod sql;
mod submit;
mod submit_in;
mod sweep;
mod task_record;
mod task_row;
#[cfg(test)]
mod tests;
mod transit;
mod turns;
mod verify;
mod waits;
mod write;
#[cfg(target_os = "linux")]
mod write_notifier;

pub use open::{OpenError, SqliteOptions, Synchronous, install_into};
/// The SQLite library of this store. Programs that call [`install_into`] or [`submit_in`] must use the same version.
pub use rusqlite;
pub use submit_in::submit_in;

use crate::{
    Admin, AggregateOutcome, Append, AppendError, AppendOutcome, Cancel, CancelError, CancelOutcome, Claim,
    ClaimOutcome, EngineRegistration, FanOut, FanOutOutcome, FenceOutcome, Prune, PruneOutcome,
    RecordProgress, RegisterEngine, Release, Renew, Repair, RepairReport, ReportBatch, ReportOutcome, Rescue,
    Revive, ReviveError, ReviveOutcome, Seal, SealError, Settle, SettleOutcome, Step, StepOutcome, Store,
    StoreError, Submit, SubmitError, SubmitOutcome, SweepOutcome, Verify, VerifyReport,
};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A store in an SQLite database: a file, or memory for tests.
///
/// One connection writes, and a few others read. Any number of stores may have the same file open, in any number of
/// processes on one machine.
///
/// ```
/// use conductor_store::SqliteStore;
///
/// let folder = tempfile::tempdir()?;
/// let store = SqliteStore::open(folder.path().join("conductor.db"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SqliteStore {
    /// `None` in memory.
    path: Option<PathBuf>,
    options: SqliteOptions,
    /// Idle connections that read. This field is before the writer because fields are dropped in this order. The last
    /// connection to close makes the checkpoint and deletes the WAL, and a read-only connection cannot do that.
    readers: Mutex<Vec<Connection>>,
    /// The queue in front of the writer.
    turn: Mutex<()>,
    /// `None` after a disk error, until the next request opens a new one.
    writer: Mutex<Option<Connection>>,
    /// The number of commits since the last checkpoint.
    commits: AtomicU32,
    /// The living engines of a database in memory.
    alive: engines::Alive,
}

impl SqliteStore {
    /// Opens the database file at `path`. Creates it if it does not exist.
    ///
    /// `path` is always the name of a file, and never a URI. `:memory:` and `file:x.db?mode=ro` create files with these
    /// names. For a database in memory, call [`SqliteStore::open_in_memory`].
    ///
    /// # Errors
    /// [`OpenError`]; a rejected file is not changed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path, SqliteOptions::default())
    }

    /// Opens the database file at `path` with options. Creates it if it does not exist.
    ///
    /// # Errors
    /// [`OpenError`]; a rejected file is not changed.
    pub fn open_with(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OpenError> {
        let path = open::locate(path.as_ref())?;
        let writer = open::file(&path, &options)?;
        Ok(Self::of(Some(path), options, writer))
    }

    /// Opens a database of the caller that has embedded tables of Origin Conductor: see [`install_into`].
    ///
    /// Tables of an earlier version are migrated. Nothing else in the database changes, and no views are created. The
    /// database must be in WAL mode. Engines keep small files beside it while they live.
    ///
    /// # Errors
    /// [`OpenError`], for instance [`OpenError::NotEmbedded`] and [`OpenError::NotInWalMode`]; a rejected file is not changed.
    pub fn open_embedded(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path, SqliteOptions::default().embedded(true))
    }

    /// Opens a database in memory, which ends with the store. Use it for tests.
    ///
    /// # Errors
    /// [`OpenError`] if the SQLite library is too old.
    pub fn open_in_memory() -> Result<Self, OpenError> {
        let writer = open::memory()?;
        Ok(Self::of(None, SqliteOptions::default(), writer))
    }

    fn of(path: Option<PathBuf>, options: SqliteOptions, writer: Connection) -> Self {
        let (readers, alive) = (Mutex::default(), engines::Alive::default());
        let commits = AtomicU32::new(0);
        let (turn, writer) = (Mutex::default(), Mutex::new(Some(writer)));
        Self { path, options, readers, turn, writer, commits, alive }
    }

    fn lock_writer(&self) -> MutexGuard<'_, Option<Connection>> {
        // A thread that has just written queues here behind the waiting threads. Without this queue it would get the writer
        // again before they wake up, and could starve them.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // A panic inside a transaction has rolled it back, so that the connection is still usable.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a query on a reading connection. All its statements see one state of the database.
    fn read<T>(&self, question: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let Some(path) = &self.path else {
            let writer = self.lock_writer();
            return question(writer.as_ref().ok_or_else(sql::no_connection)?);
        };
        let idle = self.lock_readers().pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => open::reader(path, &self.options)?,
        };
        let snapshot = reader.transaction().map_err(sql::fault)?;
        // A connection that met an error is closed.
        let answer = question(&snapshot)?;
        drop(snapshot);
        let mut idle = self.lock_readers();
        if idle.len() < self.options.readers {
            idle.push(reader);
        }
        Ok(answer)
    }

    fn lock_readers(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_readers(&self) {
        self.lock_readers().clear();
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Store for SqliteStore {
    fn submit(&self, request: &Submit) -> Result<SubmitOutcome, SubmitError> {
        self.submit_run(request)
    }

    fn submit_and_claim(
        &self,
        request: &Submit,
        claim: &Claim,
    ) -> Result<(SubmitOutcome, ClaimOutcome), SubmitError> {
        self.submit_run_and_claim(request, claim)
    }

    fn append(&self, request: &Append) -> Result<AppendOutcome, AppendError> {
        self.append_children(request)
    }

    fn seal(&self, request: &Seal) -> Result<(), SealError> {
        self.seal_parent(request)
    }

    fn report(&self, request: &ReportBatch) -> Result<Vec<ReportOutcome>, StoreError> {
        self.take_reports(request)
    }

    fn fan_out(&self, step: &FanOut) -> Result<FanOutOutcome, StoreError> {
        self.fan_out_step(step)
    }

    fn aggregate(&self, step: &Step) -> Result<AggregateOutcome, StoreError> {
        self.aggregate_step(step)
    }

    fn retry(&self, step: &Step) -> Result<StepOutcome, StoreError> {
        self.retry_step(step)
    }

    fn promote(&self, step: &Step) -> Result<StepOutcome, StoreError> {
        self.promote_step(step)
    }

    fn sweep(&self, step: &Step) -> Result<SweepOutcome, StoreError> {
        self.sweep_step(step)
    }

    fn expire(&self, step: &Step) -> Result<StepOutcome, StoreError> {
        self.expire_step(step)
    }

    fn register_engine(&self, request: &RegisterEngine) -> Result<EngineRegistration, StoreError> {
        self.enlist_engine(request)
    }

    fn claim(&self, request: &Claim) -> Result<ClaimOutcome, StoreError> {
        self.claim_tasks(request)
    }

    fn on_idle(&self) {
        self.checkpoint_if_worthwhile();
    }

    fn renew(&self, request: &Renew) -> Result<Vec<FenceOutcome>, StoreError> {
        self.renew_leases(request)
    }

    fn settle(&self, request: &Settle) -> Result<SettleOutcome, StoreError> {
        self.settle_tasks(request)
    }

    fn release(&self, request: &Release) -> Result<Vec<FenceOutcome>, StoreError> {
        self.release_claims(request)
    }

    fn record_progress(&self, request: &RecordProgress) -> Result<Vec<FenceOutcome>, StoreError> {
        self.write_progress(request)
    }

    fn rescue(&self, request: &Rescue) -> Result<StepOutcome, StoreError> {
        self.rescue_claims(request)
    }
}

impl Admin for SqliteStore {
    fn cancel(&self, request: &Cancel) -> Result<CancelOutcome, CancelError> {
        self.cancel_target(request)
    }

    fn revive(&self, request: &Revive) -> Result<ReviveOutcome, ReviveError> {
        self.revive_tasks(request)
    }

    fn prune(&self, request: &Prune) -> Result<PruneOutcome, StoreError> {
        self.prune_runs(request)
    }

    fn verify(&self, request: &Verify) -> Result<VerifyReport, StoreError> {
        self.verify_runs(request)
    }

    fn repair(&self, request: &Repair) -> Result<RepairReport, StoreError> {
        self.repair_runs(request)
    }
}

/// The effective limit of a page.
fn page_limit(limit: u32) -> u32 {
    limit.clamp(1, crate::MAX_PAGE)
}
