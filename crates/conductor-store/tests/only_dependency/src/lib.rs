//! A program that depends on `conductor-store` alone: it names no other crate of the workspace.
#![cfg(test)]

use conductor_store::{
    AttemptResult, Claim, Environment, FanOut, Json, Kind, KindQuota, Monitor, NodeId, Page, Query,
    RegisterEngine, Run, RunDraft, RunId, Scope, Settle, SqliteStore, State, StateCounts, Step, Store,
    StuckThreshold, Submit, Task, TaskDraft, TaskFilter, Timestamp,
};

fn submit(store: &SqliteStore, env: &Environment) -> RunId {
    let input: Json = r#"{"fanout": 3}"#.parse().unwrap();
    let draft = RunDraft::new().task(TaskDraft::new("PARENT").kind("work").input(input));
    store.submit(&Submit::new(draft.validate().unwrap(), env)).unwrap().run
}

/// Claims all ready tasks of the kind `work`, and settles them with success.
fn work(store: &SqliteStore, env: &Environment) -> usize {
    let kind: Kind = "work".parse().unwrap();
    let engine = store.register_engine(&RegisterEngine::new(env)).unwrap();
    let claim = Claim::new(engine.key(), vec![KindQuota::new(kind, 10)], 30_000, env);
    let tasks = store.claim(&claim).unwrap().tasks();
    let results = tasks.iter().map(|task| (task.fence, AttemptResult::Succeeded { output: None }));
    let settled = store.settle(&Settle::new(results.collect(), env)).unwrap();
    settled.results.len()
}

#[test]
fn run_settles_without_other_crates() {
    let store = SqliteStore::open_in_memory().unwrap();
    let env = Environment::system();
    let id = submit(&store, &env);
    assert_eq!(store.fan_out(&FanOut::new(Scope::Run(id), 100, &env)).unwrap().children, 3);
    assert_eq!(work(&store, &env), 3);
    let step = Step::new(Scope::Run(id), 100, &env);
    while store.aggregate(&step).unwrap().more {}

    let run: Run = store.run(id).unwrap().unwrap();
    assert_eq!(run.state, State::Succeeded);
    let tasks: Page<Task, _> = store.tasks(id, TaskFilter::default(), None, 10).unwrap();
    assert_eq!(tasks.items.len(), 4);
    let counts: StateCounts = store.state_counts(Scope::Run(id)).unwrap();
    assert_eq!(counts.succeeded, 4);
}

#[test]
fn reads_name_types_of_this_crate() {
    let store = SqliteStore::open_in_memory().unwrap();
    let env = Environment::system();
    let id = submit(&store, &env);
    let now: Timestamp = env.now();
    let explanation: Option<conductor_store::Explanation> = store.explain(NodeId::Run(id), now).unwrap();
    assert!(explanation.is_some());
    let summary: Option<conductor_store::RunSummary> = store.summary(id, StuckThreshold::at(now)).unwrap();
    assert!(summary.is_some());
    let error: conductor_store::ValidationError =
        RunDraft::new().task(TaskDraft::new("")).validate().unwrap_err();
    assert!(!error.issues().is_empty());
    // The module `model` has the names that are not at the root.
    assert!(conductor_store::model::retry_is_due(now, now));
}
