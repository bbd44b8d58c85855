//! One child fails for good, and the failure travels up.

use super::Scenario;
use crate::{
    failure::{Failure, check},
    look,
    stage::Stage,
};
use conductor_model::{RunDraft, State, TaskDraft};
use conductor_workers::{Context, Engine, TaskError};

pub(super) const SCENARIO: Scenario = Scenario {
    title: "One task fails for good",
    about: "The handler says of the second of three files that trying again would not help. Its siblings keep\n\
        their results; the parent has failed, and so has the run.",
    play,
};

/// How many rows were imported.
fn import(file: String, _: Context) -> Result<u32, TaskError> {
    match file.as_str() {
        // A failure for good: the task has retries left, and none is made.
        "b.csv" => Err(TaskError::fatal(format!("{file} has no header"))),
        _ => Ok(1000),
    }
}

fn play(stage: &Stage) -> Result<(), Failure> {
    let engine = Engine::builder(stage.store()?).handler("IMPORT", import).build()?;
    // A task without a kind is handled by its name. One child per item, which is the child's input.
    let parent = TaskDraft::new("IMPORT").fan_out(["a.csv", "b.csv", "c.csv"]);
    let run = engine.submit(RunDraft::new().task(parent))?;
    let outcome = engine.run_until_settled(run)?;
    stage.show(engine.store(), run)?;

    check("the run", outcome.state, State::Failed)?;
    let parent = look::root(engine.store(), run)?;
    check("the parent", parent.state, State::Failed)?;
    let children = look::children(engine.store(), parent.id)?;
    check("the first child", children[0].state, State::Succeeded)?;
    check("the third child", children[2].state, State::Succeeded)?;
    check("the number of attempts at the second", children[1].attempt, 1)
}
