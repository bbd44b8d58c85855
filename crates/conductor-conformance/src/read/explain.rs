//! Explain: what an open run or task waits for.

use crate::Harness;
use crate::harness::test_engine::success;
use conductor_model::{
    Backoff, DEFAULT_LEASE_MS, ExplainTarget, Explanation, Kind, RunDraft, RunId, State, StateReason,
    TaskDraft, TaskId,
};
use conductor_store::{EngineCapabilities, FenceOutcome, NodeId, Scope};
use serde_json::json;

pub(crate) fn explain(harness: &Harness<'_>, target: impl Into<NodeId>) -> Explanation {
    let explained = harness
        .writes_nothing(|| harness.store().explain(target.into(), harness.now()).expect("query succeeds"));
    explained.expect("target exists")
}

/// Returns the reason for the state of a leaf, and checks that it has no other cause.
pub(crate) fn reason(harness: &Harness<'_>, target: impl Into<NodeId>) -> StateReason {
    let explained = explain(harness, target);
    assert_eq!(explained.caused_by, None, "{explained}");
    explained.reason
}

fn kind() -> Kind {
    "A".parse().expect("kind is valid")
}

pub fn unknown_id_is_not_explained(harness: &Harness<'_>) {
    let (run, task) = harness.submit_leaf();
    let (no_run, no_task) = (RunId::from_u128(1), TaskId::from_u128(1));
    for (target, is_there) in [(NodeId::Run(run), true), (NodeId::Task(task), true)] {
        assert_eq!(
            harness.store().explain(target, harness.now()).expect("query succeeds").is_some(),
            is_there
        );
    }
    for target in [NodeId::Run(no_run), NodeId::Task(no_task)] {
        assert_eq!(harness.store().explain(target, harness.now()).expect("query succeeds"), None);
    }
}

pub fn explanation_names_its_target(harness: &Harness<'_>) {
    let (run, task) = harness.submit_leaf();
    let explained = explain(harness, run);
    assert_eq!((explained.target, explained.state), (ExplainTarget::Run(run), State::Pending));
    assert_eq!(explained.reason, StateReason::WaitingForChildren { open: 1, children: 1 });
    let below = explained.caused_by.expect("the task");
    assert_eq!(below.target, ExplainTarget::Task { id: task, name: harness.task(task).name });
}

pub fn retry_shows_due_time_and_error(harness: &Harness<'_>) {
    let backoff = Backoff::fixed(5000).expect("backoff is valid");
    let (_, task) = harness.submit_task(TaskDraft::new("A").backoff(backoff).max_retries(2));
    harness.start(task);
    harness.fail(task);
    let error = harness.task(task).last_error;
    let at = harness.now().plus_millis(5000);
    let due = |engines, error| StateReason::RetryDue { at, retry_count: 0, max_retries: 2, error, engines };
    assert_eq!(reason(harness, task), due(None, error.clone()));
    harness.advance_ms(5000);
    assert_eq!(reason(harness, task), due(Some(0), error.clone()), "no engine is registered");
    let _engine = harness.engine();
    assert_eq!(reason(harness, task), due(Some(1), error));
}

pub fn delayed_task_shows_due_time(harness: &Harness<'_>) {
    let until = harness.now().plus_millis(5000);
    let (_, task) = harness.submit_task(TaskDraft::new("A").due_at(until));
    let (_, parent) = harness.submit_task(TaskDraft::new("A").input(json!({"fanout": 2})).due_at(until));
    let assert_both = |engines| {
        for task in [task, parent] {
            assert_eq!(reason(harness, task), StateReason::Delayed { until, engines });
        }
    };
    assert_both(None);
    harness.advance_ms(5000);
    assert_both(Some(0));
    let words = reason(harness, task).to_string();
    assert_eq!(words, format!("due since {until}, but no engine is working"));
    let _engine = harness.engine();
    assert_both(Some(1));
}

pub fn ready_task_shows_missing_engine_for_kind(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    let since = harness.now();
    harness.advance_ms(1000);
    assert_eq!(reason(harness, task), StateReason::NoEngineForKind { kind: kind(), since });
    // An engine for another kind does not help, and a dead engine does not count.
    let other =
        EngineCapabilities { workers: 4, kinds: [("B".parse().expect("kind is valid"), None)].into() };
    let _other = harness.engine_with(other);
    let same = EngineCapabilities { workers: 4, kinds: [(kind(), None)].into() };
    drop(harness.engine_with(same));
    assert_eq!(reason(harness, task), StateReason::NoEngineForKind { kind: kind(), since });
}

pub fn ready_task_waits_or_is_at_limit(harness: &Harness<'_>) {
    let (_, tasks) = harness.submit_tasks([TaskDraft::new("A"), TaskDraft::new("A")]);
    let since = harness.now();
    let capabilities = EngineCapabilities { workers: 4, kinds: [(kind(), Some(1))].into() };
    let engine = harness.engine_with(capabilities);
    let waits = StateReason::Ready { since, engines: 1, isolated: false };
    assert_eq!(reason(harness, tasks[1]), waits);
    let claimed = engine.claim("A", 1);
    assert_eq!(reason(harness, tasks[1]), StateReason::AtConcurrencyLimit { kind: kind(), limit: 1, since });
    engine.settle_one(&claimed[0], success());
    assert_eq!(reason(harness, tasks[1]), waits);
}

pub fn claim_shows_engine_lease_and_heartbeat(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    let engine = harness.engine();
    let claimed = engine.claim_one();
    harness.advance_ms(1000);
    assert_eq!(engine.renew(&[claimed.fence]), [FenceOutcome::Applied]);
    let heartbeat = harness.now();
    let StateReason::Claimed { engine: by, engine_alive: lives, attempt, until, heartbeat: last, engines } =
        reason(harness, task)
    else {
        panic!("{}", reason(harness, task))
    };
    assert!(by.is_some());
    assert_eq!((attempt, until, last), (1, heartbeat.plus_millis(DEFAULT_LEASE_MS), heartbeat));
    assert_eq!((lives, engines), (true, None));
}

pub fn claim_of_dead_engine_is_shown(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    let engine = harness.engine();
    engine.claim_one();
    drop(engine);
    let assert_dead = |others| {
        let reason = reason(harness, task);
        assert!(reason.to_string().contains("which is not running"), "{reason}");
        assert!(
            matches!(reason, StateReason::Claimed { engine: Some(_), engine_alive: false, engines, .. } if engines == Some(others))
        );
    };
    assert_dead(0);
    assert!(reason(harness, task).to_string().ends_with("but no engine is working"));
    let _other = harness.engine();
    assert_dead(1);
}

pub fn expired_lease_awaits_rescue(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    let engine = harness.engine();
    engine.claim_one();
    harness.advance_ms(DEFAULT_LEASE_MS.cast_signed());
    let reason = reason(harness, task);
    assert!(matches!(reason, StateReason::Claimed { engine_alive: true, engines: Some(1), .. }), "{reason}");
}

pub fn external_work_shows_start_time(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    harness.start(task);
    let since = harness.now();
    harness.advance_ms(1000);
    assert_eq!(reason(harness, task), StateReason::RunningExternally { since });
}

pub fn parent_leads_to_oldest_open_child(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(4);
    harness.succeed(children[0]);
    harness.start(children[2]);
    let explained = explain(harness, run);
    assert_eq!(explained.reason, StateReason::WaitingForChildren { open: 1, children: 1 });
    let of_parent = explained.caused_by.expect("parent is the cause");
    assert_eq!(of_parent.reason, StateReason::WaitingForChildren { open: 3, children: 4 });
    let ExplainTarget::Task { id, .. } = of_parent.caused_by.as_ref().expect("child is the cause").target
    else {
        panic!("a task")
    };
    assert_eq!(id, children[1], "the oldest open child is the cause");
    harness.succeed(children[1]);
    harness.succeed(children[3]);
    assert_eq!(
        explain(harness, parent).root_cause(),
        &StateReason::RunningExternally { since: harness.now() }
    );
}

pub fn nested_parents_lead_to_leaf(harness: &Harness<'_>) {
    let (run, _) =
        harness.submit_task(TaskDraft::new("A").input(json!({"fanout": [{"fanout": [{"fanout": 2}]}]})));
    harness.fan_out();
    let mut explained = explain(harness, run);
    let mut levels = 1;
    while let Some(below) = explained.caused_by {
        explained = *below;
        levels += 1;
    }
    assert_eq!(levels, 5);
    assert!(matches!(explained.reason, StateReason::NoEngineForKind { .. }), "{explained}");
}

pub fn unfinished_fan_out_shows_created_children(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_task(TaskDraft::new("A").input(json!({"fanout": 10})));
    let since = harness.now();
    let _ = harness.fan_out_step(Scope::All, 4);
    assert_eq!(
        reason(harness, parent),
        StateReason::CreatingChildren { children: 4, total: 10, since, engines: 0 }
    );
    let words = reason(harness, parent).to_string();
    assert!(words.ends_with(&format!("to be created since {since}, but no engine is working")), "{words}");
}

pub fn open_fan_out_shows_last_append_time(harness: &Harness<'_>) {
    let (run, parent) = harness.submit_open_parent();
    let since = harness.now();
    harness.advance_ms(1000);
    assert_eq!(reason(harness, parent), StateReason::WaitingForAppend { children: 0, since });
    harness.append(parent, 1, &["1"]).expect("append succeeds");
    assert_eq!(explain(harness, parent).reason, StateReason::WaitingForChildren { open: 1, children: 1 });
    let open = harness.submit(&RunDraft::new().open());
    assert_eq!(reason(harness, open), StateReason::WaitingForAppend { children: 0, since: harness.now() });
    assert_eq!(explain(harness, run).reason, StateReason::WaitingForChildren { open: 1, children: 1 });
}

pub fn decidable_parent_is_ready_to_aggregate(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(1);
    harness.succeed(children[0]);
    let since = harness.now();
    assert_eq!(reason(harness, parent), StateReason::ReadyToAggregate { since, engines: 0 });
    assert_eq!(explain(harness, run).root_cause(), &StateReason::ReadyToAggregate { since, engines: 0 });
}

pub fn parent_waits_for_open_join(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_task(TaskDraft::new("A").input(json!({"fanout": 1})).join("J"));
    harness.fan_out();
    harness.succeed(harness.children(parent)[0].id);
    harness.run_all_steps();
    let explained = explain(harness, parent);
    assert_eq!(explained.reason, StateReason::WaitingForJoin);
    let join = explained.caused_by.expect("join exists");
    let kind = "J".parse().expect("kind is valid");
    assert_eq!(join.reason, StateReason::NoEngineForKind { kind, since: harness.now() });
}
