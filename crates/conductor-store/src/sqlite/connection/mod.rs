//! Talks to SQLite: statements, transactions, waits. It knows no runs and no tasks.

pub(crate) mod busy_retry;
pub(crate) mod checkpoint;
pub(crate) mod files;
pub(crate) mod sql;
pub(crate) mod transaction;
#[cfg(target_os = "linux")]
pub(crate) mod wal_watch;
