//! Children that are parents themselves.

use super::Scenario;
use crate::{
    failure::{Failure, check},
    look,
    stage::Stage,
};
use conductor_model::{RunDraft, State, TaskDraft};
use conductor_store::{Query, Report, Reports, Scope, Store, Submit, TaskFilter};
use conductor_workers::settle_all;
use serde_json::json;

pub(super) const SCENARIO: Scenario = Scenario {
    title: "Nested fan-out of two levels",
    about: "A fan-out over three items, two of which hold a `fanout` of their own: 100 children and 2. What\n\
        becomes of the leaves travels up both levels.",
    play,
};

fn play(stage: &Stage) -> Result<(), Failure> {
    let (store, source) = stage.open()?;
    let regions = json!({"fanout": [{"region": "north", "fanout": 100}, {"fanout": ["a", "b"]}, "south"]});
    let run = RunDraft::new().task(TaskDraft::new("REGIONS").input(regions)).check()?;
    let run = store.submit(&Submit::new(run, &source))?.run;
    let scope = Scope::Run(run);

    // `settle_all` repeats the workers until none of them has anything to do: here, level by level.
    let created = settle_all(&store, scope, &source)?.fanout.children;
    check("the number of children on both levels", created, 3 + 100 + 2)?;
    let leaf = look::children(&store, look::root(&store, run)?.id)
        .and_then(|regions| look::children(&store, regions[0].id))?
        .swap_remove(41);
    check("a name two levels down", leaf.name.as_str(), "REGIONS#1#42")?;
    // The children of a number get their parent's input without the number.
    let input = leaf.input.ok_or_else(|| Failure::new("REGIONS#1#42 has no input"))?;
    check("its input", input.as_str(), r#"{"region":"north"}"#)?;

    let pending = TaskFilter { state: Some(State::Pending) };
    let leaves = store.tasks(run, pending, None, 1000)?.items;
    check("the number of leaves", leaves.len(), 100 + 2 + 1)?;
    let reports = leaves.iter().map(|leaf| Report::succeeded(leaf.id));
    look::applied(store.report(&Reports::new(reports, &source))?)?;

    let decided = settle_all(&store, scope, &source)?.aggregate;
    stage.show(&store, run)?;
    check("the number of decided parents", decided.parents, 3)?;
    check("the run", look::state(&store, run)?, State::Succeeded)
}
