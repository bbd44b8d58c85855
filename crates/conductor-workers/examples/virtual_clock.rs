//! Testing with the virtual clock: a day of retries, a crash and a deadline in microseconds, the same at each try.
//!
//! ```sh
//! cargo run -p conductor-workers --example virtual_clock
//! ```

use conductor_model::{Backoff, RunDraft, State, TaskDraft};
use conductor_store::SqliteStore;
use conductor_workers::testing::{Behavior, Simulation};
use conductor_workers::{Context, TaskError};
use std::error::Error;
use std::time::Duration;

/// The handler under test: it waits by the context, so that the clock can be moved for it.
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it gets")]
fn call(host: String, context: Context) -> Result<String, TaskError> {
    if context.sleep(Duration::from_secs(30)) {
        return Err(TaskError::retry("gave up"));
    }
    if context.attempt() < 4 { Err(TaskError::retry(format!("{host} is down"))) } else { Ok(host) }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut simulation = Simulation::new(SqliteStore::open_in_memory()?, 1)
        .handler("call", call)
        // A script says what happens, where the handler does not matter.
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
    // The crash of the other task cost one attempt, too: three waits, of one, two and four hours.
    let hours = simulation.elapsed().as_secs() / 3600;
    assert_eq!(hours, 7);
    println!("{hours} hours went by");

    // With a shorter deadline it is cancelled while it waits.
    let late = RunDraft::new()
        .task(TaskDraft::new("call").input("example.org").backoff(backoff))
        .deadline_ms(7_200_000);
    let run = simulation.submit(late)?;
    assert_eq!(simulation.run_until_settled(run)?.state, State::Cancelled);
    println!("and one run was cancelled at its deadline");
    Ok(())
}

#[cfg(test)]
#[test]
fn a_day_passes_in_no_time() {
    main().unwrap();
}
