//! All checks that a change must pass before it is merged.

mod instructions;
mod package;

use std::{
    ffi::OsString,
    time::{Duration, Instant},
};

use crate::{
    cargo::{self, Failure},
    mutants,
    test::{self, programs},
    tidy,
};

/// The command that installs the only tool which does not come with Rust. `.ci/run` installs the same version.
const INSTALL_DENY: &str = "cargo install --locked cargo-deny --version 0.20.2";

/// A group of checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The sources are formatted.
    Fmt,
    /// Clippy has no complaint.
    Clippy,
    /// The libraries compile alone, with no more features than they ask for.
    Alone,
    /// The tests and the tidy checks pass.
    Test,
    /// The documentation builds without a warning.
    Doc,
    /// The dependencies comply with `deny.toml`.
    Deny,
    /// The published crates can be packed.
    Package,
    /// The scenarios of the demo succeed.
    Demo,
    /// The benches run, and three steps take no more instructions than recorded.
    Bench,
    /// The tests catch known bugs.
    Mutants,
}

impl Step {
    /// Every step; those that are fast and often fail come first.
    pub(crate) const ALL: [Self; 10] = [
        Self::Fmt,
        Self::Clippy,
        Self::Alone,
        Self::Test,
        Self::Doc,
        Self::Deny,
        Self::Package,
        Self::Demo,
        Self::Bench,
        Self::Mutants,
    ];

    /// Returns the step with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }

    /// Returns the name for the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Alone => "alone",
            Self::Test => "test",
            Self::Doc => "doc",
            Self::Deny => "deny",
            Self::Package => "package",
            Self::Demo => "demo",
            Self::Bench => "bench",
            Self::Mutants => "mutants",
        }
    }

    fn run(self) -> Result<(), Failure> {
        match self {
            Self::Fmt => cargo::at_root(["fmt", "--all", "--check"], vec![]),
            Self::Clippy => clippy(),
            Self::Alone => alone(),
            Self::Test => test(vec![]),
            Self::Doc => doc(),
            Self::Deny => deny(),
            Self::Package => package::run(),
            Self::Demo => demo(),
            Self::Bench => bench(),
            Self::Mutants => mutants::run(&[]),
        }
    }
}

/// Runs every step that is not skipped, also after one that fails. Prints a list of all steps at the end.
pub(crate) fn run(skip: &[Step]) -> Result<(), Failure> {
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    for step in Step::ALL {
        if skip.contains(&step) {
            lines.push(format!("  {:8} skipped", step.name()));
            continue;
        }
        eprintln!("\n== {} ==", step.name());
        let began = Instant::now();
        let outcome = step.run();
        lines.push(line(step, outcome.is_ok(), began.elapsed()));
        if let Err(failure) = outcome {
            if let Failure::Message(message) = failure {
                eprintln!("xtask: {message}");
            }
            failed.push(step.name());
        }
    }
    println!("\nci:\n{}", lines.join("\n"));
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Message(format!("ci failed in {}; see their output above", failed.join(", "))))
    }
}

fn line(step: Step, ok: bool, took: Duration) -> String {
    format!("  {:8} {:6} {:6.1} s", step.name(), if ok { "ok" } else { "FAILED" }, took.as_secs_f64())
}

fn clippy() -> Result<(), Failure> {
    let args = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "--deny", "warnings"];
    cargo::at_root(args, vec![])
}

/// The combinations of features that users may choose. In a build of the whole workspace, a crate also has the features
/// that other crates ask for.
const ALONE: [(&str, &[&str]); 10] = [
    ("conductor-model", &["--no-default-features", "--lib"]),
    ("conductor-store", &["--no-default-features", "--lib"]),
    ("conductor-conformance", &["--lib"]),
    ("conductor-workers", &["--no-default-features", "--lib"]),
    ("conductor-workers", &["--no-default-features", "--lib", "--features", "tokio"]),
    ("origin-conductor", &["--no-default-features", "--lib"]),
    ("origin-conductor", &["--lib"]),
    ("origin-conductor", &["--no-default-features", "--lib", "--features", "tokio"]),
    ("origin-conductor", &["--no-default-features", "--lib", "--features", "testing"]),
    ("conductor-demo", &[]),
];

fn alone() -> Result<(), Failure> {
    for (package, features) in ALONE {
        let args = features.iter().chain(&["--", "--deny", "warnings"]).map(OsString::from).collect();
        cargo::at_root(["clippy", "--package", package], args)?;
    }
    Ok(())
}

/// Runs the tests, then the tidy checks, the latter also if a test fails.
pub(crate) fn test(args: Vec<OsString>) -> Result<(), Failure> {
    let tests = test::run(args);
    tests.and(tidy::run(false))
}

/// Runs the demo that the tests have built; a build of the demo alone would have other features.
fn demo() -> Result<(), Failure> {
    let programs = programs::build()?.binaries;
    let demo = programs.iter().find(|program| program.name == "conductor-demo");
    let demo = demo.ok_or_else(|| Failure::Message("cargo builds no program `conductor-demo`".to_owned()))?;
    cargo::finish(std::process::Command::new(&demo.path).current_dir(cargo::root()).status())
}

fn bench() -> Result<(), Failure> {
    let args = ["run", "--release", "--package", "conductor-bench", "--", "--quick"];
    let benches = cargo::at_root(args, vec![]);
    benches.and(instructions())
}

/// Counts the instructions of three steps, and compares them with the record.
pub(crate) fn instructions() -> Result<(), Failure> {
    instructions::run()
}

fn doc() -> Result<(), Failure> {
    cargo::with_env("RUSTDOCFLAGS", "-D warnings", ["doc", "--workspace", "--no-deps", "--all-features"])
}

/// These three checks need no network. The fetch loads the crates of other platforms, which a build does not load.
fn deny() -> Result<(), Failure> {
    if cargo::capture(["deny", "--version"]).is_err() {
        return Err(Failure::Message(format!("cargo-deny is not installed; run `{INSTALL_DENY}`")));
    }
    cargo::at_root(["fetch", "--quiet"], vec![])?;
    cargo::at_root(["deny", "--offline", "check", "bans", "licenses", "sources"], vec![])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_is_found_by_its_name() {
        for step in Step::ALL {
            assert_eq!(Step::named(step.name()), Some(step));
        }
        assert_eq!(Step::named("lunch"), None);
    }

    #[test]
    fn failed_step_is_marked() {
        assert_eq!(line(Step::Doc, true, Duration::from_millis(1_250)), "  doc      ok        1.2 s");
        assert_eq!(line(Step::Demo, false, Duration::ZERO), "  demo     FAILED    0.0 s");
    }

    #[test]
    fn ci_installs_the_named_version() {
        assert!(include_str!("../../../.ci/run").contains(INSTALL_DENY));
    }
}
