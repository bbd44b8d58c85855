//! Starts a worker process and kills it at a random moment.

use super::worker::CHILDREN;
use crate::{
    failure::{Failure, check},
    fixture::Fixture,
    queries,
};
use origin_conductor::{RunId, SqliteStore};
use rand::{RngExt, rngs::StdRng};
use std::{
    env,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// Starts a worker process, lets it work for a while, and kills it. `later` more workers follow.
pub(super) fn kill_one_worker(
    fixture: &Fixture,
    run: RunId,
    later: u32,
    random: &mut StdRng,
) -> Result<(), Failure> {
    let mut worker = start_worker(&fixture.database)?;
    let waited = wait_for_progress(fixture, run, &mut worker, later, random);
    // On Unix this is SIGKILL: the process gets no notice and does no cleanup.
    worker.kill()?;
    let end = worker.wait()?;
    waited?;
    check("that the worker ended by itself", end.success(), false)
}

fn start_worker(database: &Path) -> Result<Child, Failure> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("--crash-worker").arg(database);
    // The pipe closes when this process ends, and the worker then stops.
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?)
}

/// Waits until a random amount of work is done, and then a random moment longer.
fn wait_for_progress(
    fixture: &Fixture,
    run: RunId,
    worker: &mut Child,
    later: u32,
    random: &mut StdRng,
) -> Result<(), Failure> {
    let store = fixture.store()?;
    // Creating and settling a child are two units of work. One transaction does many, so leave some for later workers.
    let (already, all) = (done(&store, run)?, 2 * CHILDREN);
    let enough = already + random.random_range(0..=(all - already) / (later + 2));
    while done(&store, run)? < enough {
        if worker.try_wait()?.is_some() {
            return Err(Failure::new("the worker process ended before it was killed"));
        }
        fixture.interrupt.check()?;
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(Duration::from_micros(random.random_range(0..20_000)));
    Ok(())
}

/// Returns the number of created children plus the number of settled children.
fn done(store: &SqliteStore, run: RunId) -> Result<u32, Failure> {
    let counts = queries::root(store, run)?.child_counts.unwrap_or_default();
    Ok(counts.created + counts.succeeded())
}
