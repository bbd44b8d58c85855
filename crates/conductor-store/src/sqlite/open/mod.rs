//! Opens databases: creates and migrates files, imports those of the TypeScript version, and rejects those of other programs.
//!
//! [`setup`] opens standalone files, and [`embed`] databases of the caller.

mod connect;
mod embed;
mod error;
pub(super) mod import;
mod inspect;
mod layout;
mod lock_file;
pub(super) mod migrations;
mod options;
mod path;
mod schema;
mod setup;
mod views;

pub(super) use connect::reader;
pub use embed::install_into;
pub use error::OpenError;
pub(super) use error::listed;
pub use options::{SqliteOptions, Synchronous};
pub(super) use path::locate;
pub(super) use schema::shadowing_temp_tables;

use rusqlite::Connection;
use std::path::Path;

/// Opens the connection that writes to a file. Creates the file if it does not exist.
pub(super) fn file(path: &Path, options: &SqliteOptions) -> Result<Connection, OpenError> {
    connect::check_library(rusqlite::version_number())?;
    if options.embedded { embed::open(path, options) } else { setup::open(path, options) }
}

/// Opens the connection that writes to a file which was open before. A deleted file is not created again.
pub(super) fn file_again(path: &Path, options: &SqliteOptions) -> Result<Connection, OpenError> {
    if path::has_content(path)? {
        return file(path, options);
    }
    let gone = std::io::Error::new(std::io::ErrorKind::NotFound, "the file was deleted, or is empty");
    Err(OpenError::of_io(path, gone))
}

/// Opens a database in memory.
pub(super) fn memory() -> Result<Connection, OpenError> {
    connect::check_library(rusqlite::version_number())?;
    setup::open_in_memory()
}

#[cfg(test)]
mod tests;
