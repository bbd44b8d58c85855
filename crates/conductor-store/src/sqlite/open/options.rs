//! Options for opening a database.

use std::time::Duration;

/// Options for opening an SQLite database.
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
    /// The durability of a commit. Default: [`Synchronous::Full`].
    pub synchronous: Synchronous,
    /// How long a writer waits for another writer. Default: 5 seconds; at most 24 days.
    pub busy_timeout: Duration,
    /// How long opening waits while another process creates, migrates or imports the file. Default: 60 seconds; at most 24
    /// days. Migrations and imports take longer for larger files.
    pub setup_timeout: Duration,
    /// The largest number of idle reading connections that the store keeps. Default: 4.
    pub readers: usize,
    /// Whether the tables are embedded in a database of the caller: see [`install_into`](crate::sqlite::install_into).
    /// Default: no.
    pub embedded: bool,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            synchronous: Synchronous::Full,
            busy_timeout: Duration::from_secs(5),
            setup_timeout: Duration::from_mins(1),
            readers: 4,
            embedded: false,
        }
    }
}

impl SqliteOptions {
    /// Sets the durability of a commit.
    pub fn synchronous(self, synchronous: Synchronous) -> Self {
        Self { synchronous, ..self }
    }

    /// Sets how long a writer waits for another writer.
    pub fn busy_timeout(self, busy_timeout: Duration) -> Self {
        Self { busy_timeout, ..self }
    }

    /// Sets how long opening waits for another process that creates, migrates or imports the file.
    pub fn setup_timeout(self, setup_timeout: Duration) -> Self {
        Self { setup_timeout, ..self }
    }

    /// Sets the largest number of idle reading connections.
    pub fn readers(self, readers: usize) -> Self {
        Self { readers, ..self }
    }

    /// Sets whether the tables are embedded in a database of the caller: see
    /// [`SqliteStore::open_embedded`](crate::SqliteStore::open_embedded).
    pub fn embedded(self, embedded: bool) -> Self {
        Self { embedded, ..self }
    }

    /// The busy timeout, limited to what SQLite supports.
    pub(crate) fn supported_busy_timeout(&self) -> Duration {
        supported(self.busy_timeout)
    }
}

/// Limits a timeout to what SQLite supports: milliseconds in 31 bits.
pub(super) fn supported(timeout: Duration) -> Duration {
    timeout.min(Duration::from_millis(i32::MAX.unsigned_abs().into()))
}

/// The durability of a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// A commit survives a crash of the process, but not always a power failure.
    Normal,
    /// A commit survives a power failure.
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
