//! The commands of the house, run as `cargo xtask <command>`.
//!
//! An xtask is an ordinary program in the workspace, so that what a developer types and what CI runs is one
//! thing, on every platform, without anything to install. [`command`] reads the command line, [`cargo`] runs
//! cargo, [`ci`] is the list of everything that must hold, [`instructions`] counts what three steps cost, [`tidy`]
//! has the checks that keep the house in order, and [`mutants`] the mistakes that the tests must catch.

mod cargo;
mod ci;
mod command;
mod instructions;
mod mutants;
mod package;
mod tidy;

use std::process::ExitCode;

use crate::{
    cargo::Failure,
    command::{Command, USAGE},
};

fn main() -> ExitCode {
    let outcome = match command::parse(std::env::args_os().skip(1)) {
        Ok(command) => run(command),
        Err(sentence) => {
            eprintln!("{sentence}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Exit(code)) => ExitCode::from(code),
        Err(Failure::Say(sentence)) => {
            eprintln!("xtask: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Help => {
            println!("{USAGE}");
            Ok(())
        }
        Command::Demo(args) => demo(args),
        Command::Test(args) => test(args),
        Command::Tidy { bless } => tidy::run(bless),
        Command::Bench(args) => cargo::here(["run", "--release", "--package", "conductor-bench", "--"], args),
        Command::Instructions => instructions::run(),
        Command::Mutants { names } => mutants::run(&names),
        Command::Ci { skip } => ci::run(&skip),
    }
}

/// Runs the demo where the user stands, so that a folder given to it means what they think it means.
///
/// The dev profile builds twice as fast, and the demo waits for the disk and not for our code.
fn demo(args: Vec<std::ffi::OsString>) -> Result<(), Failure> {
    cargo::here(["run", "--package", "conductor-demo", "--"], args)
}

/// Runs every test and doctest, then the tidy checks, the latter even if a test has failed.
fn test(args: Vec<std::ffi::OsString>) -> Result<(), Failure> {
    let tests = cargo::at_root(["test", "--workspace", "--all-features"], args);
    let tidy = tidy::run(false);
    tests.and(tidy)
}
