//! All children succeed; then the parent and the run succeed.

use super::scenario::Scenario;
use crate::{
    failure::{Failure, check},
    fixture::Fixture,
    queries,
};
use origin_conductor::{Context, Engine, Json, RunDraft, State, TaskDraft, TaskError};
use serde::Deserialize;
use serde_json::json;

pub(super) const SCENARIO: Scenario = Scenario {
    title: "All tasks succeed",
    about: "A parent fans out into three children. An engine calls the handler for each child. Then the parent\n\
        succeeds, and so does the run.",
    play,
};

/// The input of every child.
#[derive(Debug, Deserialize)]
struct Greeting {
    greeting: String,
}

/// The handler: a function from the input of a task to its output.
fn greet(Greeting { greeting }: Greeting, context: Context) -> Result<String, TaskError> {
    Ok(format!("{greeting}, number {}", context.index()))
}

fn play(fixture: &Fixture) -> Result<(), Failure> {
    // An engine with a handler for tasks of the kind `greet`.
    let engine = Engine::builder(fixture.store()?).handler("greet", greet).build()?;

    // Submit a run with one task and three children, and work until the run is settled.
    let parent = TaskDraft::new("PARENT").kind("greet").input(json!({"fanout": 3, "greeting": "Hello"}));
    let run = engine.submit(RunDraft::new().task(parent))?;
    let outcome = engine.run_until_settled(run)?;
    fixture.show(engine.store(), run)?;

    check("the run", outcome.state, State::Succeeded)?;
    let parent = queries::root(engine.store(), run)?;
    check("the parent", parent.state, State::Succeeded)?;
    let children = queries::children(engine.store(), parent.id)?;
    let outputs = children.iter().filter_map(|child| child.output.as_ref()).map(Json::as_str);
    let outputs = outputs.collect::<Vec<_>>().join(", ");
    fixture.gap();
    fixture.say(format_args!("The outputs: {outputs}"));
    let expected = r#""Hello, number 1", "Hello, number 2", "Hello, number 3""#;
    check("the outputs of the children", outputs.as_str(), expected)
}
