//! As long as one child is not settled, nothing is decided.
//!
//! No engine here: the work is done elsewhere and reported, and the workers take one step at a time, so that each moment
//! can be looked at.

use super::Scenario;
use crate::{
    failure::{Failure, check},
    look,
    stage::Stage,
};
use conductor_model::{RunDraft, State, TaskDraft};
use conductor_store::{Report, ReportBatch, Scope, Store, Submit};
use conductor_workers::steps::{aggregate, fan_out};
use serde_json::json;

pub(super) const SCENARIO: Scenario = Scenario {
    title: "Partial completion",
    about: "The work is done elsewhere, and reported. Two of three children are done, the third still runs:\n\
        nothing is decided early. With the third, everything is.",
    play,
};

fn play(stage: &Stage) -> Result<(), Failure> {
    let (store, env) = stage.open()?;
    let run = RunDraft::new().task(TaskDraft::new("PARENT").input(json!({"fanout": 3}))).validate()?;
    let run = store.submit(&Submit::new(run, &env))?.run;
    let scope = Scope::Run(run);
    fan_out::run_once(&store, scope, &env)?;

    let parent = look::root(&store, run)?.id;
    let children = look::children(&store, parent)?;
    let reports = children.iter().map(|child| match child.index {
        3 => Report::started(child.id),
        _ => Report::succeeded(child.id),
    });
    look::applied(store.report(&ReportBatch::new(reports, &env))?)?;

    // However often the aggregate worker looks, it decides nothing.
    for _ in 0..3 {
        let decided = aggregate::run_once(&store, scope, &env)?;
        check("the number of decided parents and runs", decided.parents + decided.runs, 0)?;
    }
    stage.show(&store, run)?;
    check("the parent", look::task(&store, parent)?.state, State::Running)?;
    check("the run", look::state(&store, run)?, State::Running)?;

    let last = Report::succeeded(children[2].id);
    look::applied(store.report(&ReportBatch::new([last], &env))?)?;
    aggregate::run_once(&store, scope, &env)?;
    stage.gap();
    stage.show(&store, run)?;
    check("the run, in the end,", look::state(&store, run)?, State::Succeeded)
}
