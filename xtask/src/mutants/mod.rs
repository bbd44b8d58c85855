//! Planted bugs: proof that the tests catch the mistakes that matter.
//!
//! The tree is copied. In the copy each mistake of the lists is made, one at a time, and the test that stands beside it
//! must fail. Before that the same test must pass without it, for a test that is red anyway proves nothing. The product
//! itself knows nothing of this: a bug is one text that takes the place of another.
//!
//! [`sandbox`] has the files and the processes; what is here judges, and is tested without either.

mod bug;
mod list_store;
mod list_workers;
mod sandbox;

use std::time::{Duration, Instant};

use crate::{
    cargo::Failure,
    mutants::{
        bug::{Bug, Test},
        sandbox::Copy,
    },
};

/// A test that takes longer has stopped: the slowest of them takes seconds.
const PATIENCE: Duration = Duration::from_mins(2);

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ran {
    Passed,
    Failed,
    /// It was ended, because it did not end by itself.
    Hung,
    /// It ended in a way that says nothing about what it tests.
    Died(String),
    /// There is no test of this name.
    Missing,
}

/// Where bugs are planted and tests are run.
trait Field {
    /// What stands in a file.
    fn read(&self, file: &str) -> Result<String, String>;

    /// Writes a file.
    fn write(&mut self, file: &str, text: &str) -> Result<(), String>;

    /// Compiles a test; the error is what the compiler said.
    fn compile(&mut self, test: &Test) -> Result<(), String>;

    /// Runs a test that was compiled, for as long as that at most, and keeps what it prints under `name`.
    fn run(&mut self, test: &Test, patience: Duration, name: &str) -> Result<Ran, String>;
}

/// Plants the bugs of these names, or all of them.
pub(crate) fn run(names: &[String]) -> Result<(), Failure> {
    let chosen = choose(&all(), names).map_err(Failure::Say)?;
    let mut copy = Copy::make().map_err(Failure::Say)?;
    judge(&mut copy, &chosen, &mut |line| println!("{line}")).map_err(Failure::Say)
}

/// Every bug of the lists, in an order in which cargo rebuilds little.
fn all() -> Vec<&'static Bug> {
    list_store::BUGS.iter().chain(list_workers::BUGS).collect()
}

fn choose(bugs: &[&'static Bug], names: &[String]) -> Result<Vec<&'static Bug>, String> {
    if let Some(unknown) = names.iter().find(|name| bugs.iter().all(|bug| bug.name != name.as_str())) {
        let known: Vec<&str> = bugs.iter().map(|bug| bug.name).collect();
        return Err(format!("There is no planted bug `{unknown}`; there are {}.", known.join(", ")));
    }
    // In the order of the list, which is the one in which the least is built again.
    let is_chosen = |bug: &&&Bug| names.is_empty() || names.iter().any(|name| name == bug.name);
    Ok(bugs.iter().filter(is_chosen).copied().collect())
}

/// Tries every bug, says a line about each, and ends with a list of those that nothing catches.
fn judge(field: &mut dyn Field, bugs: &[&Bug], say: &mut dyn FnMut(String)) -> Result<(), String> {
    // All texts first: that costs nothing, and the rest takes minutes.
    let applies = |bug: &&Bug| field.read(bug.file).and_then(|env| changed(&env, bug)).err();
    let adapt: Vec<String> = bugs.iter().filter_map(applies).collect();
    if !adapt.is_empty() {
        return Err(adapt.join("\nxtask: "));
    }
    let began = Instant::now();
    let tests = tests_of(bugs);
    for test in &tests {
        passes(field, test)?;
    }
    say(format!(
        "Without a bug every test passes ({}).  ({:.1} s)",
        tests.len(),
        began.elapsed().as_secs_f64()
    ));
    let mut complaints = Vec::new();
    for bug in bugs {
        let began = Instant::now();
        let caught = plant(field, bug);
        let seconds = began.elapsed().as_secs_f64();
        let verdict = if caught.is_ok() { "caught by" } else { "NOT CAUGHT by" };
        say(format!("  {:26} {verdict} {}  ({seconds:.1} s)", bug.name, bug.test));
        complaints.extend(caught.err());
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\nxtask: ")) }
}

/// Each test once, in the order of the bugs.
fn tests_of(bugs: &[&Bug]) -> Vec<Test> {
    let mut tests: Vec<Test> = Vec::new();
    for bug in bugs {
        if !tests.contains(&bug.test) {
            tests.push(bug.test);
        }
    }
    tests
}

/// Sees that a test passes as long as no bug is planted.
fn passes(field: &mut dyn Field, test: &Test) -> Result<(), String> {
    field.compile(test).map_err(|error| format!("{test} does not compile without any bug:\n{error}"))?;
    match field.run(test, PATIENCE, "without-a-bug")? {
        Ran::Passed => Ok(()),
        Ran::Missing => Err(format!("There is no test {test}: name another one, or write it.")),
        Ran::Failed => Err(format!("{test} fails without any bug, and so proves nothing: mend that first.")),
        Ran::Hung => Err(format!("{test} does not end without any bug, and so proves nothing.")),
        Ran::Died(how) => Err(format!("{test} cannot be run without any bug: {how}.")),
    }
}

/// Plants one bug, tries its test, and takes it out again, whatever happened; the error says why it is not caught.
fn plant(field: &mut dyn Field, bug: &Bug) -> Result<(), String> {
    let env = field.read(bug.file)?;
    let wrong = changed(&env, bug)?;
    field.write(bug.file, &wrong)?;
    let caught = is_caught(field, bug);
    field.write(bug.file, &env)?;
    caught
}

fn is_caught(field: &mut dyn Field, bug: &Bug) -> Result<(), String> {
    let Bug { name, harm, test, .. } = bug;
    field.compile(test).map_err(|error| {
        format!("The planted bug `{name}` does not compile, so that no test is needed for it:\n{error}")
    })?;
    match field.run(test, bug.hangs_for.unwrap_or(PATIENCE), name)? {
        Ran::Failed => Ok(()),
        Ran::Hung if bug.hangs_for.is_some() => Ok(()),
        Ran::Passed => {
            Err(format!("No test catches the planted bug `{name}` ({harm}): {test} passes. Write one."))
        }
        Ran::Hung => Err(format!(
            "{test} does not end with the planted bug `{name}`: let it fail, or say in the list that it hangs."
        )),
        Ran::Missing => Err(format!("With the planted bug `{name}` there is no test {test}.")),
        Ran::Died(how) => {
            Err(format!("{test} does not fail by a test with the planted bug `{name}`, but: {how}."))
        }
    }
}

/// The env with the bug in it.
fn changed(env: &str, bug: &Bug) -> Result<String, String> {
    let Bug { name, file, from, to, .. } = bug;
    match env.matches(from).count() {
        1 => Ok(env.replacen(from, to, 1)),
        0 => Err(format!("The planted bug `{name}` no longer applies: {file} lacks `{from}`. Adapt it.")),
        times => Err(format!(
            "The planted bug `{name}` no longer applies: {file} has `{from}` {times} times. Adapt it."
        )),
    }
}

#[cfg(test)]
mod tests;
