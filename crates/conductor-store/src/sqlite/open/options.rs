//! How a database is opened.

use std::time::Duration;

/// How an SQLite database is opened.
///
/// ```
/// use conductor_store::{SqliteOptions, Synchronous};
/// use std::time::Duration;
///
/// let options = SqliteOptions::default()
///     .synchronous(Synchronous::Normal)
///     .busy_timeout(Duration::from_secs(30))
///     .setup_timeout(Duration::from_mins(10))
///     .readers(8);
/// assert_eq!(options.readers, 8);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// How durable a commit is; [`Synchronous::Full`] by default.
    pub synchronous: Synchronous,
    /// How long a writer waits for another one; 5 seconds by default. More than 24 days count as 24 days.
    pub busy_timeout: Duration,
    /// How long opening waits while another process makes the file, migrates it or adopts it; 60 seconds by
    /// default. Apart from the busy timeout, for these take as long as the file is large.
    pub setup_timeout: Duration,
    /// How many idle connections for readers are kept; 4 by default.
    pub readers: usize,
    /// Whether the database is the caller's own, with tables of ours that
    /// [`install_into`](crate::sqlite::install_into) made; no by default.
    pub installed: bool,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            synchronous: Synchronous::Full,
            busy_timeout: Duration::from_secs(5),
            setup_timeout: Duration::from_mins(1),
            readers: 4,
            installed: false,
        }
    }
}

impl SqliteOptions {
    /// The same options with that durability.
    pub fn synchronous(self, synchronous: Synchronous) -> Self {
        Self { synchronous, ..self }
    }

    /// The same options with that busy timeout.
    pub fn busy_timeout(self, busy_timeout: Duration) -> Self {
        Self { busy_timeout, ..self }
    }

    /// The same options with that timeout for the set-up by another process.
    pub fn setup_timeout(self, setup_timeout: Duration) -> Self {
        Self { setup_timeout, ..self }
    }

    /// The same options with that many idle connections for readers.
    pub fn readers(self, readers: usize) -> Self {
        Self { readers, ..self }
    }

    /// The same options for a database of the caller's own, into which we were installed: see
    /// [`SqliteStore::open_embedded`](crate::SqliteStore::open_embedded).
    pub fn embedded(self, installed: bool) -> Self {
        Self { installed, ..self }
    }

    /// The busy timeout as SQLite takes it.
    pub(in crate::sqlite) fn patience(&self) -> Duration {
        at_most(self.busy_timeout)
    }
}

/// A timeout as SQLite takes it: milliseconds in 31 bits.
pub(super) fn at_most(timeout: Duration) -> Duration {
    timeout.min(Duration::from_millis(i32::MAX.unsigned_abs().into()))
}

/// How durable a commit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// A commit survives a crash of the process, not always a loss of power.
    Normal,
    /// Acknowledged means it survives power loss.
    #[default]
    Full,
}

impl Synchronous {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "NORMAL",
            Self::Full => "FULL",
        }
    }
}
