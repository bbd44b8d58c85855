//! Join: what runs once, after all the children.

use crate::World;
use crate::harness::json_of;
use crate::harness::test_engine::{Hands, failure, success, success_with};
use conductor_model::{
    Backoff, ChildCounts, DEFAULT_LEASE_MS, JoinDraft, Policy, RunDraft, RunId, State, StateCounts,
    TaskDraft, TaskId,
};
use conductor_store::{NodeId, Report, Scope};
use serde_json::json;

/// A parent of so many leaves, with the join `J`.
pub(crate) fn joined(n: u32) -> TaskDraft {
    TaskDraft::new("P").input(json!({ "fanout": n })).join("J")
}

/// A family whose children have all succeeded and whose join is open; the run, the parent, the children, the join.
pub(crate) fn open_join(world: &World<'_>, draft: TaskDraft) -> (RunId, TaskId, Vec<TaskId>, TaskId) {
    let (run, parent, children) = world.family_of(draft);
    for child in &children {
        world.succeed(*child);
    }
    world.aggregate();
    (run, parent, children, world.join_id(NodeId::Task(parent)))
}

/// A run of two leaves with a join, which is open.
pub(crate) fn open_join_of_a_run(world: &World<'_>) -> (RunId, TaskId) {
    let run = world.submit(&RunDraft::new().join("J").tasks(["A", "B"].map(TaskDraft::new)));
    for root in world.roots(run) {
        world.succeed(root.id);
    }
    world.aggregate();
    (run, world.join_id(NodeId::Run(run)))
}

pub(crate) fn claim_join<'w>(world: &'w World<'w>) -> (Hands<'w>, conductor_store::ClaimedTask) {
    let hands = world.hands();
    let claimed = hands.claim("J", 10);
    assert_eq!(claimed.len(), 1, "one join is ready");
    let join = claimed.into_iter().next().expect("a join");
    (hands, join)
}

pub fn join_runs_once_after_all_children(world: &World<'_>) {
    let (run, parent, children) = world.family_of(joined(3));
    let head = NodeId::Task(parent);
    let planned = world.task(parent).join.expect("a join is planned");
    assert_eq!(planned.kind.as_str(), "J");
    for child in &children {
        world.writes_nothing(|| assert_eq!(world.aggregate(), (0, 0)));
        assert_eq!(world.join(head), None);
        world.succeed(*child);
    }
    let seen = world.events().len();
    assert_eq!(world.aggregate(), (1, 0));
    assert_eq!(world.event_names(seen), ["task.created"]);
    let join = world.join(head).expect("the join");
    assert_eq!((join.id, join.state, join.kind.as_str()), (planned.id, State::Pending, "J"));
    assert_eq!(world.state(parent), State::Running);
    world.pass_ms(1000);
    world.writes_nothing(|| assert_eq!(world.aggregate(), (0, 0)));
    world.succeed(join.id);
    assert_eq!(world.state(parent), State::Succeeded, "in the same transaction");
    assert_eq!(world.aggregate(), (0, 1));
    world.writes_nothing(|| assert_eq!(world.aggregate(), (0, 0)));
    assert_eq!(world.run_state(run), State::Succeeded);
}

pub fn join_waits_for_missing_children_and_seal(world: &World<'_>) {
    let (_, counted) = world.one(joined(3));
    let _ = world.fan_out_step(Scope::All, 2);
    let (_, open) = world.one(TaskDraft::new("Q").open().join("J"));
    world.append(open, 1, &["1"]).expect("an append");
    for parent in [counted, open] {
        for child in world.child_ids(parent) {
            world.succeed(child);
        }
    }
    world.writes_nothing(|| assert_eq!(world.aggregate(), (0, 0)));
    world.fan_out();
    world.seal(open, 1).expect("a seal");
    assert_eq!(world.aggregate(), (1, 0));
    assert!(world.join(NodeId::Task(open)).is_some() && world.join(NodeId::Task(counted)).is_none());
    world.succeed(world.child_ids(counted)[2]);
    assert_eq!(world.aggregate(), (1, 0));
}

pub fn join_waits_for_retry(world: &World<'_>) {
    let (_, parent, children) = world.family_of(joined(2));
    world.succeed(children[0]);
    world.fail(children[1]);
    world.writes_nothing(|| assert_eq!(world.aggregate(), (0, 0)));
    world.retry();
    world.succeed(children[1]);
    assert_eq!(world.aggregate(), (1, 0));
    assert!(world.join(NodeId::Task(parent)).is_some());
}

pub fn unsatisfied_policy_or_cancel_prevents_join(world: &World<'_>) {
    for state in [State::Failed, State::Cancelled] {
        let (run, parent, children) = world.family_of(joined(2));
        let whole = world.submit(&RunDraft::new().join("J").tasks(["A", "B"].map(TaskDraft::new)));
        let roots: Vec<_> = world.roots(whole).iter().map(|root| root.id).collect();
        for family in [&children, &roots] {
            world.succeed(family[0]);
            world.end(family[1], state);
        }
        assert_eq!(world.aggregate(), (1, 2));
        assert_eq!(
            (world.state(parent), world.run_state(run), world.run_state(whole)),
            (state, state, state)
        );
        assert_eq!((world.join(NodeId::Task(parent)), world.join(NodeId::Run(whole))), (None, None));
    }
}

pub fn join_runs_after_tolerated_failures(world: &World<'_>) {
    let (_, parent, children) = world.family_of(joined(2).policy(Policy::Tolerate(1)));
    world.succeed(children[0]);
    world.fail_for_good(children[1]);
    world.aggregate();
    world.succeed(world.join_id(NodeId::Task(parent)));
    assert_eq!(world.state(parent), State::Succeeded);
}

pub fn join_runs_without_children(world: &World<'_>) {
    let (run, parent) = world.one(TaskDraft::new("P").open().join("J"));
    world.seal(parent, 0).expect("a seal");
    let whole = world.submit(&RunDraft::new().join("J"));
    assert_eq!(world.aggregate(), (1, 1));
    for (head, run) in [(NodeId::Task(parent), run), (NodeId::Run(whole), whole)] {
        let join = world.join_id(head);
        assert_eq!((world.head_state(head), world.run_state(run)), (State::Running, State::Running));
        world.succeed(join);
        world.aggregate();
        assert_eq!((world.head_state(head), world.run_state(run)), (State::Succeeded, State::Succeeded));
    }
}

pub fn join_of_run_decides_run(world: &World<'_>) {
    for state in [State::Succeeded, State::Failed, State::Cancelled] {
        let (run, join) = open_join_of_a_run(world);
        let row = world.task(join);
        assert_eq!((row.run, row.parent, row.index, row.name.as_str()), (run, None, 0, "J"));
        assert_eq!(world.run_state(run), State::Running);
        world.end(join, state);
        assert_eq!(world.run_state(run), state);
    }
    world.writes_nothing(|| assert_eq!(world.aggregate(), (0, 0)));
}

pub fn join_output_becomes_parent_output(world: &World<'_>) {
    let output = |task| world.task(task).output.map(|output| output.to_string());
    let (_, parent, _, join) = open_join(world, joined(2));
    world.apply(Report::succeeded_with(join, json_of("{\"sum\":3}")));
    assert_eq!(output(parent).as_deref(), Some("{\"sum\":3}"));
    let (_, parent, _, join) = open_join(world, joined(2));
    world.succeed(join);
    assert_eq!(output(parent), None, "a join without an output gives none");
    let (_, parent, _, join) = open_join(world, joined(2));
    world.fail_for_good(join);
    assert_eq!(output(parent).as_deref(), Some(r#"{"cancelled":0,"failed":0,"succeeded":2}"#));
}

pub fn failed_join_without_retries_fails_parent(world: &World<'_>) {
    let join = JoinDraft::new("J").max_retries(2).backoff(Backoff::fixed(500).expect("a backoff"));
    let draft = TaskDraft::new("P").input(json!({"fanout": 1})).max_retries(0).join(join).timeout_ms(9);
    let (run, parent, _, join) = open_join(world, draft);
    for attempt in 1..=2 {
        world.fail(join);
        let row = world.task(join);
        assert_eq!((row.state, row.due_at), (State::Failed, Some(world.now().plus_millis(500))));
        assert_eq!((row.attempt, row.timeout_ms), (attempt, None), "nothing of its parent's attempts");
        world.writes_nothing(|| world.settle());
        assert_eq!(world.state(parent), State::Running);
        world.pass_ms(500);
        assert_eq!(world.retry(), 1);
    }
    world.fail(join);
    assert_eq!((world.state(parent), world.task(join).retry_count), (State::Failed, 2));
    world.aggregate();
    assert_eq!(world.run_state(run), State::Failed);
}

pub fn join_has_its_own_timeout(world: &World<'_>) {
    let join = JoinDraft::new("J").timeout_ms(1234);
    let (..) = open_join(world, TaskDraft::new("P").input(json!({"fanout": 1})).timeout_ms(9).join(join));
    let (_, claimed) = claim_join(world);
    assert_eq!(claimed.timeout_ms, Some(1234));
}

pub fn join_is_claimed_like_leaf(world: &World<'_>) {
    let draft = TaskDraft::new("P").input(json!({"fanout": 2, "to": "zip"})).priority(7).join("J");
    let (run, parent, _, join) = open_join(world, draft);
    let (hands, claimed) = claim_join(world);
    assert_eq!(
        (claimed.fence.task, claimed.run, claimed.parent, claimed.index),
        (join, run, Some(parent), 0)
    );
    assert_eq!(claimed.input.as_ref().map(ToString::to_string).as_deref(), Some(r#"{"to":"zip"}"#));
    let row = world.task(join);
    assert_eq!((row.name.as_str(), row.priority, row.attempt), ("P#0", 7, 1));
    hands.end(&claimed, success_with(json_of("7")));
    assert_eq!(world.state(parent), State::Succeeded);
    hands.assert_stale(claimed.fence);
}

pub fn join_is_not_counted_as_child(world: &World<'_>) {
    let (run, parent, children, join) = open_join(world, joined(2));
    let numbers = ChildCounts { created: 2, ..ChildCounts::sealed(2) };
    let is_the_same = |tally: StateCounts| {
        assert_eq!(world.numbers(parent), numbers);
        assert_eq!(world.run(run).state_counts, tally);
        assert_eq!(world.child_ids(parent), children);
    };
    let tally = StateCounts { running: 1, succeeded: 2, ..StateCounts::default() };
    is_the_same(tally);
    world.start(join);
    is_the_same(tally);
    assert_eq!(world.tasks(run).len(), 4, "but it is a task of its run");
    world.succeed(join);
    is_the_same(StateCounts { succeeded: 3, ..StateCounts::default() });
    let (run, join) = open_join_of_a_run(world);
    world.fail_for_good(join);
    assert_eq!(world.run(run).state_counts, StateCounts { succeeded: 2, ..StateCounts::default() });
    assert_eq!(world.run(run).child_counts, numbers);
    assert_eq!(world.tasks(run)[0].id, join, "the join of a run comes first");
}

pub fn join_of_run_accepts_any_kind_name(world: &World<'_>) {
    for kind in ["a#b", "#", &"x".repeat(255)] {
        let run = world.submit(&RunDraft::new().join(kind));
        world.aggregate();
        let join = world.join(NodeId::Run(run)).expect("a join");
        assert_eq!((join.name.as_str(), join.kind.as_str()), (kind, kind));
        assert_eq!(world.tasks(run).len(), 1);
    }
}

pub fn nested_join_precedes_join_of_run(world: &World<'_>) {
    let draft = RunDraft::new().join("R").tasks([joined(2), TaskDraft::new("A")]);
    let run = world.submit(&draft);
    world.fan_out();
    let roots = world.roots(run);
    world.succeed(roots[1].id);
    for child in world.child_ids(roots[0].id) {
        world.succeed(child);
    }
    assert_eq!(world.aggregate(), (1, 0));
    assert_eq!(world.join(NodeId::Run(run)), None, "the parent is open while its join is");
    world.succeed(world.join_id(NodeId::Task(roots[0].id)));
    assert_eq!(world.aggregate(), (0, 1));
    world.succeed(world.join_id(NodeId::Run(run)));
    assert_eq!(world.run_state(run), State::Succeeded);
}

pub fn failed_join_counts_for_ancestor_policy(world: &World<'_>) {
    let run = world.submit(&RunDraft::new().policy(Policy::FailFast).tasks([joined(1), TaskDraft::new("A")]));
    world.fan_out();
    let roots = world.roots(run);
    world.succeed(world.child_ids(roots[0].id)[0]);
    world.aggregate();
    world.fail_for_good(world.join_id(NodeId::Task(roots[0].id)));
    world.settle();
    assert_eq!((world.state(roots[1].id), world.run_state(run)), (State::Cancelled, State::Failed));
}

pub fn lost_join_is_rescued_and_retried(world: &World<'_>) {
    let (_, parent, _, join) = open_join(world, joined(2));
    let (hands, first) = claim_join(world);
    world.pass_ms(i64::try_from(DEFAULT_LEASE_MS).expect("short") + 1);
    assert_eq!((world.rescue(), world.state(parent)), (1, State::Running));
    hands.assert_stale(first.fence);
    assert_eq!(world.retry(), 1);
    let again = hands.claim("J", 10).remove(0);
    assert_eq!((again.fence.task, again.fence.attempt, again.retry_count), (join, 2, 1));
    hands.end(&again, failure("it broke"));
    world.retry();
    let last = hands.claim("J", 10).remove(0);
    hands.end(&last, success());
    assert_eq!(world.state(parent), State::Succeeded);
}

pub fn released_join_is_ready_again(world: &World<'_>) {
    let (_, parent, _, join) = open_join(world, joined(2));
    let (hands, claimed) = claim_join(world);
    let _ = hands.release(&[claimed.fence]);
    assert_eq!((world.state(join), world.state(parent)), (State::Pending, State::Running));
    let again = hands.claim("J", 10).remove(0);
    hands.end(&again, success());
    assert_eq!(world.state(parent), State::Succeeded);
}

pub fn many_joins_settle_at_once(world: &World<'_>) {
    let hands = world.hands();
    let run = world.submit(&RunDraft::new().tasks((0..20).map(|_| joined(1))));
    world.fan_out();
    let parents: Vec<_> = world.roots(run).iter().map(|root| root.id).collect();
    for parent in &parents {
        world.succeed(world.child_ids(*parent)[0]);
    }
    assert_eq!(world.aggregate(), (20, 0));
    let claimed = hands.claim("J", 20);
    let endings = claimed.iter().map(|task| (task.fence, success()));
    assert_eq!(hands.settle(endings).len(), 20);
    assert_eq!(world.states(&parents), [State::Succeeded; 20]);
    assert_eq!(world.aggregate(), (0, 1));
    assert_eq!(world.run_state(run), State::Succeeded);
}

pub fn join_is_reported_like_leaf(world: &World<'_>) {
    let (_, parent, _, join) = open_join(world, joined(2));
    world.apply(Report::started(join).for_attempt(1));
    world.apply(Report::succeeded_with(join, json_of("1")));
    world.writes_nothing(|| {
        let again = world.report(Report::succeeded_with(join, json_of("1")));
        assert_eq!(again, conductor_store::ReportOutcome::Unchanged);
        let other = world.report(Report::failed(join, "late"));
        assert!(matches!(other, conductor_store::ReportOutcome::Rejected(_)), "{other:?}");
    });
    assert_eq!(world.state(parent), State::Succeeded);
}

pub fn planned_join_id_is_taken(world: &World<'_>) {
    let (_, parent, children) = world.family_of(joined(1));
    let planned = world.task(parent).join.expect("a join is planned").id;
    let refused = world.try_submit(&RunDraft::new().task(TaskDraft::new("A").id(planned)));
    assert!(
        matches!(refused, Err(conductor_store::SubmitError::TaskIdTaken(id)) if id == planned),
        "{refused:?}"
    );
    world.succeed(children[0]);
    world.aggregate();
    assert_eq!(world.join_id(NodeId::Task(parent)), planned);
}
