//! Opening, importing, upgrading and rejecting database files.

mod import;
mod import_helpers;
mod import_rejected;
mod import_trees;
mod legacy_file;
mod new;
mod processes;
mod rejected;
mod test_folder;
mod upgrade;
mod views;

/// What happens to each file of the TypeScript version before it is opened: nothing here. Another program compares two stores.
mod before_open {
    use crate::test_folder::TestFolder;

    pub(crate) fn imported(_: &TestFolder) {}

    pub(crate) fn rejected(_: &TestFolder) {}
}
