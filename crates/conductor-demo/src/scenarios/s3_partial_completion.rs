//! While one child is not settled, the parent and the run are not decided.
//!
//! This scenario uses no engine. Another program does the work and reports it. The steps are called one by one, so that
//! each intermediate state can be checked.

use super::scenario::Scenario;
use crate::{
    failure::{Failure, check},
    fixture::Fixture,
    queries,
};
use origin_conductor::steps::{aggregate, fan_out};
use origin_conductor::store::{ReportBatch, Store, Submit};
use origin_conductor::{Report, RunDraft, Scope, State, TaskDraft};
use serde_json::json;

pub(super) const SCENARIO: Scenario = Scenario {
    title: "Partial completion",
    about: "Another program does the work and reports it. Two of three children are done and the third still\n\
        runs, so nothing is decided. When the third succeeds, the parent and the run succeed.",
    play,
};

fn play(fixture: &Fixture) -> Result<(), Failure> {
    let (store, env) = fixture.open()?;
    let run = RunDraft::new().task(TaskDraft::new("PARENT").input(json!({"fanout": 3}))).validate()?;
    let run = store.submit(&Submit::new(run, &env))?.run;
    let scope = Scope::Run(run);
    fan_out::run_once(&store, scope, &env)?;

    let parent = queries::root(&store, run)?.id;
    let children = queries::children(&store, parent)?;
    let reports = children.iter().map(|child| match child.index {
        3 => Report::started(child.id),
        _ => Report::succeeded(child.id),
    });
    queries::applied(store.report(&ReportBatch::new(reports, &env))?)?;

    // The aggregate step decides nothing, however often it is called.
    for _ in 0..3 {
        let decided = aggregate::run_once(&store, scope, &env)?;
        check("the number of decided parents and runs", decided.parents + decided.runs, 0)?;
    }
    fixture.show(&store, run)?;
    check("the parent", queries::task(&store, parent)?.state, State::Running)?;
    check("the run", queries::state(&store, run)?, State::Running)?;

    let last = Report::succeeded(children[2].id);
    queries::applied(store.report(&ReportBatch::new([last], &env))?)?;
    aggregate::run_once(&store, scope, &env)?;
    fixture.gap();
    fixture.show(&store, run)?;
    check("the run at the end", queries::state(&store, run)?, State::Succeeded)
}
