//! Everything succeeds, and success travels up from the children to the parent and the run.

use super::Scenario;
use crate::{
    failure::{Failure, check},
    look,
    stage::Stage,
};
use conductor_model::{RunDraft, State, TaskDraft};
use conductor_store::{Report, Reports, Scope, Store, Submit};
use conductor_workers::{aggregate, fanout};
use serde_json::json;

pub(super) const SCENARIO: Scenario = Scenario {
    title: "All tasks succeed",
    about: "A parent fans out into three children. Each is done and reported; then the parent has\n\
        succeeded, and so has the run.",
    play,
};

fn play(stage: &Stage) -> Result<(), Failure> {
    let (store, source) = stage.open()?;

    // Submit a run whose one task asks for three children.
    let parent = TaskDraft::new("PARENT").input(json!({"fanout": 3}));
    let run = RunDraft::new().task(parent).check()?;
    let run = store.submit(&Submit::new(run, &source))?.run;

    // The fan-out worker creates PARENT#1, PARENT#2 and PARENT#3; a second time it has nothing to do.
    let scope = Scope::Run(run);
    check("the number of created children", fanout::run_once(&store, scope, &source)?.children, 3)?;
    check("the number created by a second fan-out", fanout::run_once(&store, scope, &source)?.children, 0)?;

    // Somebody does the work, and reports it.
    let parent = look::root(&store, run)?.id;
    let children = look::children(&store, parent)?;
    let reports = children.iter().map(|child| Report::succeeded(child.id));
    look::applied(store.report(&Reports::new(reports, &source))?)?;

    // The aggregate worker carries the states up.
    aggregate::run_once(&store, scope, &source)?;
    stage.show(&store, run)?;
    check("the parent", look::task(&store, parent)?.state, State::Succeeded)?;
    check("the run", look::state(&store, run)?, State::Succeeded)
}
