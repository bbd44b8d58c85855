//! Seal: the number of children is checked, and then final.

use crate::Harness;
use conductor_model::{ChildCounts, RunDraft, RunId, State, TaskDraft, TaskId};
use conductor_store::{NodeId, SealError};
use serde_json::json;

pub fn wrong_count_is_rejected(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_open_parent();
    harness.append(parent, 1, &["1", "2"]).expect("append succeeds");
    for wrong in [0, 1, 3, u32::MAX] {
        let rejected = harness.writes_nothing(|| harness.seal(parent, wrong));
        let counted =
            matches!(rejected, Err(SealError::CountMismatch { exist: 2, given, .. }) if given == wrong);
        assert!(counted, "{rejected:?}");
    }
}

pub fn repeated_seal_changes_nothing(harness: &Harness<'_>) {
    let (run, parent) = harness.submit_open_parent();
    harness.append(parent, 1, &["1"]).expect("append succeeds");
    harness.seal(parent, 1).expect("seal succeeds");
    harness.advance_ms(1000);
    harness.writes_nothing(|| harness.seal(parent, 1)).expect("repeated seal succeeds");
    harness.writes_nothing(|| harness.seal_run(run, 1)).expect("submit has sealed the run");
    harness.succeed(harness.children(parent)[0].id);
    harness.run_all_steps();
    harness.writes_nothing(|| harness.seal(parent, 1)).expect("repeated seal succeeds after settlement");
    harness.writes_nothing(|| harness.seal_run(run, 1)).expect("repeated seal succeeds after settlement");
}

pub fn seal_with_other_count_is_rejected(harness: &Harness<'_>) {
    let (run, parent) = harness.submit_open_parent();
    harness.append(parent, 1, &["1"]).expect("append succeeds");
    harness.seal(parent, 1).expect("seal succeeds");
    let rejected = harness.writes_nothing(|| harness.seal(parent, 2));
    assert!(
        matches!(rejected, Err(SealError::AlreadySealed { parent: NodeId::Task(id), sealed: 1, given: 2 }) if id == parent),
        "{rejected:?}"
    );
    let rejected = harness.writes_nothing(|| harness.seal_run(run, 0));
    assert!(
        matches!(rejected, Err(SealError::AlreadySealed { parent: NodeId::Run(id), sealed: 1, given: 0 }) if id == run),
        "{rejected:?}"
    );
}

pub fn counted_fan_out_is_sealed_from_start(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 4})));
    harness.writes_nothing(|| harness.seal(parent, 4)).expect("repeated seal succeeds");
    let rejected = harness.writes_nothing(|| harness.seal(parent, 0));
    assert!(matches!(rejected, Err(SealError::AlreadySealed { sealed: 4, given: 0, .. })), "{rejected:?}");
}

pub fn parent_sealed_without_children_succeeds(harness: &Harness<'_>) {
    let (run, parent) = harness.submit_open_parent();
    assert_eq!(harness.aggregate(), (0, 0));
    harness.seal(parent, 0).expect("seal succeeds");
    assert_eq!(harness.child_counts(parent), ChildCounts::sealed(0));
    assert_eq!(harness.aggregate(), (1, 1));
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Succeeded, State::Succeeded));
    let counts: serde_json::Value =
        harness.task(parent).output.expect("a counts").to().expect("output is JSON");
    assert_eq!(counts, json!({"succeeded": 0, "failed": 0, "cancelled": 0}));
}

pub fn run_sealed_without_tasks_succeeds(harness: &Harness<'_>) {
    let run = harness.submit(&RunDraft::new().open());
    harness.seal_run(run, 0).expect("seal succeeds");
    assert_eq!(harness.aggregate(), (0, 1));
    assert_eq!(harness.run_state(run), State::Succeeded);
}

pub fn run_is_decided_only_after_seal(harness: &Harness<'_>) {
    let run = harness.submit(&RunDraft::new().open().task(TaskDraft::new("A")));
    harness.succeed(harness.roots(run)[0].id);
    harness.writes_nothing(|| harness.run_all_steps());
    assert_eq!(harness.run_state(run), State::Running);
    harness.append_tasks(run, 2, [TaskDraft::new("B")]).expect("append succeeds");
    harness.seal_run(run, 2).expect("seal succeeds");
    assert_eq!(harness.aggregate(), (0, 0), "B is open");
    harness.succeed(harness.roots(run)[1].id);
    assert_eq!(harness.aggregate(), (0, 1));
    assert_eq!(harness.run_state(run), State::Succeeded);
}

pub fn wrong_count_of_root_tasks_is_rejected(harness: &Harness<'_>) {
    let run = harness.submit(&RunDraft::new().open().task(TaskDraft::new("A")));
    let rejected = harness.writes_nothing(|| harness.seal_run(run, 2));
    assert!(
        matches!(rejected, Err(SealError::CountMismatch { parent: NodeId::Run(id), exist: 1, given: 2 }) if id == run),
        "{rejected:?}"
    );
}

pub fn seal_of_leaf_is_rejected(harness: &Harness<'_>) {
    let (_, leaf) = harness.submit_leaf();
    let rejected = harness.writes_nothing(|| harness.seal(leaf, 0));
    assert!(matches!(rejected, Err(SealError::NotAParent(task)) if task == leaf), "{rejected:?}");
}

pub fn seal_of_unknown_node_is_rejected(harness: &Harness<'_>) {
    let rejected = harness.writes_nothing(|| harness.seal(TaskId::from_u128(1), 0));
    assert!(matches!(rejected, Err(SealError::NotFound(NodeId::Task(_)))), "{rejected:?}");
    let rejected = harness.writes_nothing(|| harness.seal_run(RunId::from_u128(1), 0));
    assert!(matches!(rejected, Err(SealError::NotFound(NodeId::Run(_)))), "{rejected:?}");
}
