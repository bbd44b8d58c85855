//! The macros of the suite list every test function of the crate: a function that is not listed never runs.

use std::fs;
use std::path::{Path, PathBuf};

/// The folders of the topics. Each has a list of the same name in `suite/`.
const FOLDERS: [&str; 5] = ["admin", "cancellation", "claims", "lifecycle", "read"];

#[test]
fn suite_lists_every_test_function() {
    let mut tests = 0;
    for folder in FOLDERS {
        let list = read(&source().join("suite").join(folder).with_extension("rs"));
        for file in files_in(&source().join(folder)) {
            let topic = file.file_stem().and_then(|stem| stem.to_str()).expect("file name is UTF-8");
            let text = read(&file);
            let functions = test_functions(&text);
            assert_eq!(functions, listed(&list, topic), "functions and list of {folder}/{topic}.rs");
            tests += functions.len();
        }
    }
    assert_eq!(tests, all_test_functions(&source()), "a test function is outside the folders {FOLDERS:?}");
    assert!(tests >= 490, "only {tests} test functions found");
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()))
}

/// The files and folders of a folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("folder of the crate is readable");
    entries.map(|entry| entry.expect("entry is readable").path()).collect()
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|path| path.is_file()).collect()
}

/// The names of the test functions in a source text, in order.
fn test_functions(text: &str) -> Vec<&str> {
    let functions =
        text.lines().filter_map(|line| line.strip_prefix("pub fn ")?.split_once("(harness: &Harness"));
    functions.map(|(name, _)| name).collect()
}

/// The names that a list gives for a topic, in order.
fn listed<'l>(list: &'l str, topic: &str) -> Vec<&'l str> {
    let names = list.split_once(&format!(" {topic} {{")).and_then(|(_, rest)| rest.split_once('}'));
    names.map_or_else(Vec::new, |(names, _)| names.split_whitespace().collect())
}

/// How many test functions a folder and the folders below it contain.
fn all_test_functions(folder: &Path) -> usize {
    let count = |path: PathBuf| {
        if path.is_dir() { all_test_functions(&path) } else { test_functions(&read(&path)).len() }
    };
    entries(folder).into_iter().map(count).sum()
}
