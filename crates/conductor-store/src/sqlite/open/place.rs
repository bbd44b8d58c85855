//! Where a database is: the file, the folder, and the lock beside it.
//!
//! This module never opens an existing database file. When a process closes any handle of a file, the system releases
//! all its POSIX locks on the file, including those of SQLite.

use super::OpenError;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Returns the canonical path of a file. The lock file and the files of SQLite are beside it.
pub(super) fn locate(path: &Path) -> Result<PathBuf, OpenError> {
    if path.as_os_str().is_empty() {
        return Err(OpenError::EmptyPath);
    }
    let path = std::path::absolute(path).map_err(|error| OpenError::of_system(path, error))?;
    match fs::canonicalize(&path) {
        Ok(real) => existing(real),
        Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
            Err(OpenError::of_system(&path, error))
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => missing(path),
        Err(error) => Err(OpenError::of_system(&path, error)),
    }
}

fn existing(path: PathBuf) -> Result<PathBuf, OpenError> {
    match fs::metadata(&path) {
        Ok(found) if found.is_file() => Ok(path),
        Ok(found) if found.is_dir() => Err(OpenError::Directory { path }),
        Ok(_) => Err(OpenError::NotAFile { path }),
        Err(error) => Err(OpenError::of_system(&path, error)),
    }
}

fn missing(path: PathBuf) -> Result<PathBuf, OpenError> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(OpenError::Directory { path });
    };
    match fs::canonicalize(folder) {
        Ok(real) if real.is_dir() => Ok(real.join(name)),
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(OpenError::of_system(&path, error))
        }
        Ok(_) | Err(_) => Err(OpenError::MissingFolder { folder: folder.to_path_buf(), path }),
    }
}

/// Whether there is a file with content; an empty one is as good as none.
pub(super) fn has_content(path: &Path) -> Result<bool, OpenError> {
    match fs::metadata(path) {
        // SQLite takes a file of one byte for an empty one, and would write over it.
        Ok(found) if found.len() == 1 => Err(OpenError::NotADatabase { path: path.into() }),
        Ok(found) => Ok(found.len() > 0),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(OpenError::of_system(path, error)),
    }
}

/// Makes an empty file, readable by its owner alone, if there is none. SQLite gives its own files beside it the
/// same permissions.
pub(super) fn make(path: &Path) -> Result<(), OpenError> {
    match private().write(true).create_new(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(OpenError::of_system(path, error)),
    }
}

/// A lock on a file beside the database, which goes with this value, and with the process.
///
/// The file stays: deleting it could break the lock of a process that waits for it.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until no process sets the database up. `None` if the lock file does not exist, so that no process does.
    pub(super) fn shared(path: &Path, patience: Duration) -> Result<Option<Self>, OpenError> {
        let lock = beside(path, "-conductor.lock");
        let file = match File::open(&lock) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OpenError::of_system(&lock, error)),
        };
        wait(path, lock, patience, || file.try_lock_shared())?;
        Ok(Some(Self { _file: file }))
    }

    /// Waits until no other process opens or sets up the database.
    pub(super) fn exclusive(path: &Path, patience: Duration) -> Result<Self, OpenError> {
        let lock = beside(path, "-conductor.lock");
        let file = private().read(true).write(true).create(true).truncate(false).open(&lock);
        let file = file.map_err(|error| cannot_make(path, error))?;
        wait(path, lock, patience, || file.try_lock())?;
        Ok(Self { _file: file })
    }
}

/// Tries again until the lock is had: the system's own waiting has no end, and a process that was stopped keeps its
/// locks.
fn wait(
    path: &Path,
    lock: PathBuf,
    patience: Duration,
    attempt: impl Fn() -> Result<(), TryLockError>,
) -> Result<(), OpenError> {
    let started = Instant::now();
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if started.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::SetupInProgress { path: path.into(), lock, waited: patience });
            }
            Err(TryLockError::Error(error)) => return Err(OpenError::of_system(&lock, error)),
        }
    }
}

/// The folder was there a moment ago: if it takes no new file, it is one like `/proc`.
fn cannot_make(path: &Path, error: io::Error) -> OpenError {
    if error.kind() == ErrorKind::NotFound {
        return OpenError::ReadOnly { path: path.to_path_buf(), source: Some(error.into()) };
    }
    OpenError::of_system(path, error)
}

/// The path of a file that stands beside the database.
pub(in crate::sqlite) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    PathBuf::from(name)
}

/// Options that make a file which its owner alone can read.
pub(in crate::sqlite) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
