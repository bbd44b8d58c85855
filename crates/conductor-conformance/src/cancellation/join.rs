//! Join: a task that runs once, after all children of its parent or run.

use crate::Harness;
use crate::harness::json_of;
use crate::harness::test_engine::{TestEngine, failure, success, success_with};
use conductor_model::{
    Backoff, ChildCounts, DEFAULT_LEASE_MS, JoinDraft, Policy, RunDraft, RunId, State, StateCounts,
    TaskDraft, TaskId,
};
use conductor_store::{ClaimedTask, NodeId, Report, ReportOutcome, Scope, SubmitError};
use serde_json::json;

/// A parent of `n` leaves, with the join `J`.
pub(crate) fn parent_with_join(n: u32) -> TaskDraft {
    TaskDraft::new("P").input(json!({ "fanout": n })).join("J")
}

/// A family whose children have succeeded, and whose join is open.
pub(crate) struct OpenJoin {
    pub(crate) run: RunId,
    pub(crate) parent: TaskId,
    pub(crate) children: Vec<TaskId>,
    pub(crate) join: TaskId,
}

/// Submits a parent with a join, and lets its children succeed.
pub(crate) fn open_join(harness: &Harness<'_>, parent: TaskDraft) -> OpenJoin {
    let (run, parent, children) = harness.family_of(parent);
    for child in &children {
        harness.succeed(*child);
    }
    harness.aggregate();
    let join = harness.join_id(NodeId::Task(parent));
    OpenJoin { run, parent, children, join }
}

/// A run of two leaves whose join is open. Returns the run and the join.
pub(crate) fn open_join_of_run(harness: &Harness<'_>) -> (RunId, TaskId) {
    let run = harness.submit(&RunDraft::new().join("J").tasks(["A", "B"].map(TaskDraft::new)));
    for root in harness.roots(run) {
        harness.succeed(root.id);
    }
    harness.aggregate();
    (run, harness.join_id(NodeId::Run(run)))
}

pub(crate) fn claim_join<'h>(harness: &'h Harness<'h>) -> (TestEngine<'h>, ClaimedTask) {
    let engine = harness.engine();
    let claimed = engine.claim("J", 10);
    assert_eq!(claimed.len(), 1, "one join is ready");
    let join = claimed.into_iter().next().expect("join exists");
    (engine, join)
}

pub fn join_runs_once_after_all_children(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family_of(parent_with_join(3));
    let node = NodeId::Task(parent);
    let planned = harness.task(parent).join.expect("join is planned");
    assert_eq!(planned.kind.as_str(), "J");
    for child in &children {
        harness.writes_nothing(|| assert_eq!(harness.aggregate(), (0, 0)));
        assert_eq!(harness.join(node), None);
        harness.succeed(*child);
    }
    let seen = harness.events().len();
    assert_eq!(harness.aggregate(), (1, 0));
    assert_eq!(harness.event_names(seen), ["task.created"]);
    let join = harness.join(node).expect("join exists");
    assert_eq!((join.id, join.state, join.kind.as_str()), (planned.id, State::Pending, "J"));
    assert_eq!(harness.state(parent), State::Running);
    harness.advance_ms(1000);
    harness.writes_nothing(|| assert_eq!(harness.aggregate(), (0, 0)));
    harness.succeed(join.id);
    assert_eq!(
        harness.state(parent),
        State::Succeeded,
        "the join decides its parent in the same transaction"
    );
    assert_eq!(harness.aggregate(), (0, 1));
    harness.writes_nothing(|| assert_eq!(harness.aggregate(), (0, 0)));
    assert_eq!(harness.run_state(run), State::Succeeded);
}

pub fn join_waits_for_missing_children_and_seal(harness: &Harness<'_>) {
    let (_, counted) = harness.submit_task(parent_with_join(3));
    let _ = harness.fan_out_step(Scope::All, 2);
    let (_, open) = harness.submit_task(TaskDraft::new("Q").open().join("J"));
    harness.append(open, 1, &["1"]).expect("append succeeds");
    for parent in [counted, open] {
        for child in harness.child_ids(parent) {
            harness.succeed(child);
        }
    }
    harness.writes_nothing(|| assert_eq!(harness.aggregate(), (0, 0)));
    harness.fan_out();
    harness.seal(open, 1).expect("seal succeeds");
    assert_eq!(harness.aggregate(), (1, 0));
    assert!(harness.join(NodeId::Task(open)).is_some() && harness.join(NodeId::Task(counted)).is_none());
    harness.succeed(harness.child_ids(counted)[2]);
    assert_eq!(harness.aggregate(), (1, 0));
}

pub fn join_waits_for_retry(harness: &Harness<'_>) {
    let (_, parent, children) = harness.family_of(parent_with_join(2));
    harness.succeed(children[0]);
    harness.fail(children[1]);
    harness.writes_nothing(|| assert_eq!(harness.aggregate(), (0, 0)));
    harness.retry();
    harness.succeed(children[1]);
    assert_eq!(harness.aggregate(), (1, 0));
    assert!(harness.join(NodeId::Task(parent)).is_some());
}

pub fn unsatisfied_policy_or_cancel_prevents_join(harness: &Harness<'_>) {
    for state in [State::Failed, State::Cancelled] {
        let (run, parent, children) = harness.family_of(parent_with_join(2));
        let joined_run = harness.submit(&RunDraft::new().join("J").tasks(["A", "B"].map(TaskDraft::new)));
        let roots: Vec<_> = harness.roots(joined_run).iter().map(|root| root.id).collect();
        for family in [&children, &roots] {
            harness.succeed(family[0]);
            harness.settle_leaf(family[1], state);
        }
        assert_eq!(harness.aggregate(), (1, 2));
        assert_eq!(
            (harness.state(parent), harness.run_state(run), harness.run_state(joined_run)),
            (state, state, state)
        );
        assert_eq!((harness.join(NodeId::Task(parent)), harness.join(NodeId::Run(joined_run))), (None, None));
    }
}

pub fn join_runs_after_tolerated_failures(harness: &Harness<'_>) {
    let (_, parent, children) = harness.family_of(parent_with_join(2).policy(Policy::Tolerate(1)));
    harness.succeed(children[0]);
    harness.fail_permanently(children[1]);
    harness.aggregate();
    harness.succeed(harness.join_id(NodeId::Task(parent)));
    assert_eq!(harness.state(parent), State::Succeeded);
}

pub fn join_runs_without_children(harness: &Harness<'_>) {
    let (run, parent) = harness.submit_task(TaskDraft::new("P").open().join("J"));
    harness.seal(parent, 0).expect("seal succeeds");
    let joined_run = harness.submit(&RunDraft::new().join("J"));
    assert_eq!(harness.aggregate(), (1, 1));
    for (node, run) in [(NodeId::Task(parent), run), (NodeId::Run(joined_run), joined_run)] {
        let join = harness.join_id(node);
        assert_eq!((harness.node_state(node), harness.run_state(run)), (State::Running, State::Running));
        harness.succeed(join);
        harness.aggregate();
        assert_eq!((harness.node_state(node), harness.run_state(run)), (State::Succeeded, State::Succeeded));
    }
}

pub fn join_of_run_decides_run(harness: &Harness<'_>) {
    for state in [State::Succeeded, State::Failed, State::Cancelled] {
        let (run, join) = open_join_of_run(harness);
        let row = harness.task(join);
        assert_eq!((row.run, row.parent, row.index, row.name.as_str()), (run, None, 0, "J"));
        assert_eq!(harness.run_state(run), State::Running);
        harness.settle_leaf(join, state);
        assert_eq!(harness.run_state(run), state);
    }
    harness.writes_nothing(|| assert_eq!(harness.aggregate(), (0, 0)));
}

pub fn join_output_becomes_parent_output(harness: &Harness<'_>) {
    let output = |task| harness.task(task).output.map(|output| output.to_string());
    let OpenJoin { parent, join, .. } = open_join(harness, parent_with_join(2));
    harness.apply(Report::succeeded_with(join, json_of("{\"sum\":3}")));
    assert_eq!(output(parent).as_deref(), Some("{\"sum\":3}"));
    let OpenJoin { parent, join, .. } = open_join(harness, parent_with_join(2));
    harness.succeed(join);
    assert_eq!(output(parent), None, "a join without output leaves the parent without output");
    let OpenJoin { parent, join, .. } = open_join(harness, parent_with_join(2));
    harness.fail_permanently(join);
    assert_eq!(output(parent).as_deref(), Some(r#"{"cancelled":0,"failed":0,"succeeded":2}"#));
}

pub fn failed_join_without_retries_fails_parent(harness: &Harness<'_>) {
    let join = JoinDraft::new("J").max_retries(2).backoff(Backoff::fixed(500).expect("backoff is valid"));
    let draft = TaskDraft::new("P").input(json!({"fanout": 1})).max_retries(0).join(join).timeout_ms(9);
    let OpenJoin { run, parent, join, .. } = open_join(harness, draft);
    for attempt in 1..=2 {
        harness.fail(join);
        let row = harness.task(join);
        assert_eq!((row.state, row.due_at), (State::Failed, Some(harness.now().plus_millis(500))));
        assert_eq!(
            (row.attempt, row.timeout_ms),
            (attempt, None),
            "the join does not inherit the attempts and the timeout of its parent"
        );
        harness.writes_nothing(|| harness.run_all_steps());
        assert_eq!(harness.state(parent), State::Running);
        harness.advance_ms(500);
        assert_eq!(harness.retry(), 1);
    }
    harness.fail(join);
    assert_eq!((harness.state(parent), harness.task(join).retry_count), (State::Failed, 2));
    harness.aggregate();
    assert_eq!(harness.run_state(run), State::Failed);
}

pub fn join_has_its_own_timeout(harness: &Harness<'_>) {
    let join = JoinDraft::new("J").timeout_ms(1234);
    let _ = open_join(harness, TaskDraft::new("P").input(json!({"fanout": 1})).timeout_ms(9).join(join));
    let (_, claimed) = claim_join(harness);
    assert_eq!(claimed.timeout_ms, Some(1234));
}

pub fn join_is_claimed_like_leaf(harness: &Harness<'_>) {
    let draft = TaskDraft::new("P").input(json!({"fanout": 2, "to": "zip"})).priority(7).join("J");
    let OpenJoin { run, parent, join, .. } = open_join(harness, draft);
    let (engine, claimed) = claim_join(harness);
    assert_eq!(
        (claimed.fence.task, claimed.run, claimed.parent, claimed.index),
        (join, run, Some(parent), 0)
    );
    assert_eq!(claimed.input.as_ref().map(ToString::to_string).as_deref(), Some(r#"{"to":"zip"}"#));
    let row = harness.task(join);
    assert_eq!((row.name.as_str(), row.priority, row.attempt), ("P#0", 7, 1));
    engine.settle_one(&claimed, success_with(json_of("7")));
    assert_eq!(harness.state(parent), State::Succeeded);
    engine.assert_stale(claimed.fence);
}

pub fn join_is_not_counted_as_child(harness: &Harness<'_>) {
    let OpenJoin { run, parent, children, join } = open_join(harness, parent_with_join(2));
    let child_counts = ChildCounts { created: 2, ..ChildCounts::sealed(2) };
    let assert_counts = |counts: StateCounts| {
        assert_eq!(harness.child_counts(parent), child_counts);
        assert_eq!(harness.run(run).state_counts, counts);
        assert_eq!(harness.child_ids(parent), children);
    };
    let counts = StateCounts { running: 1, succeeded: 2, ..StateCounts::default() };
    assert_counts(counts);
    harness.start(join);
    assert_counts(counts);
    assert_eq!(harness.tasks(run).len(), 4, "the join is a task of its run");
    harness.succeed(join);
    assert_counts(StateCounts { succeeded: 3, ..StateCounts::default() });
    let (run, join) = open_join_of_run(harness);
    harness.fail_permanently(join);
    assert_eq!(harness.run(run).state_counts, StateCounts { succeeded: 2, ..StateCounts::default() });
    assert_eq!(harness.run(run).child_counts, child_counts);
    assert_eq!(harness.tasks(run)[0].id, join, "the join of a run is listed first");
}

pub fn join_of_run_accepts_any_kind_name(harness: &Harness<'_>) {
    for kind in ["a#b", "#", &"x".repeat(255)] {
        let run = harness.submit(&RunDraft::new().join(kind));
        harness.aggregate();
        let join = harness.join(NodeId::Run(run)).expect("join exists");
        assert_eq!((join.name.as_str(), join.kind.as_str()), (kind, kind));
        assert_eq!(harness.tasks(run).len(), 1);
    }
}

pub fn nested_join_precedes_join_of_run(harness: &Harness<'_>) {
    let draft = RunDraft::new().join("R").tasks([parent_with_join(2), TaskDraft::new("A")]);
    let run = harness.submit(&draft);
    harness.fan_out();
    let roots = harness.roots(run);
    harness.succeed(roots[1].id);
    for child in harness.child_ids(roots[0].id) {
        harness.succeed(child);
    }
    assert_eq!(harness.aggregate(), (1, 0));
    assert_eq!(harness.join(NodeId::Run(run)), None, "the parent is open while its join is open");
    harness.succeed(harness.join_id(NodeId::Task(roots[0].id)));
    assert_eq!(harness.aggregate(), (0, 1));
    harness.succeed(harness.join_id(NodeId::Run(run)));
    assert_eq!(harness.run_state(run), State::Succeeded);
}

pub fn failed_join_counts_for_ancestor_policy(harness: &Harness<'_>) {
    let run = harness
        .submit(&RunDraft::new().policy(Policy::FailFast).tasks([parent_with_join(1), TaskDraft::new("A")]));
    harness.fan_out();
    let roots = harness.roots(run);
    harness.succeed(harness.child_ids(roots[0].id)[0]);
    harness.aggregate();
    harness.fail_permanently(harness.join_id(NodeId::Task(roots[0].id)));
    harness.run_all_steps();
    assert_eq!((harness.state(roots[1].id), harness.run_state(run)), (State::Cancelled, State::Failed));
}

pub fn lost_join_is_rescued_and_retried(harness: &Harness<'_>) {
    let OpenJoin { parent, join, .. } = open_join(harness, parent_with_join(2));
    let (engine, first) = claim_join(harness);
    harness.advance_ms(i64::try_from(DEFAULT_LEASE_MS).expect("lease fits") + 1);
    assert_eq!((harness.rescue(), harness.state(parent)), (1, State::Running));
    engine.assert_stale(first.fence);
    assert_eq!(harness.retry(), 1);
    let again = engine.claim("J", 10).remove(0);
    assert_eq!((again.fence.task, again.fence.attempt, again.retry_count), (join, 2, 1));
    engine.settle_one(&again, failure("it broke"));
    harness.retry();
    let last = engine.claim("J", 10).remove(0);
    engine.settle_one(&last, success());
    assert_eq!(harness.state(parent), State::Succeeded);
}

pub fn released_join_is_ready_again(harness: &Harness<'_>) {
    let OpenJoin { parent, join, .. } = open_join(harness, parent_with_join(2));
    let (engine, claimed) = claim_join(harness);
    let _ = engine.release(&[claimed.fence]);
    assert_eq!((harness.state(join), harness.state(parent)), (State::Pending, State::Running));
    let again = engine.claim("J", 10).remove(0);
    engine.settle_one(&again, success());
    assert_eq!(harness.state(parent), State::Succeeded);
}

pub fn many_joins_settle_at_once(harness: &Harness<'_>) {
    let engine = harness.engine();
    let run = harness.submit(&RunDraft::new().tasks((0..20).map(|_| parent_with_join(1))));
    harness.fan_out();
    let parents: Vec<_> = harness.roots(run).iter().map(|root| root.id).collect();
    for parent in &parents {
        harness.succeed(harness.child_ids(*parent)[0]);
    }
    assert_eq!(harness.aggregate(), (20, 0));
    let claimed = engine.claim("J", 20);
    let results = claimed.iter().map(|task| (task.fence, success()));
    assert_eq!(engine.settle(results).len(), 20);
    assert_eq!(harness.states(&parents), [State::Succeeded; 20]);
    assert_eq!(harness.aggregate(), (0, 1));
    assert_eq!(harness.run_state(run), State::Succeeded);
}

pub fn join_is_reported_like_leaf(harness: &Harness<'_>) {
    let OpenJoin { parent, join, .. } = open_join(harness, parent_with_join(2));
    harness.apply(Report::started(join).for_attempt(1));
    harness.apply(Report::succeeded_with(join, json_of("1")));
    harness.writes_nothing(|| {
        let again = harness.report(Report::succeeded_with(join, json_of("1")));
        assert_eq!(again, ReportOutcome::Unchanged);
        let other = harness.report(Report::failed(join, "late"));
        assert!(matches!(other, ReportOutcome::Rejected(_)), "{other:?}");
    });
    assert_eq!(harness.state(parent), State::Succeeded);
}

pub fn planned_join_id_is_taken(harness: &Harness<'_>) {
    let (_, parent, children) = harness.family_of(parent_with_join(1));
    let planned = harness.task(parent).join.expect("join is planned").id;
    let rejected = harness.try_submit(&RunDraft::new().task(TaskDraft::new("A").id(planned)));
    assert!(matches!(rejected, Err(SubmitError::TaskIdTaken(id)) if id == planned), "{rejected:?}");
    harness.succeed(children[0]);
    harness.aggregate();
    assert_eq!(harness.join_id(NodeId::Task(parent)), planned);
}
