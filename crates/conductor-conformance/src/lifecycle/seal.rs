//! Seal: the number of children is final, and checked.

use crate::World;
use conductor_model::{ChildCounts, RunDraft, RunId, State, TaskDraft, TaskId};
use conductor_store::{NodeId, SealError};
use serde_json::json;

pub fn wrong_count_is_rejected(world: &World<'_>) {
    let (_, parent) = world.open_parent();
    world.append(parent, 1, &["1", "2"]).expect("an append");
    for wrong in [0, 1, 3, u32::MAX] {
        let refused = world.writes_nothing(|| world.seal(parent, wrong));
        let counted =
            matches!(refused, Err(SealError::CountMismatch { exist: 2, given, .. }) if given == wrong);
        assert!(counted, "{refused:?}");
    }
}

pub fn repeated_seal_changes_nothing(world: &World<'_>) {
    let (run, parent) = world.open_parent();
    world.append(parent, 1, &["1"]).expect("an append");
    world.seal(parent, 1).expect("a seal");
    world.pass_ms(1000);
    world.writes_nothing(|| world.seal(parent, 1)).expect("the same seal");
    world.writes_nothing(|| world.seal_run(run, 1)).expect("submit sealed the run");
    world.succeed(world.children(parent)[0].id);
    world.settle();
    world.writes_nothing(|| world.seal(parent, 1)).expect("the same seal, after the end");
    world.writes_nothing(|| world.seal_run(run, 1)).expect("the same seal, after the end");
}

pub fn seal_with_other_count_is_rejected(world: &World<'_>) {
    let (run, parent) = world.open_parent();
    world.append(parent, 1, &["1"]).expect("an append");
    world.seal(parent, 1).expect("a seal");
    let refused = world.writes_nothing(|| world.seal(parent, 2));
    assert!(
        matches!(refused, Err(SealError::AlreadySealed { parent: NodeId::Task(id), sealed: 1, given: 2 }) if id == parent),
        "{refused:?}"
    );
    let refused = world.writes_nothing(|| world.seal_run(run, 0));
    assert!(
        matches!(refused, Err(SealError::AlreadySealed { parent: NodeId::Run(id), sealed: 1, given: 0 }) if id == run),
        "{refused:?}"
    );
}

pub fn counted_fan_out_is_sealed_from_start(world: &World<'_>) {
    let (_, parent) = world.one(TaskDraft::new("P").input(json!({"fanout": 4})));
    world.writes_nothing(|| world.seal(parent, 4)).expect("the same seal");
    let refused = world.writes_nothing(|| world.seal(parent, 0));
    assert!(matches!(refused, Err(SealError::AlreadySealed { sealed: 4, given: 0, .. })), "{refused:?}");
}

pub fn parent_sealed_without_children_succeeds(world: &World<'_>) {
    let (run, parent) = world.open_parent();
    assert_eq!(world.aggregate(), (0, 0));
    world.seal(parent, 0).expect("a seal");
    assert_eq!(world.numbers(parent), ChildCounts::sealed(0));
    assert_eq!(world.aggregate(), (1, 1));
    assert_eq!((world.state(parent), world.run_state(run)), (State::Succeeded, State::Succeeded));
    let tally: serde_json::Value = world.task(parent).output.expect("a tally").to().expect("JSON");
    assert_eq!(tally, json!({"succeeded": 0, "failed": 0, "cancelled": 0}));
}

pub fn run_sealed_without_tasks_succeeds(world: &World<'_>) {
    let run = world.submit(&RunDraft::new().open());
    world.seal_run(run, 0).expect("a seal");
    assert_eq!(world.aggregate(), (0, 1));
    assert_eq!(world.run_state(run), State::Succeeded);
}

pub fn run_is_decided_only_after_seal(world: &World<'_>) {
    let run = world.submit(&RunDraft::new().open().task(TaskDraft::new("A")));
    world.succeed(world.roots(run)[0].id);
    world.writes_nothing(|| world.settle());
    assert_eq!(world.run_state(run), State::Running);
    world.append_tasks(run, 2, [TaskDraft::new("B")]).expect("an append");
    world.seal_run(run, 2).expect("a seal");
    assert_eq!(world.aggregate(), (0, 0), "B is open");
    world.succeed(world.roots(run)[1].id);
    assert_eq!(world.aggregate(), (0, 1));
    assert_eq!(world.run_state(run), State::Succeeded);
}

pub fn wrong_count_of_root_tasks_is_rejected(world: &World<'_>) {
    let run = world.submit(&RunDraft::new().open().task(TaskDraft::new("A")));
    let refused = world.writes_nothing(|| world.seal_run(run, 2));
    assert!(
        matches!(refused, Err(SealError::CountMismatch { parent: NodeId::Run(id), exist: 1, given: 2 }) if id == run),
        "{refused:?}"
    );
}

pub fn seal_of_leaf_is_rejected(world: &World<'_>) {
    let (_, leaf) = world.leaf();
    let refused = world.writes_nothing(|| world.seal(leaf, 0));
    assert!(matches!(refused, Err(SealError::NotAParent(task)) if task == leaf), "{refused:?}");
}

pub fn seal_of_unknown_node_is_rejected(world: &World<'_>) {
    let refused = world.writes_nothing(|| world.seal(TaskId::from_u128(1), 0));
    assert!(matches!(refused, Err(SealError::NotFound(NodeId::Task(_)))), "{refused:?}");
    let refused = world.writes_nothing(|| world.seal_run(RunId::from_u128(1), 0));
    assert!(matches!(refused, Err(SealError::NotFound(NodeId::Run(_)))), "{refused:?}");
}
