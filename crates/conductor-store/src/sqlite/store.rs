//! The database: how a store opens it.

use super::engines::Liveness;
use super::open::{self, OpenError, SqliteOptions};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

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
    pub(crate) options: SqliteOptions,
    /// Idle connections that read. This field is before the writer because fields are dropped in this order. The last
    /// connection to close makes the checkpoint and deletes the WAL, and a read-only connection cannot do that.
    pub(super) readers: Mutex<Vec<Connection>>,
    /// The queue in front of the writer.
    pub(super) turn: Mutex<()>,
    /// `None` after a disk error, until the next request opens a new one.
    pub(super) writer: Mutex<Option<Connection>>,
    /// The number of commits since the last checkpoint.
    pub(super) commits: AtomicU32,
    /// The path, and the engines that live.
    pub(crate) liveness: Liveness,
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

    /// Opens a database of the caller that has embedded tables of Origin Conductor: see [`install_into`](super::install_into).
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
        let (readers, commits) = (Mutex::default(), AtomicU32::new(0));
        let (turn, writer) = (Mutex::default(), Mutex::new(Some(writer)));
        Self { options, readers, turn, writer, commits, liveness: Liveness::new(path) }
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.liveness.path)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
