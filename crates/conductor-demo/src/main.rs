//! The scenarios of Origin Conductor on a real database file: `cargo xtask demo`.
//!
//! Each file in [`scenarios`] is one scenario and reads as documentation. It uses the library as an application does,
//! describes what it does, prints the resulting states, and checks them. [`args`] reads the command line, [`runner`]
//! runs the scenarios in order, and [`interrupt`] handles Ctrl-C. [`fixture`] opens the database, [`queries`] reads
//! from it, [`tree`] and [`output`] print, and [`failure`] is the error type.

mod args;
mod failure;
mod fixture;
mod interrupt;
mod output;
mod queries;
mod runner;
mod scenarios;
mod tree;

use crate::{args::Command, failure::Failure, runner::End};
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match args::read() {
        Ok(Command::Run(play)) => runner::all(&play),
        Ok(Command::List) => runner::list(),
        Ok(Command::CrashWorker { database }) => scenarios::crash_worker(&database).map(|()| End::Passed),
        Err(exit) => return exit,
    };
    match outcome {
        Ok(End::Passed) => ExitCode::SUCCESS,
        Ok(End::Failed) => ExitCode::FAILURE,
        Ok(End::Interrupted) => ExitCode::from(interrupt::EXIT),
        Err(failure) => print_error(&failure),
    }
}

fn print_error(failure: &Failure) -> ExitCode {
    eprintln!("conductor-demo: {failure}");
    ExitCode::FAILURE
}
