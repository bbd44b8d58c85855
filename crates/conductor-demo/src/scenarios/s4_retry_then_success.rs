//! A failure that has a retry left is not the end.

use super::Scenario;
use crate::{
    failure::{Failure, check},
    look,
    stage::Stage,
};
use conductor_model::{Backoff, RunDraft, State, TaskDraft};
use conductor_store::EventFilter;
use conductor_workers::{Context, Engine, TaskError};

pub(super) const SCENARIO: Scenario = Scenario {
    title: "Retry, then success",
    about: "The handler of one of three children fails at its first attempt. The child has retries left, so\n\
        that nothing is decided; it is tried again 20 ms later, and succeeds.",
    play,
};

/// The second call times out, once.
fn call(host: String, context: Context) -> Result<String, TaskError> {
    if context.index() == 2 && context.attempt() == 1 {
        // Any other error that `?` hands on is tried again in the same way.
        return Err(TaskError::retry(format!("{host}: network timeout")));
    }
    Ok(format!("{host} answered after {} retries", context.retry_count()))
}

fn play(stage: &Stage) -> Result<(), Failure> {
    let engine = Engine::builder(stage.store()?).handler("API_CALL", call).build()?;
    let hosts = ["a.example.org", "b.example.org", "c.example.org"];
    let parent = TaskDraft::new("API_CALL").fan_out(hosts).backoff(Backoff::fixed(20)?);
    let run = engine.submit(RunDraft::new().task(parent))?;
    let outcome = engine.run_until_settled(run)?;
    stage.show(engine.store(), run)?;
    check("the run", outcome.state, State::Succeeded)?;

    let children = look::children(engine.store(), look::root(engine.store(), run)?.id)?;
    let retried = &children[1];
    check("its retry count", retried.retry_count, 1)?;
    check("the number of its attempts", retried.attempt, 2)?;

    // Every transition is an event.
    let of_task = EventFilter { task: Some(retried.id), ..EventFilter::default() };
    let story = engine.store().events(of_task, 0, 100)?.items;
    let names: Vec<&str> = story.iter().map(|event| event.body.name()).collect();
    stage.gap();
    stage.say(format_args!("The events of {}: {}", retried.name, names.join(", ")));
    let should_be = "task.started, task.failed, task.retried, task.started, task.succeeded";
    check("the story of the retried child", names.join(", ").as_str(), should_be)
}
