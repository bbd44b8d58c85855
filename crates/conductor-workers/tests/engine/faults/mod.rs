//! An engine on a store that fails.

mod busy;
mod corrupt_rows;
mod permanent;
mod unknown_commits;

use crate::faulty_store::{FaultyStore, Injection};
use crate::support::fixture::Fixture;
use conductor_model::{RunDraft, RunId, TaskDraft};
use conductor_store::SubmitError;
use conductor_workers::{Context, Engine, TaskError};
use serde_json::{Value, json};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Submits a tree of tasks with retries.
fn tree(fixture: &Fixture) -> RunId {
    let item = json!({"fanout": 7});
    fixture.submit_all([
        TaskDraft::new("a").kind("work").input(json!({"fanout": [item, item, item]})).max_retries(20),
        TaskDraft::new("b").kind("work").max_retries(20),
    ])
}

#[expect(clippy::needless_pass_by_value, reason = "a handler owns its input")]
fn work(_: Value, context: Context) -> Result<u32, TaskError> {
    if context.retry_count() == 0 && context.index().is_multiple_of(3) {
        return Err(TaskError::retry("once"));
    }
    Ok(context.attempt())
}

/// Injects a fault into about one of eight calls. The seed selects the calls.
fn fail_on_some_calls(seed: u64, injection: impl Fn() -> Injection) -> impl Fn(&'static str) -> Injection {
    let calls = AtomicU64::new(0);
    move |_| {
        let mut hasher = DefaultHasher::new();
        (seed, calls.fetch_add(1, Ordering::SeqCst)).hash(&mut hasher);
        if hasher.finish().is_multiple_of(8) { injection() } else { Injection::Pass }
    }
}

/// Submits runs to an idle engine until it claims one within its submission. Returns the result of that submission.
fn submit_to_idle_engine(
    engine: &Engine,
    store: &FaultyStore,
    draft: impl Fn() -> RunDraft,
) -> Result<RunId, SubmitError> {
    engine.start();
    for _ in 0..100 {
        thread::sleep(Duration::from_millis(60));
        let submitted = engine.submit(draft());
        if store.calls("submit_and_claim") > 0 {
            return submitted;
        }
    }
    panic!("no submission was claimed");
}
