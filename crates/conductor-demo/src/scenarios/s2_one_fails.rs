//! One child fails permanently; then the parent and the run fail.

use super::scenario::Scenario;
use crate::{
    failure::{Failure, check},
    fixture::Fixture,
    queries,
};
use origin_conductor::{Context, Engine, RunDraft, State, TaskDraft, TaskError};

pub(super) const SCENARIO: Scenario = Scenario {
    title: "One task fails permanently",
    about: "The handler fails permanently for the second of three files. Its siblings keep their results; the\n\
        parent fails, and so does the run.",
    play,
};

/// Returns the number of imported rows.
fn import(file: String, _: Context) -> Result<u32, TaskError> {
    match file.as_str() {
        // A permanent failure: the task is not retried, although it has retries left.
        "b.csv" => Err(TaskError::fatal(format!("{file} has no header"))),
        _ => Ok(1000),
    }
}

fn play(fixture: &Fixture) -> Result<(), Failure> {
    let engine = Engine::builder(fixture.store()?).handler("IMPORT", import).build()?;
    // A task without a kind uses its name as kind. Each item is the input of one child.
    let parent = TaskDraft::new("IMPORT").fan_out(["a.csv", "b.csv", "c.csv"]);
    let run = engine.submit(RunDraft::new().task(parent))?;
    let outcome = engine.run_until_settled(run)?;
    fixture.show(engine.store(), run)?;

    check("the run", outcome.state, State::Failed)?;
    let parent = queries::root(engine.store(), run)?;
    check("the parent", parent.state, State::Failed)?;
    let children = queries::children(engine.store(), parent.id)?;
    check("the first child", children[0].state, State::Succeeded)?;
    check("the third child", children[2].state, State::Succeeded)?;
    check("the number of attempts at the second", children[1].attempt, 1)
}
