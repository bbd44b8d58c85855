//! Waiting for what another connection has.

use std::time::{Duration, Instant};

/// How often it is tried again, at first and after [`SOON`].
const TRY_EVERY: [Duration; 2] = [Duration::from_micros(200), Duration::from_millis(1)];
/// A lock that lasts longer than this probably lasts much longer.
const SOON: Duration = Duration::from_millis(100);

/// Tries again while it is busy, for so long. The busy handler of SQLite sleeps for up to a tenth of a second. Beside
/// another process that writes nearly all the time, it rarely wakes while the lock is free.
pub(super) fn patiently<T>(
    patience: Duration,
    attempt: impl Fn() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let started = Instant::now();
    loop {
        let outcome = attempt();
        let waited = started.elapsed();
        if !outcome.as_ref().is_err_and(is_busy) || waited > patience {
            return outcome;
        }
        std::thread::sleep(TRY_EVERY[usize::from(waited > SOON)]);
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked))
}
