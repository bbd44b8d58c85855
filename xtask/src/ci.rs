//! Everything that must hold before a change is merged.

use std::time::{Duration, Instant};

use crate::{
    Command,
    cargo::{self, Failure},
    package,
};

/// How to get the one tool that does not come with Rust. `.ci/run` installs the same version.
const INSTALL_DENY: &str = "cargo install --locked cargo-deny --version 0.20.2";

/// One thing that must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The sources are formatted.
    Fmt,
    /// Clippy has nothing to say.
    Clippy,
    /// The model and the store serve alone, with no more features than they ask for.
    Alone,
    /// The tests pass, and the tidy checks.
    Test,
    /// The documentation builds without a warning.
    Doc,
    /// Dependencies keep to `deny.toml`.
    Deny,
    /// What is published can be packed.
    Package,
    /// The demo's scenarios hold.
    Demo,
    /// The benches work, and three steps take no more instructions than is recorded.
    Bench,
    /// The tests catch the bugs that are planted for them.
    Mutants,
}

impl Step {
    /// Every step, cheap and likely complaints first.
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

    /// The step of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }

    /// What the command line calls it.
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
            Self::Test => crate::run(Command::Test(vec![])),
            Self::Doc => doc(),
            Self::Deny => deny(),
            Self::Package => package::run(),
            Self::Demo => crate::run(Command::Demo(vec![])),
            Self::Bench => {
                let benches = crate::run(Command::Bench(vec!["--quick".into()]));
                benches.and(crate::run(Command::Instructions))
            }
            Self::Mutants => crate::run(Command::Mutants { names: vec![] }),
        }
    }
}

/// Runs every step that is not skipped, goes on after one that fails, and ends with a list of all.
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
            if let Failure::Say(sentence) = failure {
                eprintln!("xtask: {sentence}");
            }
            failed.push(step.name());
        }
    }
    println!("\nci:\n{}", lines.join("\n"));
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Say(format!("ci failed in {}: see what each printed above.", failed.join(", "))))
    }
}

fn line(step: Step, ok: bool, took: Duration) -> String {
    format!("  {:8} {:6} {:6.1} s", step.name(), if ok { "ok" } else { "FAILED" }, took.as_secs_f64())
}

fn clippy() -> Result<(), Failure> {
    let args = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "--deny", "warnings"];
    cargo::at_root(args, vec![])
}

/// In the whole workspace one crate's features help another to build; here nothing helps.
fn alone() -> Result<(), Failure> {
    for package in ["conductor-model", "conductor-store"] {
        let args =
            ["clippy", "--package", package, "--no-default-features", "--lib", "--", "--deny", "warnings"];
        cargo::at_root(args, vec![])?;
    }
    Ok(())
}

fn doc() -> Result<(), Failure> {
    cargo::with_env("RUSTDOCFLAGS", "-D warnings", ["doc", "--workspace", "--no-deps", "--all-features"])
}

/// Offline, because only these three checks need no network; the fetch brings the crates of other platforms,
/// which building does not.
fn deny() -> Result<(), Failure> {
    if cargo::capture(["deny", "--version"]).is_err() {
        return Err(Failure::Say(format!("cargo-deny is not installed: run `{INSTALL_DENY}`.")));
    }
    cargo::at_root(["fetch", "--quiet"], vec![])?;
    cargo::at_root(["deny", "--offline", "check", "bans", "licenses", "sources"], vec![])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_found_by_its_name() {
        for step in Step::ALL {
            assert_eq!(Step::named(step.name()), Some(step));
        }
        assert_eq!(Step::named("lunch"), None);
    }

    #[test]
    fn a_failed_step_stands_out() {
        assert_eq!(line(Step::Doc, true, Duration::from_millis(1_250)), "  doc      ok        1.2 s");
        assert_eq!(line(Step::Demo, false, Duration::ZERO), "  demo     FAILED    0.0 s");
    }

    #[test]
    fn ci_installs_the_version_that_is_asked_for() {
        assert!(include_str!("../../.ci/run").contains(INSTALL_DENY));
    }
}
