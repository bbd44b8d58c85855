//! Opening, importing, upgrading and rejecting database files.

mod import;
mod import_continues;
mod import_helpers;
mod import_rejected;
mod import_trees;
mod legacy_file;
mod new;
mod processes;
mod rejected;
mod test_folder;
mod views;
