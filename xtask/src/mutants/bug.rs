//! A bug of the lists, and the test that must catch it.

use std::{fmt, time::Duration};

/// A realistic mistake. A copy of the tree that contains it is a mutant.
#[derive(Debug)]
pub(super) struct Bug {
    /// The name for the command line: at most 26 characters.
    pub(super) name: &'static str,
    /// The effect on a user.
    pub(super) harm: &'static str,
    /// The path of the changed file, from the root of the repository.
    pub(super) file: &'static str,
    /// The text that is replaced. It occurs exactly once in the file.
    pub(super) from: &'static str,
    /// The replacement.
    pub(super) to: &'static str,
    /// The test that must fail.
    pub(super) test: Test,
    /// The time limit of a test that hangs instead of failing. It must be far longer than the healthy test takes.
    pub(super) hangs_for: Option<Duration>,
}

impl Bug {
    /// Returns the text of the file with the bug in it.
    pub(super) fn apply(&self, text: &str) -> Result<String, String> {
        let Self { name, file, from, to, .. } = self;
        match text.matches(from).count() {
            1 => Ok(text.replacen(from, to, 1)),
            0 => Err(format!(
                "the bug `{name}` is outdated: {file} does not contain `{from}`; adapt the entry"
            )),
            times => Err(format!(
                "the bug `{name}` is outdated: {file} contains `{from}` {times} times; adapt the entry"
            )),
        }
    }
}

/// The [`Test::target`] of the unit tests of a crate, which `cargo test --lib` compiles.
pub(super) const UNIT_TESTS: &str = "lib";

/// One test of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Test {
    /// The value for `cargo test --package`.
    pub(super) package: &'static str,
    /// The value for `cargo test --test`, or [`UNIT_TESTS`].
    pub(super) target: &'static str,
    /// The whole name, for `--exact`.
    pub(super) name: &'static str,
    /// Environment variables that the test reads.
    pub(super) env: &'static [(&'static str, &'static str)],
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.package, self.target, self.name)
    }
}

/// A test of `conductor-model`.
pub(super) const fn model(target: &'static str, name: &'static str) -> Test {
    Test { package: "conductor-model", target, name, env: &[] }
}

/// A test of `conductor-store`.
pub(super) const fn store(target: &'static str, name: &'static str) -> Test {
    Test { package: "conductor-store", target, name, env: &[] }
}

/// A test of the store in memory of `conductor-conformance`.
pub(super) const fn memory_store(name: &'static str) -> Test {
    Test { package: "conductor-conformance", target: "memory_store", name, env: &[] }
}

/// A test of `conductor-workers`.
pub(super) const fn workers(target: &'static str, name: &'static str) -> Test {
    Test { package: "conductor-workers", target, name, env: &[] }
}
