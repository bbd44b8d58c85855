//! The lock file beside a database: one process at a time sets up the database.

use super::OpenError;
use crate::sqlite::connection::files;
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A locked file. Dropping it, or the end of the process, releases the lock.
///
/// The file is not deleted, because that could break the lock of a process that waits for it.
#[derive(Debug)]
pub(super) struct LockFile {
    _file: File,
}

impl LockFile {
    /// Waits while another process sets up the database. `None` if no process does, because the file does not exist.
    pub(super) fn shared(path: &Path, timeout: Duration) -> Result<Option<Self>, OpenError> {
        let lock = files::beside(path, "-conductor.lock");
        let file = match File::open(&lock) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OpenError::of_io(&lock, error)),
        };
        wait(path, lock, timeout, || file.try_lock_shared())?;
        Ok(Some(Self { _file: file }))
    }

    /// Waits until no other process opens or sets up the database.
    pub(super) fn exclusive(path: &Path, timeout: Duration) -> Result<Self, OpenError> {
        let lock = files::beside(path, "-conductor.lock");
        let file = files::private().read(true).write(true).create(true).truncate(false).open(&lock);
        let file = file.map_err(|error| cannot_create(path, error))?;
        wait(path, lock, timeout, || file.try_lock())?;
        Ok(Self { _file: file })
    }
}

/// Retries until the file is locked. The system itself would wait without a limit, and a suspended process keeps its locks.
fn wait(
    path: &Path,
    lock: PathBuf,
    timeout: Duration,
    attempt: impl Fn() -> Result<(), TryLockError>,
) -> Result<(), OpenError> {
    let started = Instant::now();
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if started.elapsed() < timeout => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::SetupInProgress { path: path.into(), lock, waited: timeout });
            }
            Err(TryLockError::Error(error)) => return Err(OpenError::of_io(&lock, error)),
        }
    }
}

/// The folder exists. A folder like `/proc` accepts no new file.
fn cannot_create(path: &Path, error: io::Error) -> OpenError {
    if error.kind() == ErrorKind::NotFound {
        return OpenError::ReadOnly { path: path.to_path_buf(), source: Some(error.into()) };
    }
    OpenError::of_io(path, error)
}
