//! Counts words in parts of a text, and brings the parts together at the end.
//!
//! ```sh
//! cargo run -p conductor-workers --example fan_out_and_join
//! ```

use conductor_model::{RunDraft, State, TaskDraft};
use conductor_store::{SqliteStore, TaskFilter};
use conductor_workers::{Children, Context, Engine, TaskError};
use std::collections::BTreeMap;
use std::error::Error;

type Counts = BTreeMap<String, u64>;

/// Each child counts its own part.
#[expect(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "a handler's form")]
fn count(text: String, _: Context) -> Result<Counts, TaskError> {
    let mut counts = Counts::new();
    for word in text.split_whitespace() {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    Ok(counts)
}

/// Runs when all parts are counted, never before, and never on half of them. The outputs are read page by page: there may
/// be a million of them.
#[expect(clippy::needless_pass_by_value, reason = "a handler's form")]
fn add_up(parts: Children<Counts>, _: Context) -> Result<Counts, TaskError> {
    let mut total = Counts::new();
    for part in parts.outputs() {
        for (word, count) in part? {
            *total.entry(word).or_default() += count;
        }
    }
    Ok(total)
}

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::builder(SqliteStore::open_in_memory()?)
        .handler("count", count)
        .handler("add up", add_up)
        .build()?;
    let lines = ["the cat and the dog", "the dog sleeps", "the cat does not"];
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("count").fan_out(lines).join("add up")))?;
    assert_eq!(engine.run_until_settled(run)?.state, State::Succeeded);

    // The join's output is its parent's.
    let parent = engine.store().tasks(run, TaskFilter::default(), None, 1)?.items.remove(0);
    let total: Counts = parent.output.ok_or("a parent with a join has its output")?.to()?;
    assert_eq!((total["the"], total["cat"], total["sleeps"]), (4, 2, 1));
    println!("{total:?}");
    Ok(())
}

#[cfg(test)]
#[test]
fn the_parts_are_added_up() {
    main().unwrap();
}
