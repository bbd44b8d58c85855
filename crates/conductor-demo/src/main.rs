//! The scenarios of Origin Conductor, on a real database file: `cargo xtask demo`.
//!
//! Each file in [`scenarios`] is one of them, and reads as documentation: it uses the library as a program of
//! yours would, says what it does, shows the states that come of it, and checks them. [`args`] reads the command
//! line, [`show`] performs the scenarios one after the other, [`interrupt`] listens to Ctrl-C. The others are the
//! stage: [`stage`] opens the database, [`look`] reads from it, [`tree`] and [`screen`] print, [`failure`] says what did not hold.

mod args;
mod failure;
mod interrupt;
mod look;
mod scenarios;
mod screen;
mod show;
mod stage;
mod tree;

use crate::{args::Command, failure::Failure, show::End};
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match args::read() {
        Ok(Command::Play(play)) => show::all(&play),
        Ok(Command::List) => show::list(),
        Ok(Command::CrashWorker { database }) => scenarios::crash_worker(&database).map(|()| End::Held),
        Err(exit) => return exit,
    };
    match outcome {
        Ok(End::Held) => ExitCode::SUCCESS,
        Ok(End::DidNotHold) => ExitCode::FAILURE,
        Ok(End::Interrupted) => ExitCode::from(interrupt::EXIT),
        Err(failure) => complain(&failure),
    }
}

fn complain(failure: &Failure) -> ExitCode {
    eprintln!("conductor-demo: {failure}");
    ExitCode::FAILURE
}
