//! Starting the process, and killing it at a moment that nobody could foresee.

use super::CHILDREN;
use crate::{
    failure::{Failure, check},
    look,
    stage::Stage,
};
use conductor_model::RunId;
use conductor_store::SqliteStore;
use rand::{RngExt, rngs::StdRng};
use std::{
    env,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// Starts a worker, lets it work for a while, and kills it; so many others come later.
pub(super) fn a_worker(stage: &Stage, run: RunId, later: u32, random: &mut StdRng) -> Result<(), Failure> {
    let mut worker = start_worker(&stage.database)?;
    let waited = let_it_work(stage, run, &mut worker, later, random);
    // On Unix this is SIGKILL: the process cannot notice it, nor do anything more.
    worker.kill()?;
    let end = worker.wait()?;
    waited?;
    check("that the worker ended by itself", end.success(), false)
}

fn start_worker(database: &Path) -> Result<Child, Failure> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("--crash-worker").arg(database);
    // The line to it says nothing; it ends with this process, and then the worker ends too.
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?)
}

/// Waits until so much more is done as nobody could foresee, and a moment longer.
fn let_it_work(
    stage: &Stage,
    run: RunId,
    worker: &mut Child,
    later: u32,
    random: &mut StdRng,
) -> Result<(), Failure> {
    let store = stage.store()?;
    // So that something is left for those that come later, as a rule: to create each child and to settle it are two things,
    // and one transaction does many of them.
    let (already, all) = (done(&store, run)?, 2 * CHILDREN);
    let enough = already + random.random_range(0..=(all - already) / (later + 2));
    while done(&store, run)? < enough {
        if worker.try_wait()?.is_some() {
            return Err(Failure::new("the worker process ended before anybody killed it"));
        }
        stage.interrupt.check()?;
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(Duration::from_micros(random.random_range(0..20_000)));
    Ok(())
}

/// How many children were created, and how many settled, together.
fn done(store: &SqliteStore, run: RunId) -> Result<u32, Failure> {
    let numbers = look::root(store, run)?.child_counts.unwrap_or_default();
    Ok(numbers.created + numbers.succeeded())
}
