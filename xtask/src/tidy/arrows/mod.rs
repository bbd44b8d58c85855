//! The directions of dependencies: between crates, and between the files and folders of a crate.

mod circles;
mod crates;
mod modules;
mod paths;

use crate::tidy::files::Files;

/// Checks the dependencies between crates.
pub(crate) fn check_crates() -> Vec<String> {
    crates::check()
}

/// Checks the dependencies inside each crate.
pub(crate) fn check_modules(files: &Files) -> Vec<String> {
    circles::check(files)
}
