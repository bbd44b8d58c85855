//! Conventions of the Rust sources that neither rustc nor clippy checks.

use crate::tidy::{
    files::{File, Files},
    lexer::{Attribute, attributes, code_only, lines_with, without_tests},
};

/// The conformance suite, which is made of tests.
const SUITE: &str = "crates/conductor-conformance/src/";

/// Checks every Rust file.
pub(crate) fn check(files: &Files) -> Vec<String> {
    files.ending(".rs").flat_map(source).collect()
}

fn source(file: &File) -> Vec<String> {
    let code = code_only(&file.text);
    let mut complaints = Vec::new();
    complaints.extend(documentation(file));
    complaints.extend(lints(&file.path, &code));
    complaints.extend(leftovers(&file.path, &code));
    if is_library(&file.path) {
        complaints.extend(unwraps(&file.path, &without_tests(&code)));
    }
    complaints
}

/// Whether a panic in this file would end the program of a user.
fn is_library(path: &str) -> bool {
    in_src(path) && path.starts_with("crates/") && !is_test(path)
}

fn in_src(path: &str) -> bool {
    path.starts_with("xtask/src/") || path.starts_with("crates/") && path.split('/').nth(2) == Some("src")
}

/// Whether the file holds only tests, by its name.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.starts_with(SUITE)
}

fn documentation(File { path, text }: &File) -> Option<String> {
    let is_root = in_src(path) && (path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs"));
    let lacks = is_root && !text.trim_start().starts_with("//!");
    lacks.then(|| format!("{path} must begin with a `//!` comment that describes the crate: write it."))
}

fn lints(path: &str, code: &str) -> Vec<String> {
    let complaint = |Attribute { line, text, .. }: Attribute<'_>| {
        let has_reason = text.contains("reason =");
        if !lines_with(text, "allow(").is_empty() {
            if is_shared(path) && has_reason {
                return None;
            }
            Some(format!(
                "{path}:{line}: write `expect(…, reason = \"…\")` instead of `allow(…)`, which stays when it is no \
                 longer needed."
            ))
        } else if !lines_with(text, "expect(").is_empty() && !has_reason {
            Some(format!("{path}:{line}: give this `expect` its `reason = \"…\"`."))
        } else {
            None
        }
    };
    attributes(code).into_iter().filter_map(complaint).collect()
}

/// Whether several test programs compile the file. What one of them does not use, another one does, so `expect` fails.
fn is_shared(path: &str) -> bool {
    path.ends_with("/tests/support/mod.rs")
}

fn leftovers(path: &str, code: &str) -> Vec<String> {
    let complaints = ["todo!", "unimplemented!", "dbg!"].into_iter().flat_map(|name| {
        let complaint = move |line| format!("{path}:{line}: finish this and remove `{name}`.");
        lines_with(code, name).into_iter().map(complaint)
    });
    complaints.collect()
}

fn unwraps(path: &str, code: &str) -> Vec<String> {
    let complaint = |line| {
        format!(
            "{path}:{line}: return an error instead of `unwrap()`, or give the reason why it cannot fail with `expect`."
        )
    };
    lines_with(code, ".unwrap()").into_iter().map(complaint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = "crates/conductor-store/src/lib.rs";
    const CLAIM: &str = "crates/conductor-store/src/claim.rs";

    fn complaints(path: &str, text: &str) -> Vec<String> {
        check(&Files::from([(path, text)]))
    }

    #[track_caller]
    fn one(path: &str, text: &str, part: &str) {
        let complaints = complaints(path, text);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].starts_with(path) && complaints[0].contains(part), "{complaints:?}");
    }

    #[test]
    fn crate_without_description_is_reported() {
        one(LIB, "fn f() {}\n", "//!");
        one("xtask/src/main.rs", "// A comment.\nfn main() {}\n", "//!");
        assert!(complaints(LIB, "//! A crate.\n").is_empty());
        assert!(complaints(CLAIM, "fn f() {}\n").is_empty());
    }

    #[test]
    fn allow_and_expect_without_reason_are_reported() {
        one(CLAIM, "\n#[allow(dead_code, reason = \"\")]\nfn f() {}\n", ":2: write `expect(");
        one(CLAIM, "#![cfg_attr(test, allow(x))]\n", "instead of `allow");
        one(CLAIM, "#[expect(dead_code)]\nfn f() {}\n", "reason");
        assert!(complaints(CLAIM, "#[expect(\n    x,\n    reason = \"y\"\n)]\nfn f() {}\n").is_empty());
        assert!(complaints(CLAIM, "#[should_panic(expected = \"y\")]\nfn f() {}\n").is_empty());
        let shared = "crates/conductor-store/tests/support/mod.rs";
        assert!(complaints(shared, "#![allow(dead_code, reason = \"y\")]\n").is_empty());
        one(shared, "#![allow(dead_code)]\n", ":1: write `expect(");
        assert!(complaints(CLAIM, "// #[allow(x)]\nfn allow() { allow(1) }\n").is_empty());
    }

    #[test]
    fn unfinished_code_is_reported() {
        for name in ["todo", "unimplemented", "dbg"] {
            one("crates/conductor-store/tests/crash.rs", &format!("fn f() {{ {name}!() }}\n"), name);
            assert!(complaints(CLAIM, &format!("// {name}!\nconst A: &str = \"{name}!\";\n")).is_empty());
        }
    }

    #[test]
    fn unwrap_in_a_library_is_reported() {
        one(CLAIM, "/// x.unwrap()\nfn f() { x.unwrap() }\n", ":2: return an error");
        one(CLAIM, "#[cfg(test)]\nmod tests { fn f() {} }\nfn g() { x.unwrap() }\n", ":3:");
        assert!(complaints(CLAIM, "#[cfg(test)]\nmod tests {\n fn f() { x.unwrap() }\n}\n").is_empty());
        let code = "fn f() { x.unwrap() }\n";
        for path in [
            "crates/conductor-conformance/src/claims.rs",
            "crates/conductor-store/src/claim/tests.rs",
            "crates/conductor-store/tests/crash.rs",
            "crates/conductor-store/benches/layout.rs",
            "xtask/src/ci.rs",
        ] {
            assert!(complaints(path, code).is_empty(), "{path}");
        }
    }

    #[test]
    fn each_complaint_of_a_file_is_reported() {
        assert_eq!(complaints(LIB, "fn f() { x.unwrap(); x.unwrap(); todo!() }\n").len(), 4);
    }
}
