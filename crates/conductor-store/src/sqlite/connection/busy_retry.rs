//! Retries while another connection holds a lock.

use std::time::{Duration, Instant};

/// The time between two attempts, at first and after [`LONG_LOCK`].
const RETRY_EVERY: [Duration; 2] = [Duration::from_micros(200), Duration::from_millis(1)];
/// A lock that lasts longer than this probably lasts much longer.
const LONG_LOCK: Duration = Duration::from_millis(100);

/// Retries an attempt while the database is busy, until the timeout. The busy handler of SQLite sleeps for up to a tenth of a
/// second. Beside another process that writes nearly all the time, it rarely wakes while the lock is free.
pub(crate) fn retry_while_busy<T>(
    busy_timeout: Duration,
    attempt: impl Fn() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let started = Instant::now();
    loop {
        let outcome = attempt();
        let waited = started.elapsed();
        if !outcome.as_ref().is_err_and(is_busy) || waited > busy_timeout {
            return outcome;
        }
        std::thread::sleep(RETRY_EVERY[usize::from(waited > LONG_LOCK)]);
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked))
}
