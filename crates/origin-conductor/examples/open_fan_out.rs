//! Appends items from a stream to an open fan-out; the first items run while later ones arrive.
//!
//! ```sh
//! cargo run -p origin-conductor --example open_fan_out
//! ```

use origin_conductor::prelude::*;
use std::error::Error;

/// The number of items in one append, which is one transaction.
const PAGE: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::builder(SqliteStore::open_in_memory()?)
        .handler("square", |number: u64, _: Context| Ok::<_, TaskError>(number * number))
        .handler("sum", |squares: Children<u64>, _: Context| {
            squares.outputs().sum::<Result<u64, TaskError>>()
        })
        .build()?;
    engine.start(); // the engine works in the background while this thread reads the stream

    let run = engine.submit(RunDraft::new().task(TaskDraft::new("square").open().join("sum")))?;
    let parent = engine.root_tasks(run)?[0].id;

    // Any iterator works: lines of a file, messages of a queue.
    let mut stream = (1..=1000_u64).peekable();
    let mut next_index = 1;
    while stream.peek().is_some() {
        let page: Vec<u64> = stream.by_ref().take(PAGE).collect();
        // An append is idempotent. If it is unknown whether one took effect, repeat it.
        next_index = engine.append(parent, next_index, page)?.next_index;
    }
    // Sealing fixes the number of children, so the join can run after the last one.
    engine.seal(parent, next_index - 1)?;

    assert_eq!(engine.run_until_settled(run)?.state, State::Succeeded);
    let sum: u64 = engine.output(parent)?.ok_or("the parent has no output")?;
    assert_eq!(sum, 333_833_500);
    println!("the sum of 1000 squares is {sum}");
    Ok(())
}

#[cfg(test)]
#[test]
fn items_run_while_more_arrive() {
    main().unwrap();
}
