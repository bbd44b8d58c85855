//! The path of a database file.
//!
//! This module never opens an existing database file. When a process closes any handle of a file, the system releases
//! all its POSIX locks on the file, including those of SQLite.

use super::OpenError;
use crate::sqlite::connection::files;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Returns the canonical path of a file. The lock file and the files of SQLite are beside it.
pub(crate) fn locate(path: &Path) -> Result<PathBuf, OpenError> {
    if path.as_os_str().is_empty() {
        return Err(OpenError::EmptyPath);
    }
    let path = std::path::absolute(path).map_err(|error| OpenError::of_io(path, error))?;
    match fs::canonicalize(&path) {
        Ok(real) => existing_file(real),
        Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
            Err(OpenError::of_io(&path, error))
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            new_file(path)
        }
        Err(error) => Err(OpenError::of_io(&path, error)),
    }
}

fn existing_file(path: PathBuf) -> Result<PathBuf, OpenError> {
    match fs::metadata(&path) {
        Ok(found) if found.is_file() => Ok(path),
        Ok(found) if found.is_dir() => Err(OpenError::Directory { path }),
        Ok(_) => Err(OpenError::NotAFile { path }),
        Err(error) => Err(OpenError::of_io(&path, error)),
    }
}

fn new_file(path: PathBuf) -> Result<PathBuf, OpenError> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(OpenError::Directory { path });
    };
    match fs::canonicalize(folder) {
        Ok(real) if real.is_dir() => Ok(real.join(name)),
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(OpenError::of_io(&path, error))
        }
        Ok(_) | Err(_) => Err(OpenError::MissingFolder { folder: folder.to_path_buf(), path }),
    }
}

/// Whether there is a file with content. An empty file counts as missing.
pub(super) fn has_content(path: &Path) -> Result<bool, OpenError> {
    match fs::metadata(path) {
        // SQLite would treat a file of one byte as empty, and overwrite it.
        Ok(found) if found.len() == 1 => Err(OpenError::NotADatabase { path: path.into() }),
        Ok(found) => Ok(found.len() > 0),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(OpenError::of_io(path, error)),
    }
}

/// Creates an empty file that only its owner can read, if it does not exist. SQLite gives its own files beside it the same
/// permissions.
pub(super) fn create(path: &Path) -> Result<(), OpenError> {
    match files::private().write(true).create_new(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(OpenError::of_io(path, error)),
    }
}
