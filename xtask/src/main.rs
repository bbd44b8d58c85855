//! The commands for developers of this workspace: `cargo xtask <command>`.
//!
//! An xtask is an ordinary program of the workspace. Developers and CI run the same commands, on every platform, and need not
//! install anything. [`command`] reads the command line, [`cargo`] runs cargo, [`mod@test`] runs the tests, [`ci`] runs all checks
//! that a change must pass, [`tidy`] checks conventions, and [`mutants`] checks that the tests catch known bugs.

mod cargo;
mod ci;
mod command;
mod mutants;
mod test;
mod tidy;

use std::process::ExitCode;

use crate::{
    cargo::Failure,
    command::{Command, USAGE},
};

fn main() -> ExitCode {
    let outcome = match command::parse(std::env::args_os().skip(1)) {
        Ok(command) => run(command),
        Err(message) => {
            eprintln!("xtask: {message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Exit(code)) => ExitCode::from(code),
        Err(Failure::Message(message)) => {
            eprintln!("xtask: {message}");
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
        // The current folder stays, so that a relative folder among the arguments has its usual meaning.
        Command::Demo(args) => cargo::here(["run", "--package", "conductor-demo", "--"], args),
        Command::Test(args) => ci::test(args),
        Command::Tidy { fix } => tidy::run(fix),
        Command::Bench(args) => cargo::here(["run", "--release", "--package", "conductor-bench", "--"], args),
        Command::Instructions => ci::instructions(),
        Command::Mutants { names } => mutants::run(&names),
        Command::Ci { skip } => ci::run(&skip),
    }
}
