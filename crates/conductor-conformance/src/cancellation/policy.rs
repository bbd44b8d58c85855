//! Policies: how failures of children decide their parent, and failures of root tasks their run.

use crate::Harness;
use crate::harness::test_engine::failure;
use conductor_model::{
    CancelCause, EventBody, NodeType, POLICY_COLUMNS, POLICY_ROWS, Policy, PolicyRow, PolicyTopic, RunDraft,
    RunId, State, TaskDraft, TaskId,
};
use conductor_store::{NodeId, Scope};
use serde_json::json;

const SETTLED: [State; 3] = [State::Succeeded, State::Failed, State::Cancelled];

/// Submits a parent with the children of the row.
fn submit_parent(
    harness: &Harness<'_>,
    row: &PolicyRow,
    policy: Policy,
    join: bool,
) -> (NodeId, Vec<TaskId>) {
    let item = |(node_type, _): &(NodeType, State)| match node_type {
        NodeType::Parent => json!({"fanout": 1}),
        NodeType::Leaf | NodeType::Run => json!("leaf"),
    };
    let items: Vec<_> = row.children.iter().map(item).collect();
    let mut draft = TaskDraft::new("P").policy(policy);
    draft = if items.is_empty() { draft.open() } else { draft.fan_out(&items) };
    if join {
        draft = draft.join("J");
    }
    let (_, parent, children) = harness.family_of(draft);
    if items.is_empty() {
        harness.seal(parent, 0).expect("seal succeeds");
    }
    (NodeId::Task(parent), children)
}

/// Submits a run with root tasks like the children of the row.
fn submit_run(harness: &Harness<'_>, row: &PolicyRow, policy: Policy, join: bool) -> (NodeId, Vec<TaskId>) {
    let task = |(node_type, _): &(NodeType, State)| match node_type {
        NodeType::Parent => TaskDraft::new("P").input(json!({"fanout": 1})),
        NodeType::Leaf | NodeType::Run => TaskDraft::new("A"),
    };
    let mut draft = RunDraft::new().policy(policy).tasks(row.children.iter().map(task));
    if join {
        draft = draft.join("J");
    }
    let run = harness.submit(&draft);
    harness.fan_out();
    (NodeId::Run(run), harness.roots(run).iter().map(|root| root.id).collect())
}

/// Settles children in the states and the order of the row.
fn settle_children(harness: &Harness<'_>, row: &PolicyRow, children: &[TaskId]) {
    for (child, (node_type, state)) in children.iter().zip(row.children) {
        match node_type {
            NodeType::Parent => harness.settle_leaf(harness.child_ids(*child)[0], *state),
            NodeType::Leaf | NodeType::Run => harness.settle_leaf(*child, *state),
        }
        harness.aggregate();
        assert_eq!(harness.state(*child), *state, "the policy of the parent does not change the child");
    }
}

/// Checks each cell of the rows about a topic: for a parent and for a run, without a join and with one.
fn assert_rows(harness: &Harness<'_>, topic: PolicyTopic) {
    for row in POLICY_ROWS.iter().filter(|row| row.topic == topic) {
        for ((policy, name), end) in POLICY_COLUMNS.into_iter().zip(row.outcomes) {
            for submit in [submit_parent, submit_run] {
                let (node, children) = submit(harness, row, policy, false);
                settle_children(harness, row, &children);
                harness.run_all_steps();
                assert_eq!(harness.node_state(node), end, "{name}: {node} of {:?}", row.children);
                let joins = if end == State::Succeeded { &SETTLED[..] } else { &SETTLED[..1] };
                for join_state in joins {
                    let (node, children) = submit(harness, row, policy, true);
                    settle_children(harness, row, &children);
                    harness.run_all_steps();
                    assert_join(harness, node, end, *join_state, &format!("{name}: {:?}", row.children));
                }
            }
        }
    }
}

/// Checks that the join decides if the node would succeed without it, and otherwise never runs.
fn assert_join(harness: &Harness<'_>, node: NodeId, expected: State, join_state: State, cell: &str) {
    let Some(join) = harness.join(node) else {
        assert_eq!(harness.node_state(node), expected, "{cell}");
        assert_ne!(expected, State::Succeeded, "{cell}: the join runs");
        return;
    };
    assert_eq!((expected, harness.node_state(node)), (State::Succeeded, State::Running), "{cell}");
    harness.settle_leaf(join.id, join_state);
    assert_eq!(harness.node_state(node), join_state, "{cell}: the join decides");
}

pub fn table_holds_for_no_children(harness: &Harness<'_>) {
    assert_rows(harness, PolicyTopic::Zero);
}

pub fn table_holds_for_one_child(harness: &Harness<'_>) {
    assert_rows(harness, PolicyTopic::One);
}

pub fn table_holds_for_many_children(harness: &Harness<'_>) {
    assert_rows(harness, PolicyTopic::Many);
}

pub fn table_holds_for_nested_parents(harness: &Harness<'_>) {
    assert_rows(harness, PolicyTopic::Nested);
}

pub fn table_holds_for_cancelled_children(harness: &Harness<'_>) {
    assert_rows(harness, PolicyTopic::Cancelled);
}

/// A parent of `children` leaves that fails fast, and retries once.
fn fail_fast_parent(children: u32) -> TaskDraft {
    TaskDraft::new("P").kind("A").input(json!({ "fanout": children })).policy(Policy::FailFast).max_retries(1)
}

pub fn policy_is_stored_as_submitted(harness: &Harness<'_>) {
    for (policy, _) in POLICY_COLUMNS {
        let run =
            harness.submit(&RunDraft::new().policy(policy).task(TaskDraft::new("P").open().policy(policy)));
        assert_eq!((harness.run(run).policy, harness.roots(run)[0].policy), (policy, policy));
    }
}

pub fn policy_is_not_inherited(harness: &Harness<'_>) {
    let nested = json!({"fanout": [{"fanout": 1}]});
    let (run, parent, children) = harness.family_of(TaskDraft::new("P").input(nested).policy(Policy::Ignore));
    harness.fail_permanently(harness.child_ids(children[0])[0]);
    harness.aggregate();
    assert_eq!(harness.task(children[0]).policy, Policy::Fail);
    assert_eq!((harness.state(children[0]), harness.state(parent)), (State::Failed, State::Succeeded));
    assert_eq!(harness.run_state(run), State::Succeeded);
}

pub fn failure_with_retry_left_is_not_counted(harness: &Harness<'_>) {
    for policy in [Policy::Fail, Policy::FailFast, Policy::Tolerate(0)] {
        let (_, parent, children) = harness.family_of(fail_fast_parent(2).policy(policy));
        harness.fail(children[0]);
        assert_eq!((harness.task(parent).cancel_cause, harness.child_counts(parent).failed), (None, 0));
        harness.writes_nothing(|| assert_eq!((harness.sweep(), harness.aggregate()), ((0, 0), (0, 0))));
        harness.retry();
        for child in &children {
            harness.succeed(*child);
        }
        harness.aggregate();
        assert_eq!(harness.state(parent), State::Succeeded);
    }
}

pub fn percentage_is_of_all_children_rounded_down(harness: &Harness<'_>) {
    let cases = [(3, 33, 1, false), (3, 34, 1, true), (7, 29, 2, true), (7, 28, 2, false), (1, 99, 1, false)];
    let edge_cases =
        [(2, 100, 2, true), (2, 0, 1, false), (2, 0, 0, true), (200, 1, 2, true), (200, 1, 3, false)];
    for (children, percent, failures, is_tolerated) in cases.into_iter().chain(edge_cases) {
        let policy = Policy::tolerate_percent(percent).expect("percentage is valid");
        let draft = TaskDraft::new("P").input(json!({ "fanout": children })).policy(policy);
        let (_, parent, ids) = harness.family_of(draft);
        for (nth, child) in ids.iter().enumerate() {
            harness.settle_leaf(*child, if nth < failures { State::Failed } else { State::Succeeded });
        }
        harness.aggregate();
        let expected = if is_tolerated { State::Succeeded } else { State::Failed };
        assert_eq!(harness.state(parent), expected, "{failures} of {children} at {percent} %");
    }
}

pub fn tolerated_failures_wait_for_all_children(harness: &Harness<'_>) {
    for policy in [Policy::Fail, Policy::Tolerate(1), Policy::Ignore] {
        let (_, parent, children) = harness.family_of(fail_fast_parent(3).policy(policy));
        harness.fail_permanently(children[0]);
        harness.fail_permanently(children[1]);
        assert_eq!(harness.task(parent).cancel_cause, None);
        harness.writes_nothing(|| assert_eq!((harness.sweep(), harness.aggregate()), ((0, 0), (0, 0))));
        harness.start(children[2]);
    }
}

pub fn fail_fast_cancels_at_first_final_failure(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, parent, children) = harness.family_of(fail_fast_parent(4));
    let claimed = engine.claim("A", 1);
    harness.fail(children[1]);
    harness.retry();
    let seen = harness.events().len();
    harness.fail(children[1]);
    harness.aggregate();
    assert_eq!(harness.event_names(seen), ["task.started", "task.failed", "task.cancel_requested"]);
    let body = harness.events().pop().expect("event exists").body;
    assert_eq!(body, EventBody::TaskCancelRequested { cause: CancelCause::FailFast, reason: None });
    assert_eq!(
        (harness.task(parent).cancel_cause, harness.state(parent)),
        (Some(CancelCause::FailFast), State::Running)
    );
    assert_eq!(harness.run(run).cancel_cause, None);
    engine.assert_nothing_to_claim();
    assert_eq!(harness.sweep(), (1, 0), "only the claimed task is left to the sweep");
    engine.assert_stale(claimed[0].fence);
    harness.aggregate();
    let states = [State::Cancelled, State::Failed, State::Cancelled, State::Cancelled];
    assert_eq!(harness.states(&children), states);
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Failed, State::Failed));
}

pub fn fail_fast_settlement_claims_no_siblings(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, parent, children) = harness.family_of(fail_fast_parent(3).max_retries(0));
    let (_, other) = harness.submit_leaf();
    let first = engine.claim("A", 1).remove(0);
    engine.settle_one(&first, failure("no"));
    harness.aggregate();
    let claimed: Vec<_> = engine.claim("A", 10).iter().map(|task| task.fence.task).collect();
    assert_eq!((claimed, harness.task(parent).cancel_cause), (vec![other], Some(CancelCause::FailFast)));
    assert_eq!(harness.states(&children), [State::Failed, State::Cancelled, State::Cancelled]);
}

pub fn fail_fast_creates_no_missing_children(harness: &Harness<'_>) {
    let (run, parent) = harness.submit_task(fail_fast_parent(5));
    let _ = harness.fan_out_step(Scope::All, 2);
    harness.fail_permanently(harness.child_ids(parent)[0]);
    harness.aggregate();
    harness.succeed(harness.child_ids(parent)[1]);
    assert_eq!(harness.fan_out(), 0);
    harness.run_all_steps();
    assert_eq!((harness.state(parent), harness.child_counts(parent).created), (State::Failed, 2));
    assert_eq!(harness.run_state(run), State::Failed);
}

pub fn fail_fast_open_fan_out_rejects_appends(harness: &Harness<'_>) {
    let (run, parent) = harness.submit_task(TaskDraft::new("P").open().policy(Policy::FailFast));
    harness.append(parent, 1, &["1", "2"]).expect("append succeeds");
    harness.fail_permanently(harness.child_ids(parent)[1]);
    harness.aggregate();
    assert!(harness.append(parent, 3, &["3"]).is_err() && harness.seal(parent, 2).is_err());
    harness.run_all_steps();
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Failed, State::Failed));
}

pub fn fail_fast_failure_outlives_seal(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_task(TaskDraft::new("P").open().policy(Policy::FailFast));
    harness.append(parent, 1, &["1", "2"]).expect("append succeeds");
    harness.aggregate();
    harness.fail_permanently(harness.child_ids(parent)[0]);
    // A store that counts later accepts it. It may add up the failure for it, and decides the failure afterwards.
    let _ = harness.seal(parent, 2);
    harness.aggregate();
    assert_eq!(harness.task(parent).cancel_cause, Some(CancelCause::FailFast));
}

pub fn fail_fast_run_cancels_its_root_tasks(harness: &Harness<'_>) {
    let nested = TaskDraft::new("P").input(json!({"fanout": 3}));
    let draft = RunDraft::new().open().policy(Policy::FailFast).tasks([TaskDraft::new("A"), nested]);
    let run = harness.submit(&draft);
    harness.fan_out();
    let roots = harness.roots(run);
    harness.fail_permanently(roots[0].id);
    harness.aggregate();
    assert_eq!(harness.run(run).cancel_cause, Some(CancelCause::FailFast));
    assert!(harness.append_tasks(run, 3, [TaskDraft::new("B")]).is_err());
    assert_eq!(harness.sweep(), (3, 1));
    harness.aggregate();
    assert_eq!((harness.state(roots[1].id), harness.run_state(run)), (State::Cancelled, State::Failed));
}

pub fn fail_fast_propagates_level_by_level(harness: &Harness<'_>) {
    let inner = json!({"fanout": [{"fanout": 2}, 0]});
    let draft = RunDraft::new().policy(Policy::FailFast);
    let run = harness.submit(
        &draft.tasks([TaskDraft::new("P").input(inner).policy(Policy::FailFast), TaskDraft::new("A")]),
    );
    harness.fan_out();
    let roots = harness.roots(run);
    let level = harness.child_ids(roots[0].id);
    let deep = harness.child_ids(level[0]);
    harness.fail_permanently(deep[0]);
    assert_eq!(
        (harness.task(level[0]).cancel_cause, harness.task(roots[0].id).cancel_cause),
        (None, None),
        "the default policy waits for all children"
    );
    harness.succeed(deep[1]);
    harness.run_all_steps();
    assert_eq!(harness.states(&[level[0], level[1]]), [State::Failed, State::Cancelled]);
    assert_eq!(harness.states(&[roots[0].id, roots[1].id]), [State::Failed, State::Cancelled]);
    assert_eq!(
        (harness.run_state(run), harness.run(run).cancel_cause),
        (State::Failed, Some(CancelCause::FailFast))
    );
}

pub fn failure_of_last_child_needs_no_cancel(harness: &Harness<'_>) {
    let (_, parent, children) = harness.family_of(fail_fast_parent(2));
    harness.succeed(children[0]);
    harness.fail_permanently(children[1]);
    assert_eq!(harness.task(parent).cancel_cause, None);
    harness.aggregate();
    assert_eq!(harness.state(parent), State::Failed);
}

pub fn cancelled_child_is_not_failure(harness: &Harness<'_>) {
    let (_, parent, children) = harness.family_of(fail_fast_parent(2));
    harness.report_cancelled(children[0]);
    assert_eq!(harness.task(parent).cancel_cause, None);
    harness.succeed(children[1]);
    harness.aggregate();
    assert_eq!(harness.state(parent), State::Cancelled);
}

pub fn cancel_outweighs_every_policy(harness: &Harness<'_>) {
    for (policy, name) in POLICY_COLUMNS {
        let (run, parent, children) = harness.family_of(fail_fast_parent(3).policy(policy));
        let _ = harness.cancel_task(parent);
        harness.fail_permanently(children[0]);
        harness.run_all_steps();
        assert_eq!(
            (harness.state(parent), harness.run_state(run)),
            (State::Cancelled, State::Cancelled),
            "{name}"
        );
    }
}

pub fn first_cancel_cause_is_kept(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family_of(fail_fast_parent(3));
    harness.fail_permanently(children[0]);
    harness.aggregate();
    let _ = harness.cancel_run(run);
    harness.run_all_steps();
    assert_eq!(
        (harness.task(parent).cancel_cause, harness.state(parent)),
        (Some(CancelCause::FailFast), State::Failed)
    );
    assert_eq!(harness.run_state(run), State::Cancelled);
}

pub fn many_failures_in_settlement_cancel_once(harness: &Harness<'_>) {
    let engine = harness.engine();
    let run: RunId = harness.submit_task(fail_fast_parent(10).max_retries(0)).0;
    harness.fan_out();
    let claimed = engine.claim("A", 5);
    let seen = harness.events().len();
    let _ = engine.settle(claimed.iter().map(|task| (task.fence, failure("no"))));
    harness.aggregate();
    let cancels =
        harness.event_names(seen).into_iter().filter(|name| *name == "task.cancel_requested").count();
    assert_eq!(cancels, 1);
    harness.run_all_steps();
    assert_eq!((harness.run(run).state_counts.failed, harness.run(run).state_counts.cancelled), (6, 5));
}
