//! Retries have an end, and then the failure is final.

use super::Scenario;
use crate::{
    failure::{Failure, check},
    look,
    stage::Stage,
};
use conductor_model::{RunDraft, State, TaskDraft};
use conductor_store::{Report, Reports, Scope, Store, Submit};
use conductor_workers::{fanout, retry, settle_all};
use serde_json::json;

pub(super) const SCENARIO: Scenario = Scenario {
    title: "Retries exhausted",
    about: "A child that may be retried twice fails three times. Then its failure is final, and the parent\n\
        and the run have failed.",
    play,
};

fn play(stage: &Stage) -> Result<(), Failure> {
    let (store, source) = stage.open()?;
    // Children inherit the number of retries from their parent.
    let parent = TaskDraft::new("FLAKY").input(json!({"fanout": 2})).max_retries(2);
    let run = RunDraft::new().task(parent).check()?;
    let run = store.submit(&Submit::new(run, &source))?.run;
    let scope = Scope::Run(run);
    fanout::run_once(&store, scope, &source)?;

    let children = look::children(&store, look::root(&store, run)?.id)?;
    look::applied(store.report(&Reports::new([Report::succeeded(children[0].id)], &source))?)?;
    for (attempt, retried) in [("first", 1), ("second", 1), ("third", 0)] {
        let failure = Report::failed(children[1].id, format!("connection refused ({attempt} attempt)"));
        look::applied(store.report(&Reports::new([failure], &source))?)?;
        let after = retry::run_once(&store, scope, &source)?;
        check(&format!("the number of retries after the {attempt} failure"), after.retried, retried)?;
    }

    settle_all(&store, scope, &source)?;
    stage.show(&store, run)?;
    let child = look::task(&store, children[1].id)?;
    check("the child", child.state, State::Failed)?;
    check("its retry count", child.retry_count, 2)?;
    check("the number of its attempts", child.attempt, 3)?;
    check("the run", look::state(&store, run)?, State::Failed)
}
