//! A task fails permanently when its retries are exhausted.

use super::scenario::Scenario;
use crate::{
    failure::{Failure, check},
    fixture::Fixture,
    queries,
};
use origin_conductor::{Context, Engine, RunDraft, State, TaskDraft, TaskError};

pub(super) const SCENARIO: Scenario = Scenario {
    title: "Retries exhausted",
    about: "A child with two retries fails three times. Then its failure is final, and the parent and the run\n\
        fail.",
    play,
};

fn connect(port: u16, context: Context) -> Result<u16, TaskError> {
    if port == 0 {
        return Err(TaskError::retry(format!("connection refused (attempt {})", context.attempt())));
    }
    Ok(port)
}

fn play(fixture: &Fixture) -> Result<(), Failure> {
    let engine = Engine::builder(fixture.store()?).handler("FLAKY", connect).build()?;
    // Children inherit the maximum number of retries from their parent.
    let parent = TaskDraft::new("FLAKY").fan_out([443, 0]).max_retries(2);
    let run = engine.submit(RunDraft::new().task(parent))?;
    let outcome = engine.run_until_settled(run)?;
    fixture.show(engine.store(), run)?;

    check("the run", outcome.state, State::Failed)?;
    let children = queries::children(engine.store(), queries::root(engine.store(), run)?.id)?;
    check("the first child", children[0].state, State::Succeeded)?;
    check("the second child", children[1].state, State::Failed)?;
    check("its retry count", children[1].retry_count, 2)?;
    check("the number of its attempts", children[1].attempt, 3)
}
