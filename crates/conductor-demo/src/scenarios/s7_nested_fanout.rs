//! Children that are parents of other children.

use super::scenario::Scenario;
use crate::{
    failure::{Failure, check},
    fixture::Fixture,
    queries,
};
use origin_conductor::{Context, Engine, RunDraft, State, TaskDraft, TaskError};
use serde_json::{Value, json};

pub(super) const SCENARIO: Scenario = Scenario {
    title: "Nested fan-out of two levels",
    about: "A fan-out over three items. Two items have a `fanout` of their own: 100 children and 2. An engine\n\
        works on the leaves, and their results decide both levels of parents.",
    play,
};

/// The engine calls this for leaves only. The children of a parent decide its state.
fn survey(region: Value, _: Context) -> Result<Value, TaskError> {
    Ok(json!({"surveyed": region}))
}

fn play(fixture: &Fixture) -> Result<(), Failure> {
    let engine = Engine::builder(fixture.store()?).handler("REGIONS", survey).build()?;
    let regions = json!({"fanout": [{"region": "north", "fanout": 100}, {"fanout": ["a", "b"]}, "south"]});
    let run = engine.submit(RunDraft::new().task(TaskDraft::new("REGIONS").input(regions)))?;
    let outcome = engine.run_until_settled(run)?;
    fixture.show(engine.store(), run)?;
    check("the run", outcome.state, State::Succeeded)?;
    check(
        "the number of parents and leaves that succeeded",
        outcome.state_counts.succeeded,
        3 + 100 + 2 + 1,
    )?;

    let leaf = queries::children(engine.store(), queries::root(engine.store(), run)?.id)
        .and_then(|regions| queries::children(engine.store(), regions[0].id))?
        .swap_remove(41);
    check("a name two levels down", leaf.name.as_str(), "REGIONS#1#42")?;
    // Children of a counted fan-out inherit the parent's input without the key `fanout`.
    let output = leaf.output.ok_or_else(|| Failure::new("REGIONS#1#42 has no output"))?;
    check("its output", output.as_str(), r#"{"surveyed":{"region":"north"}}"#)
}
