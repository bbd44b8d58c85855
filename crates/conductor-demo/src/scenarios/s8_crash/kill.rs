//! Starting the process, and killing it at a moment that nobody could foresee.

use super::{MOST_STEPS, SPARE};
use crate::failure::{Failure, check};
use conductor_model::RunId;
use rand::{RngExt, rngs::StdRng};
use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

/// Starts a worker, lets it work for a while, and kills it.
pub(super) fn a_worker(database: &Path, run: RunId, random: &mut StdRng) -> Result<(), Failure> {
    let mut worker = start_worker(database, run)?;
    // The line is held until the worker is dead, which must not notice anything.
    let line = let_it_work(&mut worker, random);
    worker.kill()?;
    let end = worker.wait()?;
    line.map(drop)?;
    check("that the worker ended by itself", end.success(), false)
}

fn start_worker(database: &Path, run: RunId) -> Result<Child, Failure> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("--crash-worker").arg(run.to_string()).arg("--database").arg(database);
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
}

/// Waits until a number of transactions are done that nobody could foresee, and a moment longer.
fn let_it_work(worker: &mut Child, random: &mut StdRng) -> Result<Line, Failure> {
    let steps = random.random_range(1..=MOST_STEPS);
    let mut line = Line::to(worker)?;
    line.allow(steps + SPARE)?;
    for _ in 0..steps {
        line.hear()?;
    }
    thread::sleep(Duration::from_micros(random.random_range(0..5_000)));
    Ok(line)
}

/// The line to a worker: it says when a transaction is done, and goes on if that is allowed.
struct Line {
    allows: ChildStdin,
    hears: BufReader<ChildStdout>,
}

impl Line {
    fn to(worker: &mut Child) -> Result<Self, Failure> {
        match (worker.stdin.take(), worker.stdout.take()) {
            (Some(allows), Some(says)) => Ok(Self { allows, hears: BufReader::new(says) }),
            _ => Err(Failure::new("the worker process cannot be talked to")),
        }
    }

    fn allow(&mut self, steps: usize) -> io::Result<()> {
        self.allows.write_all("\n".repeat(steps).as_bytes())
    }

    fn hear(&mut self) -> Result<(), Failure> {
        match self.hears.read_line(&mut String::new())? {
            0 => Err(Failure::new("the worker process ended before anybody killed it")),
            _ => Ok(()),
        }
    }
}
