//! Everything succeeds, and success travels up from the children to the parent and the run.

use super::Scenario;
use crate::{
    failure::{Failure, check},
    look,
    stage::Stage,
};
use conductor_model::{Json, RunDraft, State, TaskDraft};
use conductor_workers::{Context, Engine, TaskError};
use serde::Deserialize;
use serde_json::json;

pub(super) const SCENARIO: Scenario = Scenario {
    title: "All tasks succeed",
    about: "A parent fans out into three children. An engine calls the handler for each of them; then the\n\
        parent has succeeded, and so has the run.",
    play,
};

/// What every child is given.
#[derive(Debug, Deserialize)]
struct Greeting {
    greeting: String,
}

/// The handler: from the input of a task to its output.
fn greet(Greeting { greeting }: Greeting, context: Context) -> Result<String, TaskError> {
    Ok(format!("{greeting}, number {}", context.index()))
}

fn play(stage: &Stage) -> Result<(), Failure> {
    // An engine, with a handler for tasks of the kind `greet`.
    let engine = Engine::builder(stage.store()?).handler("greet", greet).build()?;

    // Submit a run whose one task asks for three children, and work until all of it is settled.
    let parent = TaskDraft::new("PARENT").kind("greet").input(json!({"fanout": 3, "greeting": "Hello"}));
    let run = engine.submit(RunDraft::new().task(parent))?;
    let outcome = engine.run_until_settled(run)?;
    stage.show(engine.store(), run)?;

    check("the run", outcome.state, State::Succeeded)?;
    let parent = look::root(engine.store(), run)?;
    check("the parent", parent.state, State::Succeeded)?;
    let children = look::children(engine.store(), parent.id)?;
    let outputs = children.iter().filter_map(|child| child.output.as_ref()).map(Json::as_str);
    let outputs = outputs.collect::<Vec<_>>().join(", ");
    stage.gap();
    stage.say(format_args!("What they put out: {outputs}"));
    let should_be = r#""Hello, number 1", "Hello, number 2", "Hello, number 3""#;
    check("what the children put out", outputs.as_str(), should_be)
}
