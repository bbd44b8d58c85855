//! The SQLite store keeps every promise of the suite, in memory and on a file.

use conductor_conformance::{AnyStore, Fixture};
use conductor_store::SqliteStore;

mod in_memory {
    conductor_conformance::suite!(|| super::SqliteStore::open_in_memory().unwrap());
}

mod on_a_file {
    conductor_conformance::suite!(super::OnFile::new);
}

/// A store in a folder that goes with it.
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

/// A promise that the suite does not list is a promise that nobody tries.
#[test]
fn the_suite_lists_every_promise() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../conductor-conformance/src");
    let list = ["suite.rs", "suite_of_ends.rs"]
        .map(|list| std::fs::read_to_string(format!("{folder}/{list}")).unwrap())
        .concat();
    let mut promises = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let topic = path.file_stem().unwrap().to_str().unwrap();
        let names = text.lines().filter_map(|line| line.strip_prefix("pub fn ")?.split_once("(world"));
        let names: Vec<_> = names.map(|(name, _)| name).collect();
        let listed = list.split_once(&format!(" {topic}:")).map_or("", |(_, rest)| rest);
        let listed: Vec<_> = listed.split(';').next().unwrap_or("").split_whitespace().collect();
        assert_eq!(names, listed, "{topic}, as it is and as it is listed");
        promises += names.len();
    }
    assert!(promises > 100, "{promises}");
}
