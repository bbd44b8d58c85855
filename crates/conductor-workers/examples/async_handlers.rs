//! Handlers that are `async`: many that wait at once, on few threads.
//!
//! ```sh
//! cargo run -p conductor-workers --features tokio --example async_handlers
//! ```

use conductor_model::{RunDraft, State, TaskDraft};
use conductor_store::SqliteStore;
use conductor_workers::{Context, Engine, TaskError};
use std::error::Error;
use std::time::{Duration, Instant};

/// Pretends to ask a server far away, which is busy at the first attempt.
async fn fetch(host: String, context: Context) -> Result<usize, TaskError> {
    tokio::time::sleep(Duration::from_millis(100)).await;
    if context.attempt() == 1 && context.index() == 1 {
        return Err(TaskError::retry_after(Duration::from_millis(50), format!("{host} is busy")));
    }
    Ok(host.len())
}

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::builder(SqliteStore::open_in_memory()?)
        .handler("fetch", fetch) // in the same place as a plain function
        .workers(100) // so many wait at once
        .kind_limit("fetch", 50)
        .build()?;
    let hosts = (0..50).map(|number| format!("host-{number}.example.org"));
    // Whoever takes longer than a second is dropped, and tried again.
    let fetch = TaskDraft::new("fetch").fan_out(hosts).timeout_ms(1000);

    let began = Instant::now();
    let run = engine.submit(RunDraft::new().task(fetch))?;
    assert_eq!(engine.run_until_settled(run)?.state, State::Succeeded);
    println!("50 answers, each after 100 ms or more, in {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(5), "one after the other they would take longer");
    Ok(())
}

#[cfg(test)]
#[test]
fn all_hosts_are_asked_at_once() {
    main().unwrap();
}
