//! Checkpoints the write-ahead log while the engine is idle, so that no commit has to do it.

use super::SqliteStore;
use rusqlite::{Connection, OpenFlags};
use std::sync::atomic::Ordering;

/// After so many commits of this store it is worth the while: SQLite itself does it after a few times as many.
const COMMITS: u32 = 32;

impl SqliteStore {
    pub(super) fn checkpoint_if_worthwhile(&self) {
        let Some(path) = &self.path else { return };
        if self.commits.load(Ordering::Relaxed) < COMMITS {
            return;
        }
        self.commits.store(0, Ordering::Relaxed);
        // On another connection, so that the writer remains free. If this fails, a later commit makes the checkpoint and
        // reports the error.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let _ = Connection::open_with_flags(path, flags)
            .and_then(|connection| connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())));
    }
}
