//! Removes what ended long ago.
//!
//! ```
//! use conductor_model::{RunDraft, Timestamp};
//! use conductor_store::{Query, Environment, SqliteStore, Store, Submit};
//! use conductor_workers::steps::{aggregate, prune};
//! # use conductor_store::Scope;
//!
//! let store = SqliteStore::open_in_memory()?;
//! let env = Environment::system();
//! let run = store.submit(&Submit::new(RunDraft::new().validate()?, &env))?.run;
//! aggregate::run_once(&store, Scope::All, &env)?;
//!
//! let an_hour_ago = env.now().minus_millis(60 * 60 * 1000);
//! assert_eq!(prune::run_once(&store, an_hour_ago)?.runs, 0);
//! assert_eq!(prune::run_once(&store, Timestamp::MAX)?.runs, 1);
//! assert_eq!(store.run(run)?, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use conductor_model::Timestamp;
use conductor_store::{Admin, Prune, StoreError};

/// What a prune came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneTotals {
    /// How many runs were removed.
    pub runs: u64,
    /// How many tasks.
    pub tasks: u64,
    /// How many events.
    pub events: u64,
    /// How many bytes the store gave back.
    pub bytes: u64,
}

/// Removes whole settled runs that ended before a moment, and gives their space back, in transactions so short that other
/// writers hardly notice.
///
/// It may be stopped, killed or run twice at once at any point: the next one goes on.
///
/// # Errors
/// [`StoreError`] of the step that failed; what the steps before it did stays done.
pub fn run_once<S: Admin + ?Sized>(store: &S, settled_before: Timestamp) -> Result<PruneTotals, StoreError> {
    let mut report = PruneTotals::default();
    loop {
        let done = store.prune(&Prune::before(settled_before))?;
        report.runs += u64::from(done.runs);
        report.tasks += u64::from(done.tasks);
        report.events += u64::from(done.events);
        report.bytes += done.bytes;
        if !done.more {
            return Ok(report);
        }
    }
}
