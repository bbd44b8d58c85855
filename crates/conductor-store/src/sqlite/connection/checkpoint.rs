//! Checkpoints the write-ahead log while the engine is idle, so that no commit has to do it.

use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// The number of commits that makes a checkpoint worthwhile. SQLite itself waits for several times as many.
const MIN_COMMITS: u32 = 32;

/// Makes a checkpoint, if there were enough commits since the last one.
pub(crate) fn checkpoint_if_worthwhile(database: &Path, commits: &AtomicU32) {
    if commits.load(Ordering::Relaxed) < MIN_COMMITS {
        return;
    }
    commits.store(0, Ordering::Relaxed);
    // On another connection, so that the writer remains free. If this fails, a later commit makes the checkpoint and
    // reports the error.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let _ = Connection::open_with_flags(database, flags)
        .and_then(|connection| connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())));
}
