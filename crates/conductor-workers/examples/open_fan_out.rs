//! Work that is not known in advance: items arrive from a stream, and run while more arrive.
//!
//! ```sh
//! cargo run -p conductor-workers --example open_fan_out
//! ```

use conductor_model::{Json, RunDraft, State, TaskDraft};
use conductor_store::{Append, NodeId, Query, Seal, SqliteStore, Store, TaskFilter};
use conductor_workers::{Children, Context, Engine, TaskError};
use std::error::Error;
use std::sync::Arc;

/// How many items are appended in one transaction.
const PAGE: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let store = Arc::new(SqliteStore::open_in_memory()?);
    let engine = Engine::builder(Arc::clone(&store))
        .handler("square", |number: u64, _: Context| Ok::<_, TaskError>(number * number))
        .handler("sum", |squares: Children<u64>, _: Context| {
            squares.outputs().sum::<Result<u64, TaskError>>()
        })
        .build()?;
    engine.start(); // it works on what is there, while we read on

    let run = engine.submit(RunDraft::new().task(TaskDraft::new("square").open().join("sum")))?;
    let parent = store.tasks(run, TaskFilter::default(), None, 1)?.items[0].id;

    // Any iterator will do: lines of a file, messages of a queue.
    let mut stream = (1..=1000_u64).peekable();
    let mut next_index = 1;
    while stream.peek().is_some() {
        let page = stream.by_ref().take(PAGE).map(|item| Json::of(&item)).collect::<Result<Vec<_>, _>>()?;
        // Whoever does not know whether an append arrived makes it again: what is there already adds nothing.
        next_index = store.append(&Append::items(parent, next_index, page, engine.environment()))?.next_index;
        engine.wake();
    }
    // Nothing more will come: now the end can be told from a pause.
    store.seal(&Seal::new(NodeId::Task(parent), next_index - 1, engine.environment()))?;
    engine.wake();

    assert_eq!(engine.run_until_settled(run)?.state, State::Succeeded);
    let sum: u64 = store.task(parent)?.and_then(|parent| parent.output).ok_or("an output")?.to()?;
    assert_eq!(sum, 333_833_500);
    println!("the sum of 1000 squares is {sum}");
    Ok(())
}

#[cfg(test)]
#[test]
fn a_stream_is_worked_on_while_it_arrives() {
    main().unwrap();
}
