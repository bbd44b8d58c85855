//! Runs one handler on two items and reads the outputs.
//!
//! ```sh
//! cargo run -p origin-conductor --example quick_start
//! ```

use origin_conductor::prelude::*;
use std::error::Error;

/// Runs once for each word; runs again if it fails or if its process dies.
#[expect(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "a handler's form")]
fn shout(word: String, context: Context) -> Result<String, TaskError> {
    println!("word {}: {word}", context.index());
    Ok(word.to_uppercase())
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?; // a real program uses a permanent path
    let store = SqliteStore::open(folder.path().join("words.db"))?;
    let engine = Engine::builder(store).handler("shout", shout).workers(2).build()?;

    // One child for each word.
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("shout").fan_out(["good", "morning"])))?;
    let settled = engine.run_until_settled(run)?;
    assert_eq!(settled.state, State::Succeeded);

    let parent = engine.root_tasks(run)?[0].id;
    let outputs: Vec<(u32, String)> = engine.outputs(parent)?.collect::<Result<_, _>>()?;
    assert_eq!(outputs, [(1, "GOOD".to_owned()), (2, "MORNING".to_owned())]);
    println!("{outputs:?}");
    Ok(())
}

#[cfg(test)]
#[test]
fn every_word_gets_output() {
    main().unwrap();
}
