//! Counts the words of several lines, then adds the counts up in a join.
//!
//! ```sh
//! cargo run -p origin-conductor --example fan_out_and_join
//! ```

use origin_conductor::prelude::*;
use std::collections::BTreeMap;
use std::error::Error;

type Counts = BTreeMap<String, u64>;

/// Counts the words of one line.
#[expect(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "a handler's form")]
fn count(line: String, _: Context) -> Result<Counts, TaskError> {
    let mut counts = Counts::new();
    for word in line.split_whitespace() {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    Ok(counts)
}

/// Runs after all lines are counted. It reads the outputs in pages, so a million children need little memory.
#[expect(clippy::needless_pass_by_value, reason = "a handler's form")]
fn add_up(lines: Children<Counts>, _: Context) -> Result<Counts, TaskError> {
    let mut total = Counts::new();
    for counts in lines.outputs() {
        for (word, count) in counts? {
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

    // The output of the join is the output of the parent.
    let parent = engine.root_tasks(run)?[0].id;
    let total: Counts = engine.output(parent)?.ok_or("the parent has no output")?;
    assert_eq!((total["the"], total["cat"], total["sleeps"]), (4, 2, 1));
    println!("{total:?}");
    Ok(())
}

#[cfg(test)]
#[test]
fn join_adds_up_all_lines() {
    main().unwrap();
}
