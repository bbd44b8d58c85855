//! The tests that the page of promises names are there.

use crate::tidy::files::Files;

const PAGE: &str = "docs/guarantees.md";

/// Every test that stands between backticks in the page must be a function in some source file.
pub(crate) fn check(files: &Files) -> Vec<String> {
    let Some(page) = files.get(PAGE) else {
        return vec![format!("{PAGE} is missing: it names what is promised, and the tests that show it.")];
    };
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).filter(|name| is_test(name)).collect();
    let is_there = |name: &&&str| files.ending(".rs").any(|file| file.text.contains(&format!("fn {name}(")));
    let missing = named.iter().filter(|name| !is_there(name));
    let mut complaints: Vec<String> = missing
        .map(|name| {
            format!("{PAGE} names the test `{name}`, which is nowhere: name the one that replaced it.")
        })
        .collect();
    if named.is_empty() {
        complaints.push(format!("{PAGE} names no test at all."));
    }
    complaints
}

/// Whether it looks like the name of a test and not like code.
fn is_test(name: &str) -> bool {
    name.contains('_')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_nowhere_is_named() {
        let page = "| `a_parent_ends` | `explain` | `it_hangs` |";
        let source = "#[test]\nfn a_parent_ends() {}\n";
        let complaints = check(&Files::from([(PAGE, page), ("crates/a/tests/a.rs", source)]));
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].contains("`it_hangs`"));
    }

    #[test]
    fn a_page_that_is_missing_or_names_nothing_is_a_complaint() {
        assert_eq!(check(&Files::default()).len(), 1);
        assert_eq!(check(&Files::from([(PAGE, "all is well")])).len(), 1);
    }
}
