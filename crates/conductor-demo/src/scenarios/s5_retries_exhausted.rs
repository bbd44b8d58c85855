//! Retries have an end, and then the failure is final.

use super::Scenario;
use crate::{
    failure::{Failure, check},
    look,
    stage::Stage,
};
use conductor_model::{RunDraft, State, TaskDraft};
use conductor_workers::{Context, Engine, TaskError};

pub(super) const SCENARIO: Scenario = Scenario {
    title: "Retries exhausted",
    about: "A child that may be retried twice fails three times. Then its failure is final, and the parent\n\
        and the run have failed.",
    play,
};

fn connect(port: u16, context: Context) -> Result<u16, TaskError> {
    if port == 0 {
        return Err(TaskError::retry(format!("connection refused (attempt {})", context.attempt())));
    }
    Ok(port)
}

fn play(stage: &Stage) -> Result<(), Failure> {
    let engine = Engine::builder(stage.store()?).handler("FLAKY", connect).build()?;
    // Children inherit the number of retries from their parent.
    let parent = TaskDraft::new("FLAKY").fan_out([443, 0]).max_retries(2);
    let run = engine.submit(RunDraft::new().task(parent))?;
    let outcome = engine.run_until_settled(run)?;
    stage.show(engine.store(), run)?;

    check("the run", outcome.state, State::Failed)?;
    let children = look::children(engine.store(), look::root(engine.store(), run)?.id)?;
    check("the first child", children[0].state, State::Succeeded)?;
    check("the second child", children[1].state, State::Failed)?;
    check("its retry count", children[1].retry_count, 2)?;
    check("the number of its attempts", children[1].attempt, 3)
}
