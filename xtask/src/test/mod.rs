//! The test command: every test and doctest, several programs at a time.
//!
//! `cargo test` runs one test program after the other. Many tests wait for timers and for the disk meanwhile. Therefore cargo
//! only builds the programs here, and they run beside each other.

mod jobs;
pub(crate) mod programs;

use std::{ffi::OsString, thread, time::Instant};

use crate::{
    cargo::{self, Failure},
    test::jobs::Job,
};

/// The largest number of test programs at one time. Each runs as many of its tests at one time as there are cores.
const MAX_PROGRAMS: usize = 4;

/// Programs that run for a long time. They start first, so that none of them is left over at the end.
const LONG: [&str; 6] = ["simulation", "conformance", "model_based", "crash", "processes", "steps"];

/// Programs whose tests depend on how soon a thread runs. They run alone, after the others.
const TIMED: [&str; 2] = ["engine", "concurrency"];

/// Runs the tests. With arguments, it runs `cargo test` with them, for all packages.
pub(crate) fn run(args: Vec<OsString>) -> Result<(), Failure> {
    if args.is_empty() { all() } else { cargo::at_root(["test", "--workspace", "--all-features"], args) }
}

fn all() -> Result<(), Failure> {
    let mut programs = programs::build()?.tests;
    if let Some(missing) = missing(&programs) {
        return Err(Failure::Message(format!(
            "cargo built no test program `{missing}`; correct its name in xtask"
        )));
    }
    programs.sort_by_key(|program| LONG.iter().position(|name| *name == program.name).unwrap_or(LONG.len()));
    // Compiling the doctests takes longest of all.
    let (timed, others): (Vec<_>, Vec<_>) =
        programs.into_iter().partition(|program| TIMED.contains(&program.name.as_str()));
    let others: Vec<Job> = [Job::Doctests].into_iter().chain(others.into_iter().map(Job::Program)).collect();
    let timed: Vec<Job> = timed.into_iter().map(Job::Program).collect();
    let at_once = thread::available_parallelism().map_or(2, usize::from).clamp(2, MAX_PROGRAMS);
    let began = Instant::now();
    let count = others.len() + timed.len();
    let print = |output: &str| println!("{output}");
    let mut failed = jobs::run(others, at_once, &print);
    failed.extend(jobs::run(timed, 1, &print));
    println!("test: {count} programs, {at_once} at a time, {:.1} s", began.elapsed().as_secs_f64());
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Message(format!("tests failed in {}; see their output above", failed.join(", "))))
    }
}

/// Returns a program of the lists above that cargo did not build. Without this check, a change of cargo's messages would
/// let the tests pass unseen.
fn missing(programs: &[programs::Program]) -> Option<&'static str> {
    let is_missing = |name: &&str| programs.iter().all(|program| program.name != *name);
    LONG.into_iter().chain(TIMED).find(is_missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_program_is_named() {
        assert_eq!(missing(&[]), Some("simulation"));
    }
}
