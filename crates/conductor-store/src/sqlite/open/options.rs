//! How a database is opened.

use std::time::Duration;

/// How an SQLite database is opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// How durable a commit is; [`Synchronous::Full`] by default.
    pub synchronous: Synchronous,
    /// How long a writer waits for another one; 5 seconds by default.
    pub busy_timeout: Duration,
    /// How many idle connections for readers are kept; 4 by default.
    pub readers: usize,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { synchronous: Synchronous::Full, busy_timeout: Duration::from_secs(5), readers: 4 }
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
