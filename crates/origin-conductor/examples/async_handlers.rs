//! Runs asynchronous handlers: many of them wait at the same time on few threads.
//!
//! ```sh
//! cargo run -p origin-conductor --features tokio --example async_handlers
//! ```

use origin_conductor::prelude::*;
use std::error::Error;
use std::time::{Duration, Instant};

/// Simulates a request to a remote server that is busy at the first attempt.
async fn fetch(host: String, context: Context) -> Result<usize, TaskError> {
    tokio::time::sleep(Duration::from_millis(100)).await;
    if context.attempt() == 1 && context.index() == 1 {
        return Err(TaskError::retry_after(Duration::from_millis(50), format!("{host} is busy")));
    }
    Ok(host.len())
}

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::builder(SqliteStore::open_in_memory()?)
        .handler("fetch", fetch) // registered like a plain function
        .workers(100) // up to 100 attempts wait at the same time
        .kind_limit("fetch", 50)
        .build()?;
    let hosts = (0..50).map(|number| format!("host-{number}.example.org"));
    // An attempt that takes longer than a second is dropped and retried.
    let fetch = TaskDraft::new("fetch").fan_out(hosts).timeout_ms(1000);

    let started = Instant::now();
    let run = engine.submit(RunDraft::new().task(fetch))?;
    assert_eq!(engine.run_until_settled(run)?.state, State::Succeeded);
    println!("50 answers, each after 100 ms or more, in {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(5), "the handlers must run concurrently");
    Ok(())
}

#[cfg(test)]
#[test]
fn requests_run_concurrently() {
    main().unwrap();
}
