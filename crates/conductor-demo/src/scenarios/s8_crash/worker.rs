//! The engine that is killed, and the one that finishes: they are the same.

use crate::{failure::Failure, stage};
use conductor_store::SqliteStore;
use conductor_workers::{Context, Engine, TaskError};
use serde::de::IgnoredAny;
use std::{io, path::Path, thread, time::Duration};

/// What its tasks are called.
pub(super) const KIND: &str = "collatz";

/// How long a claim holds when its process stands still. That of a process that died is taken back at once: if it were
/// not, this scenario would take hours.
const LEASE: Duration = Duration::from_hours(1);

/// An engine that works on whatever is in a database.
pub(super) fn engine(store: SqliteStore) -> Result<Engine, Failure> {
    Ok(Engine::builder(store).handler(KIND, collatz).workers(8).lease(LEASE).build()?)
}

fn collatz(_: IgnoredAny, context: Context) -> Result<u64, TaskError> {
    Ok(steps_to_one(context.index().into()))
}

/// Halve what is even, triple what is odd and add one: how many steps is it to 1?
pub(super) fn steps_to_one(mut number: u64) -> u64 {
    let mut steps = 0;
    while number > 1 {
        number = if number.is_multiple_of(2) { number / 2 } else { 3 * number + 1 };
        steps += 1;
    }
    steps
}

/// What the process does that is killed.
pub(crate) fn crash_worker(database: &Path) -> Result<(), Failure> {
    // Ctrl-C is for whoever started this process.
    ctrlc::set_handler(|| {})?;
    let (store, _) = stage::open(database)?;
    let engine = engine(store)?;
    let stop_handle = engine.stop_handle();
    thread::spawn(move || {
        // The line is silent until whoever started this process is gone.
        let _ = io::stdin().read_line(&mut String::new());
        stop_handle.stop();
    });
    Ok(engine.run_forever()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_one_is_counted() {
        assert_eq!([1, 2, 3, 6, 27].map(steps_to_one), [0, 1, 7, 8, 111]);
    }
}
