//! One child fails for good, and the failure travels up.

use super::Scenario;
use crate::{
    failure::{Failure, check},
    look,
    stage::Stage,
};
use conductor_model::{RunDraft, State, TaskDraft};
use conductor_store::{Report, Reports, Scope, Store, Submit};
use conductor_workers::settle_all;
use serde_json::json;

pub(super) const SCENARIO: Scenario = Scenario {
    title: "One task fails for good",
    about: "The second of three children fails, and no retry could help. Its siblings keep their results;\n\
        the parent has failed, and so has the run.",
    play,
};

fn play(stage: &Stage) -> Result<(), Failure> {
    let (store, source) = stage.open()?;
    let parent = TaskDraft::new("IMPORT").input(json!({"fanout": ["a.csv", "b.csv", "c.csv"]}));
    let run = RunDraft::new().task(parent).check()?;
    let run = store.submit(&Submit::new(run, &source))?.run;
    let scope = Scope::Run(run);
    settle_all(&store, scope, &source)?;

    // A failure for good has retries left, and none is made.
    let parent = look::root(&store, run)?.id;
    let children = look::children(&store, parent)?;
    let reports = children.iter().map(|child| match child.index {
        2 => Report::failed_for_good(child.id, "b.csv has no header"),
        _ => Report::succeeded(child.id),
    });
    look::applied(store.report(&Reports::new(reports, &source))?)?;

    let settled = settle_all(&store, scope, &source)?;
    stage.show(&store, run)?;
    check("the number of retries", settled.retry.retried, 0)?;
    check("the first child", look::task(&store, children[0].id)?.state, State::Succeeded)?;
    check("the parent", look::task(&store, parent)?.state, State::Failed)?;
    check("the run", look::state(&store, run)?, State::Failed)
}
