//! Folders and files stay so small that a reader finds a file by its name, and a rule in its file.

use std::collections::BTreeMap;

use crate::tidy::files::{File, Files};

/// The largest number of `.rs` files directly in one folder.
const MAX_FILES: usize = 15;

/// The largest number of lines of a source file.
const MAX_LINES: usize = 400;

/// The largest number of lines of a file of tests.
const MAX_LINES_OF_TESTS: usize = 600;

/// Checks the folders and files of sources, tests and examples.
pub(crate) fn check(files: &Files) -> Vec<String> {
    let mut complaints = folders(files);
    complaints.extend(files.ending(".rs").filter_map(length));
    complaints
}

fn folders(files: &Files) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for file in files.ending(".rs") {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        *counts.entry(folder).or_default() += 1;
    }
    let full = counts.into_iter().filter(|(_, count)| *count > MAX_FILES);
    full.map(|(folder, count)| {
        format!("{folder} has {count} Rust files: sort them by topic into folders of at most {MAX_FILES}.")
    })
    .collect()
}

fn length(File { path, text }: &File) -> Option<String> {
    let lines = text.lines().count();
    let limit = if is_test(path) { MAX_LINES_OF_TESTS } else { MAX_LINES };
    (lines > limit).then(|| format!("{path} has {lines} lines: split it into files of at most {limit}."))
}

/// Whether the file holds only tests, by its path. The conformance suite is made of tests.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs")
        || path.contains("/tests/")
        || path.starts_with("crates/conductor-conformance/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files_in(folder: &str, count: usize) -> Vec<String> {
        let paths: Vec<String> = (0..count).map(|number| format!("{folder}/f{number}.rs")).collect();
        let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "")).collect();
        check(&Files::of(&files))
    }

    fn lines_in(path: &str, count: usize) -> Vec<String> {
        check(&Files::from([(path, &*"// x\n".repeat(count))]))
    }

    #[test]
    fn folder_over_its_limit_is_reported() {
        for folder in ["crates/a/src", "crates/a/src/engine", "crates/a/tests", "crates/a/examples"] {
            assert!(files_in(folder, 15).is_empty(), "{folder}");
            let complaints = files_in(folder, 16);
            assert_eq!(complaints.len(), 1, "{folder}");
            assert!(complaints[0].starts_with(&format!("{folder} has 16 Rust files")), "{complaints:?}");
        }
    }

    #[test]
    fn file_over_its_limit_is_reported() {
        for (path, limit) in [
            ("crates/a/src/claim.rs", 400),
            ("crates/a/examples/quick_start.rs", 400),
            ("crates/a/tests/crash.rs", 600),
            ("crates/a/src/claim/tests.rs", 600),
            ("crates/conductor-conformance/src/claims/claim.rs", 600),
        ] {
            assert!(lines_in(path, limit).is_empty(), "{path}");
            let complaints = lines_in(path, limit + 1);
            assert_eq!(complaints.len(), 1, "{path}");
            assert!(complaints[0].starts_with(&format!("{path} has {} lines", limit + 1)), "{complaints:?}");
        }
    }
}
