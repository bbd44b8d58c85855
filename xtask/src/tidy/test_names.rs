//! Names of tests: `topic_condition_result`, short, and without the words that the prose does not use.

use crate::tidy::{
    files::{File, Files},
    lexer::{Attribute, attributes, code_only},
    words::BANNED,
};

/// The largest number of words in a name.
const MAX_WORDS: usize = 8;

/// The conformance suite, whose public functions are tests.
const SUITE: &str = "crates/conductor-conformance/src/";

/// The parts of the suite that are not tests.
const NOT_TESTS: [&str; 4] = ["lib.rs", "replays.rs", "harness/", "suite/"];

/// Checks the name of every test.
pub(crate) fn check(files: &Files) -> Vec<String> {
    files.ending(".rs").flat_map(file).collect()
}

fn file(File { path, text }: &File) -> Vec<String> {
    let code = code_only(text);
    let mut names = tests(&code);
    if path.strip_prefix(SUITE).is_some_and(|path| !NOT_TESTS.iter().any(|part| path.starts_with(part))) {
        names.extend(suite(&code));
    }
    names.into_iter().filter_map(|(line, name)| complaint(path, line, name)).collect()
}

/// Returns line and name of each function with the attribute `test`.
fn tests(code: &str) -> Vec<(usize, &str)> {
    let is_test = |attribute: &Attribute<'_>| attribute.text == "#[test]";
    let named = |Attribute { line, rest, .. }| Some((line, function(rest)?));
    attributes(code).into_iter().filter(is_test).filter_map(named).collect()
}

/// Returns line and name of each public function that is not inside another item.
fn suite(code: &str) -> Vec<(usize, &str)> {
    let lines = code.lines().enumerate().filter(|(_, line)| line.starts_with("pub fn "));
    lines.filter_map(|(at, line)| Some((at + 1, function(line)?))).collect()
}

/// Returns the name of the first function in this code.
fn function(code: &str) -> Option<&str> {
    let (before, after) = code.split_once("fn ")?;
    let is_next = !before.contains(['{', ';']);
    after.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|_| is_next)
}

fn complaint(path: &str, line: usize, name: &str) -> Option<String> {
    let words: Vec<&str> = name.split('_').collect();
    if words.len() > MAX_WORDS {
        let count = words.len();
        return Some(format!("{path}:{line}: `{name}` has {count} words: use at most {MAX_WORDS}."));
    }
    let banned = words.into_iter().find(|word| BANNED.contains(word))?;
    Some(format!("{path}:{line}: name the test `{name}` without the word `{banned}`."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIMS: &str = "crates/conductor-conformance/src/claims/claim.rs";

    fn complaints(path: &str, text: &str) -> Vec<String> {
        check(&Files::from([(path, text)]))
    }

    #[test]
    fn name_over_eight_words_is_reported() {
        let eight = "a_b_c_d_e_f_g_8";
        for attributes in ["#[test]", "#[test]\n#[should_panic(expected = \"x\")]", "#[cfg(unix)]\n#[test]"] {
            let of =
                |name: &str| complaints("crates/a/tests/a.rs", &format!("{attributes}\nfn {name}() {{}}\n"));
            assert!(of(eight).is_empty(), "{attributes}");
            assert_eq!(of(&format!("{eight}_h")).len(), 1, "{attributes}");
        }
    }

    #[test]
    fn functions_of_the_suite_are_tests() {
        let text = "pub fn a_b_c_d_e_f_g_h_i(store: &Store) {}\nfn helper_b_c_d_e_f_g_h_i() {}\n";
        assert_eq!(complaints(CLAIMS, text).len(), 1);
        for path in ["crates/conductor-conformance/src/harness/mod.rs", "crates/conductor-store/src/claim.rs"]
        {
            assert!(complaints(path, text).is_empty(), "{path}");
        }
    }

    #[test]
    fn banned_word_is_reported() {
        for word in BANNED {
            let complaints = complaints(CLAIMS, &format!("\n#[test]\nfn {word}_waits() {{}}\n"));
            assert_eq!(complaints.len(), 1, "{word}");
            assert!(complaints[0].starts_with(&format!("{CLAIMS}:2: ")), "{complaints:?}");
        }
    }
}
