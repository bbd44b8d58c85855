//! A process dies in the middle of its work, and the next one goes on where it was.
//!
//! ```sh
//! cargo run -p conductor-workers --example resume_after_crash
//! ```

use conductor_model::{RunDraft, State, TaskDraft};
use conductor_store::SqliteStore;
use conductor_workers::{Context, Engine, TaskError};
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Names the database to the process that is going to die.
const VICTIM: &str = "CONDUCTOR_EXAMPLE_VICTIM";

/// Dies at the tenth task, with all that its process was doing: at the first attempt.
#[expect(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "a handler's form")]
fn work(number: u32, context: Context) -> Result<u32, TaskError> {
    if number == 10 && context.attempt() == 1 {
        std::process::abort();
    }
    std::thread::sleep(Duration::from_millis(1));
    Ok(number)
}

/// The same program twice: the key gives the same run again.
fn run(database: &Path) -> Result<(), Box<dyn Error>> {
    let engine = Engine::builder(SqliteStore::open(database)?).handler("work", work).workers(4).build()?;
    let draft = RunDraft::new().idempotency_key("tonight").task(TaskDraft::new("work").fan_out(1..=200_u32));
    let run = engine.submit(draft)?;
    let before = engine.store().run(run)?.ok_or("it was just submitted")?.state_counts;
    println!("{} of its tasks have succeeded before", before.succeeded);

    let settled = engine.run_until_settled(run)?;
    assert_eq!(settled.state, State::Succeeded);
    assert_eq!(settled.state_counts.succeeded, 201); // and their parent
    println!("all {} have succeeded now", settled.state_counts.succeeded - 1);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(database) = std::env::var_os(VICTIM) {
        return run(Path::new(&database));
    }
    let folder = tempfile::tempdir()?; // here only to clean up; a real program has a place of its own
    let database = folder.path().join("work.db");
    // This program once more, as the process that dies.
    let mut victim = Command::new(std::env::current_exe()?);
    let status = victim.args(victim_arguments()).env(VICTIM, &database).status()?;
    assert!(!status.success(), "it aborts in the middle");
    println!("the first process died");
    run(&database)
}

/// Under the test command this program is a test, and is told which one.
fn victim_arguments() -> Vec<&'static str> {
    if cfg!(test) {
        vec!["--exact", "what_a_crash_interrupts_is_done_by_the_next_process", "--nocapture"]
    } else {
        vec![]
    }
}

#[cfg(test)]
#[test]
fn what_a_crash_interrupts_is_done_by_the_next_process() {
    main().unwrap();
}
