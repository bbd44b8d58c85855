//! Aborts a process in the middle of its work; the next process resumes the run.
//!
//! ```sh
//! cargo run -p origin-conductor --example resume_after_crash
//! ```

use origin_conductor::prelude::*;
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Passes the database path to the process that aborts.
const VICTIM: &str = "CONDUCTOR_EXAMPLE_VICTIM";

/// Aborts its process at the first attempt of task 10.
#[expect(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "a handler's form")]
fn work(number: u32, context: Context) -> Result<u32, TaskError> {
    if number == 10 && context.attempt() == 1 {
        std::process::abort();
    }
    std::thread::sleep(Duration::from_millis(1));
    Ok(number)
}

/// Runs in both processes. The idempotency key makes both submissions one run.
fn run(database: &Path) -> Result<(), Box<dyn Error>> {
    let engine = Engine::builder(SqliteStore::open(database)?).handler("work", work).workers(4).build()?;
    let draft = RunDraft::new().idempotency_key("tonight").task(TaskDraft::new("work").fan_out(1..=200_u32));
    let run = engine.submit(draft)?;
    let before = engine.run(run)?.ok_or("the run is missing")?.state_counts;
    println!("{} of its tasks have succeeded before", before.succeeded);

    let settled = engine.run_until_settled(run)?;
    assert_eq!(settled.state, State::Succeeded);
    assert_eq!(settled.state_counts.succeeded, 201); // 200 children and their parent
    println!("all {} have succeeded now", settled.state_counts.succeeded - 1);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(database) = std::env::var_os(VICTIM) {
        return run(Path::new(&database));
    }
    let folder = tempfile::tempdir()?; // a real program uses a permanent path
    let database = folder.path().join("work.db");
    // Starts this program again as the process that aborts.
    let mut victim = Command::new(std::env::current_exe()?);
    let status = victim.args(victim_arguments()).env(VICTIM, &database).status()?;
    assert!(!status.success(), "the first process must abort");
    println!("the first process died");
    run(&database)
}

/// The arguments that make the test program run only this test.
fn victim_arguments() -> Vec<&'static str> {
    if cfg!(test) { vec!["--exact", "next_process_resumes_interrupted_run", "--nocapture"] } else { vec![] }
}

#[cfg(test)]
#[test]
fn next_process_resumes_interrupted_run() {
    main().unwrap();
}
