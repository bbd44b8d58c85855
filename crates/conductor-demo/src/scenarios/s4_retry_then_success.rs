//! A failed task with a retry left is retried and succeeds.

use super::scenario::Scenario;
use crate::{
    failure::{Failure, check},
    fixture::Fixture,
    queries,
};
use origin_conductor::store::EventFilter;
use origin_conductor::{Backoff, Context, Engine, RunDraft, State, TaskDraft, TaskError};

pub(super) const SCENARIO: Scenario = Scenario {
    title: "Retry, then success",
    about: "One of three children fails at its first attempt. It has retries left, so nothing is decided. Its\n\
        retry starts 20 ms later and succeeds.",
    play,
};

/// The second child fails at its first attempt.
fn call(host: String, context: Context) -> Result<String, TaskError> {
    if context.index() == 2 && context.attempt() == 1 {
        // Any other error that `?` returns is retried in the same way.
        return Err(TaskError::retry(format!("{host}: network timeout")));
    }
    Ok(format!("{host} answered after {} retries", context.retry_count()))
}

fn play(fixture: &Fixture) -> Result<(), Failure> {
    let engine = Engine::builder(fixture.store()?).handler("API_CALL", call).build()?;
    let hosts = ["a.example.org", "b.example.org", "c.example.org"];
    let parent = TaskDraft::new("API_CALL").fan_out(hosts).backoff(Backoff::fixed(20)?);
    let run = engine.submit(RunDraft::new().task(parent))?;
    let outcome = engine.run_until_settled(run)?;
    fixture.show(engine.store(), run)?;
    check("the run", outcome.state, State::Succeeded)?;

    let children = queries::children(engine.store(), queries::root(engine.store(), run)?.id)?;
    let retried = &children[1];
    check("its retry count", retried.retry_count, 1)?;
    check("the number of its attempts", retried.attempt, 2)?;

    // Every transition has an event.
    let of_task = EventFilter { task: Some(retried.id), ..EventFilter::default() };
    let events = engine.store().events(of_task, 0, 100)?.items;
    let names: Vec<&str> = events.iter().map(|event| event.body.name()).collect();
    fixture.gap();
    fixture.say(format_args!("The events of {}: {}", retried.name, names.join(", ")));
    let expected = "task.started, task.failed, task.retried, task.started, task.succeeded";
    check("the events of the retried child", names.join(", ").as_str(), expected)
}
