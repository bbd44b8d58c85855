//! Why a database was not opened, or not installed into.

use crate::StoreError;
use rusqlite::ErrorCode;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The database was not opened, or nothing was installed into it.
///
/// A file that is refused for what it is or holds keeps its bytes, and no lock or log of ours is left beside it. If
/// the log of a killed program was there, SQLite's index of that log (`-shm`) may be new.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The path is empty, which would be a database that is gone when it is closed.
    #[error("the path of the database is empty; name a file, or open a database in memory")]
    EmptyPath,
    /// The path names a folder.
    #[error("{path} is a folder; name a file in it")]
    Directory {
        /// The path.
        path: PathBuf,
    },
    /// The path names a device, a pipe or a socket.
    #[error("{path} is no ordinary file; name one, or a path where there is nothing yet")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The folder that the file would be in does not exist.
    #[error("{path} cannot be made, for there is no folder {folder}; make the folder first")]
    MissingFolder {
        /// The path.
        path: PathBuf,
        /// The folder that does not exist.
        folder: PathBuf,
    },
    /// The file, or the folder around it, cannot be written.
    #[error(
        "{path} is in a place that cannot be written, and a database needs to write to its file and folder; choose another place, or change the permissions"
    )]
    ReadOnly {
        /// The path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The system does not let us reach the file.
    #[error("{path} cannot be reached; see the system's own words, and try again when it can")]
    Unreachable {
        /// The path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file holds something else than an SQLite database, or an encrypted one.
    #[error("{path} is no SQLite database, or an encrypted one; name another file")]
    NotADatabase {
        /// The path.
        path: PathBuf,
    },
    /// The file is an SQLite database of another program.
    #[error("{path} is a database of another program: it holds {}; name another file", listed(found))]
    ForeignDatabase {
        /// The path.
        path: PathBuf,
        /// What it holds that is neither ours nor the original's.
        found: Vec<String>,
    },
    /// The database is the caller's own, and our tables are guests in it.
    #[error(
        "{path} is a database of somebody's own, into which Origin Conductor was installed; open it with `SqliteStore::open_installed`"
    )]
    EmbeddedDatabase {
        /// The path.
        path: PathBuf,
    },
    /// There is no database, or one into which nothing was installed.
    #[error(
        "{path} is no database into which Origin Conductor was installed; call `install_into` with a connection to it first"
    )]
    NotEmbedded {
        /// The path.
        path: PathBuf,
    },
    /// The file is Origin Conductor's own, where nothing is to be installed.
    #[error(
        "{path} is a file of Origin Conductor's own; open it with `SqliteStore::open`, nothing is to be installed into it"
    )]
    StandaloneDatabase {
        /// The path.
        path: PathBuf,
    },
    /// Names that are kept for our tables belong to something else.
    #[error(
        "{path} holds something else under names that are kept for Origin Conductor: {}; rename it, or install into another database",
        listed(found)
    )]
    NamesInUse {
        /// The path.
        path: PathBuf,
        /// These names.
        found: Vec<String>,
    },
    /// Temporary tables or views of the connection stand before ours.
    #[error(
        "the connection to {path} has something temporary under names that are kept for Origin Conductor: {}; drop it, or use another connection",
        listed(found)
    )]
    ShadowedByTemp {
        /// The path.
        path: PathBuf,
        /// These names.
        found: Vec<String>,
    },
    /// A transaction is open on the connection.
    #[error(
        "nothing can be installed into {path} while a transaction is open on the connection; commit it or roll it back first"
    )]
    InTransaction {
        /// The path.
        path: PathBuf,
    },
    /// The caller's database has no write-ahead log, and whether it gets one is the caller's to say.
    #[error(
        "{path} is in journal mode `{mode}`, and the store reads and writes at the same time, which needs a write-ahead log; run `PRAGMA journal_mode = WAL` on it once"
    )]
    NotInWalMode {
        /// The path.
        path: PathBuf,
        /// The journal mode that it has instead.
        mode: String,
    },
    /// The file was written by a newer version.
    #[error(
        "{path} has schema version {found}, but this program knows only versions up to {known}; use a newer version of it"
    )]
    SchemaTooNew {
        /// The path.
        path: PathBuf,
        /// The version of its schema.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The file was brought to its schema by migrations that differ from those of this program.
    #[error(
        "{path} was made with other migrations than this program has: {what}; use the program that made it, or restore a backup"
    )]
    MigrationMismatch {
        /// The path.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// The file is a database of ours, but not whole.
    #[error("{path} is damaged: {what}; restore a backup")]
    Corrupt {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The file was made by the original, but holds rows that cannot be carried over.
    #[error("{path} was made by the original and cannot be adopted before this is mended: {}", problems.join("; ") + &and_more(*more))]
    LegacyDataInvalid {
        /// The path.
        path: PathBuf,
        /// What is wrong, row by row: the first of it.
        problems: Vec<String>,
        /// How much more is wrong.
        more: usize,
    },
    /// Another program holds the database for longer than the busy timeout.
    #[error("{path} is held by another program for longer than the busy timeout; try again")]
    Busy {
        /// The path.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Another process sets the database up, or began to and was stopped, for longer than the set-up timeout.
    #[error(
        "{path} is being opened or set up by another process, which has held the lock on {lock} for longer than {waited:?}; try again when it is done, or find that process and end it, but leave the lock file where it is"
    )]
    SetupInProgress {
        /// The path.
        path: PathBuf,
        /// The file that the other process holds a lock on.
        lock: PathBuf,
        /// How long was waited for it.
        waited: Duration,
    },
    /// There can be no write-ahead log where the file is.
    #[error(
        "{path} is in a place where SQLite cannot share a write-ahead log between processes (its journal mode stays `{mode}`), a network file system perhaps; put it on a disk of this machine, and open it there"
    )]
    WalUnsupported {
        /// The path.
        path: PathBuf,
        /// The journal mode that it has instead.
        mode: String,
    },
    /// The SQLite library that this program was linked with is too old.
    #[error(
        "the SQLite library has version {found}, which can corrupt a database in WAL mode; link 3.51.3 or newer"
    )]
    SqliteTooOld {
        /// Its version.
        found: String,
    },
    /// SQLite refused for any other reason.
    #[error("{path} could not be opened; see the database's own words")]
    Backend {
        /// The path.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The migrations failed.
    #[error("{path} could not be brought to the newest schema; nothing of it was changed")]
    Migration {
        /// The path.
        path: PathBuf,
        /// What failed.
        #[source]
        source: Box<refinery::Error>,
    },
}

impl OpenError {
    /// What an error of SQLite says about the file.
    pub(super) fn of_sqlite(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt { path, what: error.to_string() },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path, source: Some(error.into()) },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Busy { path, source: error.into() }
            }
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::SystemIoFailure) => {
                Self::Unreachable { path, source: error.into() }
            }
            _ => Self::Backend { path, source: error.into() },
        }
    }

    /// What an error of the store's own statements says about the file.
    pub(super) fn of_fault(path: &Path, fault: StoreError) -> Self {
        let path = path.to_path_buf();
        match fault {
            StoreError::Busy(source) => Self::Busy { path, source },
            StoreError::Io(source) => Self::Unreachable { path, source },
            fault => Self::Backend { path, source: fault.into() },
        }
    }

    /// What an error of the system says about the file.
    pub(super) fn of_system(path: &Path, error: io::Error) -> Self {
        let path = path.to_path_buf();
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { path, source: Some(error.into()) }
            }
            _ => Self::Unreachable { path, source: error.into() },
        }
    }
}

/// Some names in one line, the first five of them.
pub(in crate::sqlite) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    shown.join(", ") + &and_more(names.len().saturating_sub(SHOWN))
}

fn and_more(more: usize) -> String {
    if more == 0 { String::new() } else { format!(" and {more} more") }
}
