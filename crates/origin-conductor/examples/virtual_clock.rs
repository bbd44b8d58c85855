//! Tests hours of retries, a crash and a deadline on a virtual clock; every execution gives the same result.
//!
//! ```sh
//! cargo run -p origin-conductor --features testing --example virtual_clock
//! ```

use origin_conductor::prelude::*;
use origin_conductor::testing::{Behavior, Simulation};
use std::error::Error;
use std::time::Duration;

/// The handler under test. It waits through the context, so the virtual clock can advance.
#[expect(clippy::needless_pass_by_value, reason = "a handler's form")]
fn call(host: String, context: Context) -> Result<String, TaskError> {
    if context.sleep(Duration::from_secs(30)) {
        return Err(TaskError::retry("interrupted"));
    }
    if context.attempt() < 4 { Err(TaskError::retry(format!("{host} is down"))) } else { Ok(host) }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut simulation = Simulation::new(SqliteStore::open_in_memory()?, 1)
        .handler("call", call)
        // A script replaces a handler whose work does not matter for the test.
        .script(
            "fragile",
            |context| if context.attempt() == 1 { Behavior::crash() } else { Behavior::succeed() },
        );

    let backoff = Backoff::exponential(3_600_000, 86_400_000)?;
    let run = simulation.submit(
        RunDraft::new()
            .task(TaskDraft::new("call").input("example.org").backoff(backoff))
            .task(TaskDraft::new("fragile").backoff(backoff))
            .deadline_ms(86_400_000),
    )?;
    assert_eq!(simulation.run_until_settled(run)?.state, State::Succeeded);
    // The crash used one attempt of the first task too: it waited one, two and four hours.
    let hours = simulation.elapsed().as_secs() / 3600;
    assert_eq!(hours, 7);
    println!("{hours} hours of virtual time");

    // With a shorter deadline the run is cancelled while it waits.
    let late = RunDraft::new()
        .task(TaskDraft::new("call").input("example.org").backoff(backoff))
        .deadline_ms(7_200_000);
    let run = simulation.submit(late)?;
    assert_eq!(simulation.run_until_settled(run)?.state, State::Cancelled);
    println!("one run was cancelled at its deadline");
    Ok(())
}

#[cfg(test)]
#[test]
fn hours_pass_on_virtual_clock() {
    main().unwrap();
}
