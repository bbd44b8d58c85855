//! The tests that the page of guarantees names must exist.

use crate::tidy::files::Files;

const PAGE: &str = "docs/guarantees.md";

/// Looks up each test that the page names between backticks.
pub(crate) fn check(files: &Files) -> Vec<String> {
    let Some(page) = files.get(PAGE) else {
        return vec![format!("{PAGE} is missing: list the guarantees with the tests that prove them.")];
    };
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).filter(|name| is_test(name)).collect();
    if named.is_empty() {
        return vec![format!("{PAGE} names no test: add the tests that prove the guarantees.")];
    }
    let exists = |name: &&&str| files.ending(".rs").any(|file| file.text.contains(&format!("fn {name}(")));
    let missing = named.iter().filter(|name| !exists(name));
    missing
        .map(|name| format!("{PAGE} names the test `{name}`, which does not exist: name its replacement."))
        .collect()
}

/// Whether this looks like the name of a test.
fn is_test(name: &str) -> bool {
    name.contains('_')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_test_is_reported() {
        let page = "| `parent_settles_last` | `explain` | `it_hangs` |";
        let source = "#[test]\nfn parent_settles_last() {}\n";
        let complaints = check(&Files::from([(PAGE, page), ("crates/a/tests/a.rs", source)]));
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].starts_with(PAGE) && complaints[0].contains("`it_hangs`"), "{complaints:?}");
    }

    #[test]
    fn missing_page_and_page_without_tests_are_reported() {
        assert_eq!(check(&Files::default()).len(), 1);
        assert_eq!(check(&Files::from([(PAGE, "all is well")])).len(), 1);
    }
}
