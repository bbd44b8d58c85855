//! The engine that is killed, and the same engine that finishes the work.

use crate::{failure::Failure, fixture};
use origin_conductor::{Context, Engine, SqliteStore, TaskError};
use serde::de::IgnoredAny;
use std::{io, path::Path, thread, time::Duration};

/// The kind of the tasks.
pub(super) const KIND: &str = "collatz";

/// The number of its tasks.
pub(super) const CHILDREN: u32 = 20_000;

/// The lease of a claim. The claims of a dead process are taken back at once, because its lock is gone. Otherwise this
/// scenario would take hours.
const LEASE: Duration = Duration::from_hours(1);

/// Builds an engine on a database.
pub(super) fn engine(store: SqliteStore) -> Result<Engine, Failure> {
    Ok(Engine::builder(store).handler(KIND, collatz).workers(8).lease(LEASE).build()?)
}

fn collatz(_: IgnoredAny, context: Context) -> Result<u64, TaskError> {
    Ok(collatz_steps(context.index().into()))
}

/// Counts the Collatz steps to 1: halve an even number; triple an odd number and add one.
pub(super) fn collatz_steps(mut number: u64) -> u64 {
    let mut steps = 0;
    while number > 1 {
        number = if number.is_multiple_of(2) { number / 2 } else { 3 * number + 1 };
        steps += 1;
    }
    steps
}

/// Runs the process that the scenario kills.
pub(crate) fn crash_worker(database: &Path) -> Result<(), Failure> {
    // Ctrl-C reaches this process too, but only the parent process reacts.
    ctrlc::set_handler(|| {})?;
    let (store, _) = fixture::open(database)?;
    let engine = engine(store)?;
    let stop_handle = engine.stop_handle();
    thread::spawn(move || {
        // Nothing is ever written to this pipe: the read ends when the parent process is gone.
        let _ = io::stdin().read_line(&mut String::new());
        stop_handle.stop();
    });
    Ok(engine.run_forever()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collatz_steps_are_counted() {
        assert_eq!([1, 2, 3, 6, 27].map(collatz_steps), [0, 1, 7, 8, 111]);
    }
}
