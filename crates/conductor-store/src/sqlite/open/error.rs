//! Errors of opening a database, and of installing tables into one.

use crate::StoreError;
use rusqlite::ErrorCode;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The database was not opened, or nothing was installed into it.
///
/// A rejected file keeps its bytes, and the store leaves no lock file or log beside it. If a killed program has left a
/// log, SQLite may create a new index of that log (`-shm`).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The path is empty. SQLite would open a temporary database.
    #[error("the path of the database is empty; name a file, or open a database in memory")]
    EmptyPath,
    /// The path names a directory.
    #[error("{path} is a directory; name a file in it")]
    Directory {
        /// The path.
        path: PathBuf,
    },
    /// The path names a device, a pipe or a socket.
    #[error("{path} is not a regular file; name a regular file or a new path")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The directory of the file does not exist.
    #[error("cannot create {path}: the directory {folder} {}", missing(folder))]
    MissingFolder {
        /// The path.
        path: PathBuf,
        /// The missing directory.
        folder: PathBuf,
    },
    /// The file or its directory cannot be written.
    #[error(
        "cannot write to {path} or its directory, and a database needs both; change the permissions, or choose another path"
    )]
    ReadOnly {
        /// The path.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The system cannot read the file.
    #[error("cannot access {path}; see the error of the system below")]
    Unreachable {
        /// The path.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file is not an SQLite database, or it is encrypted.
    #[error("{path} is not an SQLite database, or it is encrypted; name another file")]
    NotADatabase {
        /// The path.
        path: PathBuf,
    },
    /// The file is an SQLite database of another program.
    #[error("{path} is a database of another program: it has {}; name another file", listed(found))]
    ForeignDatabase {
        /// The path.
        path: PathBuf,
        /// The tables and views that belong neither to Origin Conductor nor to its TypeScript version.
        found: Vec<String>,
    },
    /// The database belongs to the caller, and the tables of Origin Conductor are embedded in it.
    #[error(
        "{path} is a database of another program with embedded tables of Origin Conductor; open it with `SqliteStore::open_embedded`"
    )]
    EmbeddedDatabase {
        /// The path.
        path: PathBuf,
    },
    /// The database does not exist, or has no embedded tables of Origin Conductor.
    #[error(
        "{path} has no embedded tables of Origin Conductor; call `install_into` with a connection to it first"
    )]
    NotEmbedded {
        /// The path.
        path: PathBuf,
    },
    /// The file is a standalone database of Origin Conductor, so that nothing can be installed into it.
    #[error(
        "{path} is a standalone database of Origin Conductor; open it with `SqliteStore::open`, and install nothing into it"
    )]
    StandaloneDatabase {
        /// The path.
        path: PathBuf,
    },
    /// Other tables or views of the database have names that are reserved for Origin Conductor.
    #[error(
        "{path} has other tables or views with names that are reserved for Origin Conductor: {}; rename them, or install into another database",
        listed(found)
    )]
    NamesInUse {
        /// The path.
        path: PathBuf,
        /// The names.
        found: Vec<String>,
    },
    /// Temporary tables or views of the connection hide the tables of Origin Conductor.
    #[error(
        "temporary tables or views of the connection to {path} have names that are reserved for Origin Conductor: {}; drop them, or use another connection",
        listed(found)
    )]
    ShadowedByTemp {
        /// The path.
        path: PathBuf,
        /// The names.
        found: Vec<String>,
    },
    /// A transaction is open on the connection.
    #[error(
        "cannot install into {path} while a transaction is open on the connection; commit it or roll it back first"
    )]
    InTransaction {
        /// The path.
        path: PathBuf,
    },
    /// The database of the caller is not in WAL mode. The store does not change the mode of a foreign database.
    #[error(
        "{path} is in journal mode `{mode}`, but the store needs a write-ahead log; run `PRAGMA journal_mode = WAL` on it once"
    )]
    NotInWalMode {
        /// The path.
        path: PathBuf,
        /// Its journal mode.
        mode: String,
    },
    /// The file was written by a newer version.
    #[error(
        "{path} has schema version {found}, but this program supports only versions up to {known}; use a newer program"
    )]
    SchemaTooNew {
        /// The path.
        path: PathBuf,
        /// The version of its schema.
        found: i64,
        /// The newest version that this program supports.
        known: i64,
    },
    /// The migrations of the file differ from those of this program.
    #[error(
        "the migrations of {path} differ from those of this program: {what}; use the program that created it, or restore a backup"
    )]
    MigrationMismatch {
        /// The path.
        path: PathBuf,
        /// The difference.
        what: String,
    },
    /// The file is a database of Origin Conductor, but it is damaged.
    #[error("{path} is damaged: {what}; restore a backup")]
    Corrupt {
        /// The path.
        path: PathBuf,
        /// The damage.
        what: String,
    },
    /// The TypeScript version created the file, and some of its rows cannot be imported.
    #[error("cannot import {path} from the TypeScript version before these rows are corrected: {}", problems.join("; ") + &and_more(*more))]
    LegacyDataInvalid {
        /// The path.
        path: PathBuf,
        /// The first faults, one per row.
        problems: Vec<String>,
        /// The number of further faults.
        more: usize,
    },
    /// Another program locked the database for longer than the busy timeout.
    #[error("{path} is busy: another program locked it for longer than the busy timeout; try again")]
    Busy {
        /// The path.
        path: PathBuf,
        /// The error of SQLite.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Another process is opening the database for longer than the setup timeout. It may hang, or be suspended.
    #[error(
        "another process is opening {path}, and has locked {lock} for longer than {waited:?}; try again later, or end that process, but do not delete the lock file"
    )]
    SetupInProgress {
        /// The path.
        path: PathBuf,
        /// The file that the other process has locked.
        lock: PathBuf,
        /// The time that the store waited.
        waited: Duration,
    },
    /// The file system does not support a write-ahead log.
    #[error(
        "SQLite cannot use a write-ahead log for {path} (its journal mode stays `{mode}`); a network file system may be the cause; move the file to a local disk"
    )]
    WalUnsupported {
        /// The path.
        path: PathBuf,
        /// Its journal mode.
        mode: String,
    },
    /// The SQLite library of this program is too old.
    #[error(
        "the SQLite library has version {found}, which can corrupt a database in WAL mode; link version 3.51.3 or newer"
    )]
    SqliteTooOld {
        /// Its version.
        found: String,
    },
    /// Any other error of SQLite.
    #[error("cannot open {path}; see the error of SQLite below")]
    Backend {
        /// The path.
        path: PathBuf,
        /// The error of SQLite.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A migration failed.
    #[error("cannot migrate {path} to the newest schema; nothing was changed; see the error below")]
    Migration {
        /// The path.
        path: PathBuf,
        /// The error of the migration.
        #[source]
        source: Box<refinery::Error>,
    },
}

impl OpenError {
    /// Maps an error of SQLite.
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

    /// Maps an error of a statement of the store.
    pub(super) fn of_store(path: &Path, error: StoreError) -> Self {
        let path = path.to_path_buf();
        match error {
            StoreError::Busy(source) => Self::Busy { path, source },
            StoreError::Io(source) => Self::Unreachable { path, source },
            error => Self::Backend { path, source: error.into() },
        }
    }

    /// Maps an error of the system.
    pub(super) fn of_io(path: &Path, error: io::Error) -> Self {
        let path = path.to_path_buf();
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { path, source: Some(error.into()) }
            }
            _ => Self::Unreachable { path, source: error.into() },
        }
    }
}

/// Says why a directory is missing: no directory can be created below a file.
fn missing(folder: &Path) -> String {
    match folder.ancestors().find(|path| path.is_file()) {
        Some(file) => format!("cannot exist, because {} is a file; choose another path", file.display()),
        None => "does not exist; create it first".into(),
    }
}

/// Joins the first five names to one line.
pub(crate) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    shown.join(", ") + &and_more(names.len().saturating_sub(SHOWN))
}

fn and_more(more: usize) -> String {
    if more == 0 { String::new() } else { format!(" and {more} more") }
}
