//! A failure that has a retry left is not the end.

use super::Scenario;
use crate::{
    failure::{Failure, check},
    look,
    stage::Stage,
};
use conductor_model::{RunDraft, State, TaskDraft};
use conductor_store::{Report, Reports, Scope, Store, Submit};
use conductor_workers::{aggregate, fanout, retry};
use serde_json::json;

pub(super) const SCENARIO: Scenario = Scenario {
    title: "Retry, then success",
    about: "One of three children fails and has retries left, so that nothing is decided. It is tried again,\n\
        and succeeds the second time.",
    play,
};

fn play(stage: &Stage) -> Result<(), Failure> {
    let (store, source) = stage.open()?;
    let run = RunDraft::new().task(TaskDraft::new("API_CALL").input(json!({"fanout": 3}))).check()?;
    let run = store.submit(&Submit::new(run, &source))?.run;
    let scope = Scope::Run(run);
    fanout::run_once(&store, scope, &source)?;

    let children = look::children(&store, look::root(&store, run)?.id)?;
    let reports = children.iter().map(|child| match child.index {
        2 => Report::failed(child.id, "Network timeout"),
        _ => Report::succeeded(child.id),
    });
    look::applied(store.report(&Reports::new(reports, &source))?)?;

    // A failed child that has retries left decides nothing.
    aggregate::run_once(&store, scope, &source)?;
    stage.show(&store, run)?;
    check("the run, before the retry,", look::state(&store, run)?, State::Running)?;

    // The retry worker makes it PENDING again.
    check("the number of retried tasks", retry::run_once(&store, scope, &source)?.retried, 1)?;
    let retried = look::task(&store, children[1].id)?;
    check("the retried child", retried.state, State::Pending)?;
    check("its retry count", retried.retry_count, 1)?;

    look::applied(store.report(&Reports::new([Report::succeeded(retried.id)], &source))?)?;
    aggregate::run_once(&store, scope, &source)?;
    stage.gap();
    stage.show(&store, run)?;
    check("the run, after the retry,", look::state(&store, run)?, State::Succeeded)
}
