//! Policies: what the failures of children mean for their parent, or those of root tasks for their run.

use super::World;
use super::hands::want;
use conductor_model::{
    CancelCause, EventBody, NodeType, POLICY_COLUMNS, POLICY_ROWS, Policy, PolicyRow, PolicyTopic, RunDraft,
    RunId, State, TaskDraft, TaskId,
};
use conductor_store::{NodeId, Scope, Settle};
use serde_json::json;

const ENDS: [State; 3] = [State::Succeeded, State::Failed, State::Cancelled];

/// A parent with such children.
fn parent_of(world: &World<'_>, row: &PolicyRow, policy: Policy, join: bool) -> (NodeId, Vec<TaskId>) {
    let item = |(shape, _): &(NodeType, State)| match shape {
        NodeType::Parent => json!({"fanout": 1}),
        NodeType::Leaf | NodeType::Run => json!("leaf"),
    };
    let items: Vec<_> = row.children.iter().map(item).collect();
    let mut draft = TaskDraft::new("P").policy(policy);
    draft = if items.is_empty() { draft.open() } else { draft.fan_out(&items) };
    if join {
        draft = draft.join("J");
    }
    let (_, parent, children) = world.family_of(draft);
    if items.is_empty() {
        world.seal(parent, 0).expect("a seal");
    }
    (NodeId::Task(parent), children)
}

/// A run with such root tasks.
fn run_of(world: &World<'_>, row: &PolicyRow, policy: Policy, join: bool) -> (NodeId, Vec<TaskId>) {
    let task = |(shape, _): &(NodeType, State)| match shape {
        NodeType::Parent => TaskDraft::new("P").input(json!({"fanout": 1})),
        NodeType::Leaf | NodeType::Run => TaskDraft::new("A"),
    };
    let mut draft = RunDraft::new().policy(policy).tasks(row.children.iter().map(task));
    if join {
        draft = draft.join("J");
    }
    let run = world.submit(&draft);
    world.fan_out();
    (NodeId::Run(run), world.roots(run).iter().map(|root| root.id).collect())
}

/// Ends children as the row says, in its order.
fn end_children(world: &World<'_>, row: &PolicyRow, children: &[TaskId]) {
    for (child, (shape, state)) in children.iter().zip(row.children) {
        match shape {
            NodeType::Parent => world.end(world.child_ids(*child)[0], *state),
            NodeType::Leaf | NodeType::Run => world.end(*child, *state),
        }
        world.aggregate();
        assert_eq!(world.state(*child), *state, "a child ends as it ended, whatever its parent thinks of it");
    }
}

/// Each cell of the rows about this topic, for a parent and for a run, without a join and with one that ends in each way.
fn assert_rows(world: &World<'_>, topic: PolicyTopic) {
    for row in POLICY_ROWS.iter().filter(|row| row.topic == topic) {
        for ((policy, name), end) in POLICY_COLUMNS.into_iter().zip(row.outcomes) {
            for family in [parent_of, run_of] {
                let (head, children) = family(world, row, policy, false);
                end_children(world, row, &children);
                world.settle();
                assert_eq!(world.head_state(head), end, "{name}: {head} of {:?}", row.children);
                let joins = if end == State::Succeeded { &ENDS[..] } else { &ENDS[..1] };
                for join_ends in joins {
                    let (head, children) = family(world, row, policy, true);
                    end_children(world, row, &children);
                    world.settle();
                    assert_join(world, head, end, *join_ends, &format!("{name}: {:?}", row.children));
                }
            }
        }
    }
}

/// The join decides where all would have been well without it, and never runs elsewhere.
fn assert_join(world: &World<'_>, head: NodeId, end: State, join_ends: State, what: &str) {
    let Some(join) = world.join(head) else {
        assert_eq!(world.head_state(head), end, "{what}");
        assert_ne!(end, State::Succeeded, "{what}: its join runs");
        return;
    };
    assert_eq!((end, world.head_state(head)), (State::Succeeded, State::Running), "{what}");
    world.end(join.id, join_ends);
    assert_eq!(world.head_state(head), join_ends, "{what}: its join's end");
}

pub fn the_table_holds_for_no_children(world: &World<'_>) {
    assert_rows(world, PolicyTopic::Zero);
}

pub fn the_table_holds_for_one_child(world: &World<'_>) {
    assert_rows(world, PolicyTopic::One);
}

pub fn the_table_holds_for_many_children(world: &World<'_>) {
    assert_rows(world, PolicyTopic::Many);
}

pub fn the_table_holds_for_nested_parents(world: &World<'_>) {
    assert_rows(world, PolicyTopic::Nested);
}

pub fn the_table_holds_for_cancelled_children(world: &World<'_>) {
    assert_rows(world, PolicyTopic::Cancelled);
}

fn fast(children: u32) -> TaskDraft {
    TaskDraft::new("P").kind("A").input(json!({ "fanout": children })).policy(Policy::FailFast).max_retries(1)
}

pub fn a_policy_comes_back_as_it_was_submitted(world: &World<'_>) {
    for (policy, _) in POLICY_COLUMNS {
        let run =
            world.submit(&RunDraft::new().policy(policy).task(TaskDraft::new("P").open().policy(policy)));
        assert_eq!((world.run(run).policy, world.roots(run)[0].policy), (policy, policy));
    }
}

pub fn a_policy_is_not_inherited(world: &World<'_>) {
    let nested = json!({"fanout": [{"fanout": 1}]});
    let (run, parent, children) = world.family_of(TaskDraft::new("P").input(nested).policy(Policy::Ignore));
    world.fail_for_good(world.child_ids(children[0])[0]);
    world.aggregate();
    assert_eq!(world.task(children[0]).policy, Policy::Fail);
    assert_eq!((world.state(children[0]), world.state(parent)), (State::Failed, State::Succeeded));
    assert_eq!(world.run_state(run), State::Succeeded);
}

pub fn a_failure_with_a_retry_left_is_not_counted(world: &World<'_>) {
    for policy in [Policy::Fail, Policy::FailFast, Policy::Tolerate(0)] {
        let (_, parent, children) = world.family_of(fast(2).policy(policy));
        world.fail(children[0]);
        assert_eq!((world.task(parent).cancel_cause, world.numbers(parent).failed), (None, 0));
        world.writes_nothing(|| assert_eq!((world.sweep(), world.aggregate()), ((0, 0), (0, 0))));
        world.retry();
        for child in &children {
            world.succeed(*child);
        }
        world.aggregate();
        assert_eq!(world.state(parent), State::Succeeded);
    }
}

pub fn a_share_is_of_all_children_and_rounded_down(world: &World<'_>) {
    let cases = [(3, 33, 1, false), (3, 34, 1, true), (7, 29, 2, true), (7, 28, 2, false), (1, 99, 1, false)];
    let always =
        [(2, 100, 2, true), (2, 0, 1, false), (2, 0, 0, true), (200, 1, 2, true), (200, 1, 3, false)];
    for (children, percent, failures, is_tolerated) in cases.into_iter().chain(always) {
        let policy = Policy::tolerate_percent(percent).expect("a share");
        let draft = TaskDraft::new("P").input(json!({ "fanout": children })).policy(policy);
        let (_, parent, ids) = world.family_of(draft);
        for (nth, child) in ids.iter().enumerate() {
            world.end(*child, if nth < failures { State::Failed } else { State::Succeeded });
        }
        world.aggregate();
        let expected = if is_tolerated { State::Succeeded } else { State::Failed };
        assert_eq!(world.state(parent), expected, "{failures} of {children} at {percent} %");
    }
}

pub fn failures_that_are_tolerated_wait_for_all(world: &World<'_>) {
    for policy in [Policy::Fail, Policy::Tolerate(1), Policy::Ignore] {
        let (_, parent, children) = world.family_of(fast(3).policy(policy));
        world.fail_for_good(children[0]);
        world.fail_for_good(children[1]);
        assert_eq!(world.task(parent).cancel_cause, None);
        world.writes_nothing(|| assert_eq!((world.sweep(), world.aggregate()), ((0, 0), (0, 0))));
        world.start(children[2]);
    }
}

pub fn fail_fast_gives_up_at_the_first_final_failure(world: &World<'_>) {
    let hands = world.hands();
    let (run, parent, children) = world.family_of(fast(4));
    let claimed = hands.claim("A", 1);
    world.fail(children[1]);
    world.retry();
    let seen = world.events().len();
    world.fail(children[1]);
    assert_eq!(world.event_names(seen), ["task.started", "task.failed", "task.cancel_requested"]);
    let body = world.events().pop().expect("an event").body;
    assert_eq!(body, EventBody::TaskCancelRequested { cause: CancelCause::FailFast, reason: None });
    assert_eq!(
        (world.task(parent).cancel_cause, world.state(parent)),
        (Some(CancelCause::FailFast), State::Running)
    );
    assert_eq!(world.run(run).cancel_cause, None);
    world.assert_nothing_to_claim(&hands.request([want("A", 10)], 10));
    assert_eq!(world.sweep(), (1, 0), "only what is claimed was left to the sweep");
    hands.assert_stale(claimed[0].fence);
    world.aggregate();
    let states = [State::Cancelled, State::Failed, State::Cancelled, State::Cancelled];
    assert_eq!(world.states(&children), states);
    assert_eq!((world.state(parent), world.run_state(run)), (State::Failed, State::Failed));
}

pub fn a_settlement_that_gives_up_claims_nothing_below(world: &World<'_>) {
    let hands = world.hands();
    let (_, parent, children) = world.family_of(fast(3).max_retries(0));
    let (_, other) = world.leaf();
    let first = hands.claim("A", 1).remove(0);
    let claim = Some(hands.request([want("A", 10)], 10));
    let fatal = (first.fence, super::hands::failure("no"));
    let settled = hands.settle_with(&Settle { claim, ..hands.settlement([fatal]) });
    let claimed: Vec<_> = settled.claimed.tasks.iter().map(|task| task.fence.task).collect();
    assert_eq!((claimed, world.task(parent).cancel_cause), (vec![other], Some(CancelCause::FailFast)));
    assert_eq!(world.states(&children), [State::Failed, State::Cancelled, State::Cancelled]);
}

pub fn fail_fast_creates_no_children_that_are_missing(world: &World<'_>) {
    let (run, parent) = world.one(fast(5));
    let _ = world.fan_out_step(Scope::All, 2);
    world.fail_for_good(world.child_ids(parent)[0]);
    world.succeed(world.child_ids(parent)[1]);
    assert_eq!(world.fan_out(), 0);
    world.settle();
    assert_eq!((world.state(parent), world.numbers(parent).created), (State::Failed, 2));
    assert_eq!(world.run_state(run), State::Failed);
}

pub fn fail_fast_of_an_open_fan_out_takes_no_more(world: &World<'_>) {
    let (run, parent) = world.one(TaskDraft::new("P").open().policy(Policy::FailFast));
    world.append(parent, 1, &["1", "2"]).expect("an append");
    world.fail_for_good(world.child_ids(parent)[1]);
    assert!(world.append(parent, 3, &["3"]).is_err() && world.seal(parent, 2).is_err());
    world.settle();
    assert_eq!((world.state(parent), world.run_state(run)), (State::Failed, State::Failed));
}

pub fn fail_fast_of_a_run_gives_up_its_root_tasks(world: &World<'_>) {
    let nested = TaskDraft::new("P").input(json!({"fanout": 3}));
    let draft = RunDraft::new().open().policy(Policy::FailFast).tasks([TaskDraft::new("A"), nested]);
    let run = world.submit(&draft);
    world.fan_out();
    let roots = world.roots(run);
    world.fail_for_good(roots[0].id);
    assert_eq!(world.run(run).cancel_cause, Some(CancelCause::FailFast));
    assert!(world.append_tasks(run, 3, [TaskDraft::new("B")]).is_err());
    assert_eq!(world.sweep(), (3, 1));
    world.aggregate();
    assert_eq!((world.state(roots[1].id), world.run_state(run)), (State::Cancelled, State::Failed));
}

pub fn fail_fast_is_carried_up_level_by_level(world: &World<'_>) {
    let inner = json!({"fanout": [{"fanout": 2}, 0]});
    let draft = RunDraft::new().policy(Policy::FailFast);
    let run = world.submit(
        &draft.tasks([TaskDraft::new("P").input(inner).policy(Policy::FailFast), TaskDraft::new("A")]),
    );
    world.fan_out();
    let roots = world.roots(run);
    let level = world.child_ids(roots[0].id);
    let deep = world.child_ids(level[0]);
    world.fail_for_good(deep[0]);
    assert_eq!(
        (world.task(level[0]).cancel_cause, world.task(roots[0].id).cancel_cause),
        (None, None),
        "its policy waits for all"
    );
    world.succeed(deep[1]);
    world.settle();
    assert_eq!(world.states(&[level[0], level[1]]), [State::Failed, State::Cancelled]);
    assert_eq!(world.states(&[roots[0].id, roots[1].id]), [State::Failed, State::Cancelled]);
    assert_eq!(
        (world.run_state(run), world.run(run).cancel_cause),
        (State::Failed, Some(CancelCause::FailFast))
    );
}

pub fn a_failure_that_is_the_last_child_needs_no_mark(world: &World<'_>) {
    let (_, parent, children) = world.family_of(fast(2));
    world.succeed(children[0]);
    world.fail_for_good(children[1]);
    assert_eq!(world.task(parent).cancel_cause, None);
    world.aggregate();
    assert_eq!(world.state(parent), State::Failed);
}

pub fn a_cancelled_child_is_no_failure(world: &World<'_>) {
    let (_, parent, children) = world.family_of(fast(2));
    world.cancel(children[0]);
    assert_eq!(world.task(parent).cancel_cause, None);
    world.succeed(children[1]);
    world.aggregate();
    assert_eq!(world.state(parent), State::Cancelled);
}

pub fn a_cancel_outweighs_every_policy(world: &World<'_>) {
    for (policy, name) in POLICY_COLUMNS {
        let (run, parent, children) = world.family_of(fast(3).policy(policy));
        let _ = world.cancel_task(parent);
        world.fail_for_good(children[0]);
        world.settle();
        assert_eq!(
            (world.state(parent), world.run_state(run)),
            (State::Cancelled, State::Cancelled),
            "{name}"
        );
    }
}

pub fn what_gave_up_first_says_why(world: &World<'_>) {
    let (run, parent, children) = world.family_of(fast(3));
    world.fail_for_good(children[0]);
    let _ = world.cancel_run(run);
    world.settle();
    assert_eq!(
        (world.task(parent).cancel_cause, world.state(parent)),
        (Some(CancelCause::FailFast), State::Failed)
    );
    assert_eq!(world.run_state(run), State::Cancelled);
}

pub fn many_failures_in_one_settlement_give_up_once(world: &World<'_>) {
    let hands = world.hands();
    let run: RunId = world.one(fast(10).max_retries(0)).0;
    world.fan_out();
    let claimed = hands.claim("A", 5);
    let seen = world.events().len();
    let _ = hands.settle(claimed.iter().map(|task| (task.fence, super::hands::failure("no"))));
    let marks = world.event_names(seen).into_iter().filter(|name| *name == "task.cancel_requested").count();
    assert_eq!(marks, 1);
    world.settle();
    assert_eq!((world.run(run).state_counts.failed, world.run(run).state_counts.cancelled), (6, 5));
}
