//! Children that are parents themselves.

use super::Scenario;
use crate::{
    failure::{Failure, check},
    look,
    stage::Stage,
};
use conductor_model::{RunDraft, State, TaskDraft};
use conductor_workers::{Context, Engine, TaskError};
use serde_json::{Value, json};

pub(super) const SCENARIO: Scenario = Scenario {
    title: "Nested fan-out of two levels",
    about: "A fan-out over three items, two of which hold a `fanout` of their own: 100 children and 2. An\n\
        engine works on the leaves, and what becomes of them travels up both levels.",
    play,
};

/// Called for leaves only: parents are decided by their children.
fn survey(region: Value, _: Context) -> Result<Value, TaskError> {
    Ok(json!({"surveyed": region}))
}

fn play(stage: &Stage) -> Result<(), Failure> {
    let engine = Engine::builder(stage.store()?).handler("REGIONS", survey).build()?;
    let regions = json!({"fanout": [{"region": "north", "fanout": 100}, {"fanout": ["a", "b"]}, "south"]});
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("REGIONS").input(regions)))?;
    let outcome = engine.run_until_settled(run)?;
    stage.show(engine.store(), run)?;
    check("the run", outcome.state, State::Succeeded)?;
    check(
        "the number of parents and leaves that succeeded",
        outcome.state_counts.succeeded,
        3 + 100 + 2 + 1,
    )?;

    let leaf = look::children(engine.store(), look::root(engine.store(), run)?.id)
        .and_then(|regions| look::children(engine.store(), regions[0].id))?
        .swap_remove(41);
    check("a name two levels down", leaf.name.as_str(), "REGIONS#1#42")?;
    // The children of a number get their parent's input without the number.
    let output = leaf.output.ok_or_else(|| Failure::new("REGIONS#1#42 has no output"))?;
    check("its output", output.as_str(), r#"{"surveyed":{"region":"north"}}"#)
}
