//! A handler, a run, and its end.
//!
//! ```sh
//! cargo run -p conductor-workers --example quick_start
//! ```

use conductor_model::{Json, RunDraft, State, TaskDraft};
use conductor_store::{SqliteStore, TaskFilter};
use conductor_workers::{Context, Engine, TaskError};
use std::error::Error;

/// Called once for each word, and again when it fails or the process dies under it.
#[expect(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "a handler's form")]
fn shout(word: String, context: Context) -> Result<String, TaskError> {
    println!("word {}: {word}", context.index());
    Ok(word.to_uppercase())
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?; // here only to clean up; a real program has a place of its own
    let store = SqliteStore::open(folder.path().join("words.db"))?;
    let engine = Engine::builder(store).handler("shout", shout).workers(2).build()?;

    // One child per word, each a call of the handler.
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("shout").fan_out(["good", "morning"])))?;
    let settled = engine.run_until_settled(run)?;
    assert_eq!(settled.state, State::Succeeded);

    let parent = engine.store().tasks(run, TaskFilter::default(), None, 1)?.items.remove(0);
    let words = engine.store().children(parent.id, 0, 10)?.items;
    let outputs: Vec<String> =
        words.iter().filter_map(|word| word.output.as_ref()).map(Json::to).collect::<Result<_, _>>()?;
    assert_eq!(outputs, ["GOOD", "MORNING"]);
    println!("{}", outputs.join(" "));
    Ok(())
}

#[cfg(test)]
#[test]
fn every_word_is_shouted() {
    main().unwrap();
}
