//! The trial of a bug: whether its test passes without it and fails with it.

use std::time::{Duration, Instant};

use crate::mutants::bug::{Bug, Test};

/// The time limit of a test. The slowest test takes seconds, so a test that takes longer hangs.
const TIME_LIMIT: Duration = Duration::from_mins(2);

/// The result of running a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TestEnd {
    Passed,
    Failed,
    /// It was killed at its time limit.
    Hung,
    /// It ended in another way, which proves nothing.
    Died(String),
    /// No test has this name.
    Missing,
}

/// A place where files are changed and tests are run.
pub(super) trait Sandbox {
    /// Returns the text of a file.
    fn read(&self, file: &str) -> Result<String, String>;

    /// Writes a file.
    fn write(&mut self, file: &str, text: &str) -> Result<(), String>;

    /// Compiles a test. The error is the output of the compiler.
    fn compile(&mut self, test: &Test) -> Result<(), String>;

    /// Runs the test that was compiled last, and keeps its output under `name`.
    fn run(&mut self, test: &Test, time_limit: Duration, name: &str) -> Result<TestEnd, String>;
}

/// Tries every bug and prints a line about each. The error lists the bugs that no test catches.
pub(super) fn try_all(
    sandbox: &mut dyn Sandbox,
    bugs: &[&Bug],
    print: &mut dyn FnMut(String),
) -> Result<(), String> {
    // All texts are compared first, because that costs nothing and the rest takes minutes.
    let apply = |bug: &&Bug| sandbox.read(bug.file).and_then(|text| bug.apply(&text)).err();
    let outdated: Vec<String> = bugs.iter().filter_map(apply).collect();
    if !outdated.is_empty() {
        return Err(outdated.join("\nxtask: "));
    }
    let began = Instant::now();
    let tests = tests_of(bugs);
    for test in &tests {
        pass(sandbox, test)?;
    }
    let (count, seconds) = (tests.len(), began.elapsed().as_secs_f64());
    print(format!("{count} tests pass without a bug  ({seconds:.1} s)"));
    let mut complaints = Vec::new();
    for bug in bugs {
        let began = Instant::now();
        let caught = try_one(sandbox, bug);
        let seconds = began.elapsed().as_secs_f64();
        let verdict = if caught.is_ok() { "caught by" } else { "MISSED by" };
        print(format!("  {:26} {verdict} {}  ({seconds:.1} s)", bug.name, bug.test));
        complaints.extend(caught.err());
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\nxtask: ")) }
}

/// Returns each test once, in the order of the bugs.
fn tests_of(bugs: &[&Bug]) -> Vec<Test> {
    let mut tests: Vec<Test> = Vec::new();
    for bug in bugs {
        if !tests.contains(&bug.test) {
            tests.push(bug.test);
        }
    }
    tests
}

/// Checks that a test passes without a bug.
fn pass(sandbox: &mut dyn Sandbox, test: &Test) -> Result<(), String> {
    sandbox.compile(test).map_err(|error| format!("{test} does not compile without a bug:\n{error}"))?;
    match sandbox.run(test, TIME_LIMIT, "without-a-bug")? {
        TestEnd::Passed => Ok(()),
        TestEnd::Missing => Err(format!("the test {test} does not exist; name another one, or write it")),
        TestEnd::Failed => Err(format!("{test} fails without a bug and proves nothing; repair it first")),
        TestEnd::Hung => Err(format!("{test} hangs without a bug and proves nothing; repair it first")),
        TestEnd::Died(how) => Err(format!("{test} does not run without a bug: {how}")),
    }
}

/// Writes one bug, runs its test, and removes the bug in any case. The error tells why the bug is not caught.
fn try_one(sandbox: &mut dyn Sandbox, bug: &Bug) -> Result<(), String> {
    let text = sandbox.read(bug.file)?;
    sandbox.write(bug.file, &bug.apply(&text)?)?;
    let caught = is_caught(sandbox, bug);
    sandbox.write(bug.file, &text)?;
    caught
}

fn is_caught(sandbox: &mut dyn Sandbox, bug: &Bug) -> Result<(), String> {
    let Bug { name, harm, test, .. } = bug;
    sandbox.compile(test).map_err(|error| {
        format!("the bug `{name}` does not compile and needs no test; remove it:\n{error}")
    })?;
    match sandbox.run(test, bug.hangs_for.unwrap_or(TIME_LIMIT), name)? {
        TestEnd::Failed => Ok(()),
        TestEnd::Hung if bug.hangs_for.is_some() => Ok(()),
        TestEnd::Passed => {
            Err(format!("no test catches the bug `{name}` ({harm}): {test} passes; write a test that fails"))
        }
        TestEnd::Hung => {
            Err(format!("{test} hangs with the bug `{name}`; let it fail, or set `hangs_for` in the list"))
        }
        TestEnd::Missing => Err(format!("the test {test} does not exist with the bug `{name}`")),
        TestEnd::Died(how) => Err(format!("{test} ends without a failed test with the bug `{name}`: {how}")),
    }
}

#[cfg(test)]
mod tests;
