//! SQLite counts in the transaction of a failure, and so applies fail-fast in it: earlier than every store must.

use crate::support::TestStore;
use conductor_model::{AttemptFailure, CancelCause, Policy, RunDraft, State, TaskDraft};
use conductor_store::{
    AttemptResult, Claim, FanOut, KindQuota, Query, RegisterEngine, Scope, Settle, Store, TaskFilter,
};
use serde_json::json;

#[test]
fn settlement_claims_no_sibling_of_failure() {
    let test = TestStore::new();
    let parent = TaskDraft::new("P").kind("A").input(json!({"fanout": 3})).policy(Policy::FailFast);
    let run = test.submit(&RunDraft::new().task(parent).task(TaskDraft::new("A")));
    assert_eq!(test.store.fan_out(&FanOut::new(Scope::Run(run), 9, &test.env)).unwrap().children, 3);
    let engine = test.store.register_engine(&RegisterEngine::new(&test.env)).unwrap();
    let claim = |limit| {
        Claim::new(engine.key(), vec![KindQuota::new("A".parse().unwrap(), limit)], 30_000, &test.env)
    };
    let claimed = test.store.claim(&claim(2)).unwrap().tasks();
    assert_eq!(claimed.iter().map(|task| task.index).collect::<Vec<_>>(), [2, 1], "the root is older");
    let failure = AttemptResult::Failed(AttemptFailure::fatal("it is broken"));
    let results = vec![(claimed[1].fence, failure)];
    let (now, jitter) = (test.env.now(), test.env.jitter());
    let settled = test
        .store
        .settle(&Settle { results, succeeded: vec![], claim: Some(claim(9)), now, jitter })
        .unwrap();
    assert_eq!((settled.claimed.tasks().len(), settled.claimed.rejected), (0, 2));
    let tasks = test.store.tasks(run, TaskFilter::default(), None, 9).unwrap().items;
    let states: Vec<State> = tasks.iter().map(|task| task.state).collect();
    let (failed, cancelled) = (State::Failed, State::Cancelled);
    assert_eq!(states, [State::Running, State::Running, failed, cancelled, cancelled]);
    assert_eq!(tasks[0].cancel_cause, Some(CancelCause::FailFast));
}
