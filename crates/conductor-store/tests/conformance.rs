//! The SQLite store passes the conformance suite, in memory and on a file.

use conductor_conformance::{AnyStore, Fixture};
use conductor_store::SqliteStore;

mod in_memory {
    conductor_conformance::suite!(|| super::SqliteStore::open_in_memory().unwrap());
}

mod on_file {
    conductor_conformance::suite!(super::OnFile::new);
}

/// A store in a temporary folder, which is removed with it.
struct OnFile {
    store: SqliteStore,
    _folder: tempfile::TempDir,
}

impl OnFile {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("conductor.db")).unwrap();
        Self { store, _folder: folder }
    }
}

impl Fixture for OnFile {
    fn store(&self) -> &dyn AnyStore {
        &self.store
    }
}
