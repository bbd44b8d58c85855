//! Explain: why a run or a task is where it is, down to what it waits for.

use super::World;
use super::hands::success;
use conductor_model::{
    Backoff, CancelCause, DEFAULT_LEASE_MS, ExplainTarget, Explanation, Kind, Policy, RunDraft, State,
    StateReason, TaskDraft,
};
use conductor_store::{Cancel, EngineCapabilities, NodeId, RegisterEngine};
use serde_json::json;

fn explain(world: &World<'_>, subject: impl Into<NodeId>) -> Explanation {
    let explained =
        world.writes_nothing(|| world.store().explain(subject.into(), world.now()).expect("an answer"));
    explained.expect("it is there")
}

/// Why a leaf is where it is.
fn reason(world: &World<'_>, subject: impl Into<NodeId>) -> StateReason {
    let explained = explain(world, subject);
    assert_eq!(explained.caused_by, None, "{explained}");
    explained.reason
}

fn kind() -> Kind {
    "A".parse().expect("a kind")
}

pub fn what_is_unknown_is_not_explained(world: &World<'_>) {
    let (run, task) = world.leaf();
    let (no_run, no_task) = (conductor_model::RunId::from_u128(1), conductor_model::TaskId::from_u128(1));
    for (subject, is_there) in [(NodeId::Run(run), true), (NodeId::Task(task), true)] {
        assert_eq!(world.store().explain(subject, world.now()).expect("an answer").is_some(), is_there);
    }
    for subject in [NodeId::Run(no_run), NodeId::Task(no_task)] {
        assert_eq!(world.store().explain(subject, world.now()).expect("an answer"), None);
    }
}

pub fn an_explanation_says_what_it_is_about(world: &World<'_>) {
    let (run, task) = world.leaf();
    let explained = explain(world, run);
    assert_eq!((explained.target, explained.state), (ExplainTarget::Run(run), State::Pending));
    assert_eq!(explained.reason, StateReason::WaitingForChildren { open: 1, children: 1 });
    let below = explained.caused_by.expect("the task");
    assert_eq!(below.target, ExplainTarget::Task { id: task, name: world.task(task).name });
}

pub fn a_retry_that_is_due_says_when_and_why(world: &World<'_>) {
    let backoff = Backoff::fixed(5000).expect("a backoff");
    let (_, task) = world.one(TaskDraft::new("A").backoff(backoff).max_retries(2));
    world.start(task);
    world.fail(task);
    let error = world.task(task).last_error;
    let at = world.now().plus_millis(5000);
    let due = |engines, error| StateReason::RetryDue { at, retry_count: 0, max_retries: 2, error, engines };
    assert_eq!(reason(world, task), due(None, error.clone()));
    world.pass_ms(5000);
    assert_eq!(reason(world, task), due(Some(0), error.clone()), "and no engine works");
    let _engine = world.hands();
    assert_eq!(reason(world, task), due(Some(1), error));
}

pub fn a_delayed_task_says_until_when(world: &World<'_>) {
    let until = world.now().plus_millis(5000);
    let (_, task) = world.one(TaskDraft::new("A").due_at(until));
    let (_, parent) = world.one(TaskDraft::new("A").input(json!({"fanout": 2})).due_at(until));
    let both_say = |engines| {
        for task in [task, parent] {
            assert_eq!(reason(world, task), StateReason::Delayed { until, engines });
        }
    };
    both_say(None);
    world.pass_ms(5000);
    both_say(Some(0));
    let words = reason(world, task).to_string();
    assert_eq!(words, format!("due since {until}, but no engine is working"));
    let _engine = world.hands();
    both_say(Some(1));
}

pub fn what_is_ready_says_that_no_engine_handles_its_kind(world: &World<'_>) {
    let (_, task) = world.leaf();
    let since = world.now();
    world.pass_ms(1000);
    assert_eq!(reason(world, task), StateReason::NoEngineForKind { kind: kind(), since });
    // One of another kind does not help, and one that is gone is none.
    let other = EngineCapabilities { workers: 4, kinds: [("B".parse().expect("a kind"), None)].into() };
    let _other = world
        .store()
        .register_engine(&RegisterEngine::new(world.env()).capabilities(other))
        .expect("a place");
    let same = EngineCapabilities { workers: 4, kinds: [(kind(), None)].into() };
    drop(
        world.store().register_engine(&RegisterEngine::new(world.env()).capabilities(same)).expect("a place"),
    );
    assert_eq!(reason(world, task), StateReason::NoEngineForKind { kind: kind(), since });
}

pub fn what_is_ready_waits_for_its_turn_or_is_at_its_limit(world: &World<'_>) {
    let (_, tasks) = world.run_of([TaskDraft::new("A"), TaskDraft::new("A")]);
    let since = world.now();
    let handles = EngineCapabilities { workers: 4, kinds: [(kind(), Some(1))].into() };
    let engine = world.hands_that_handle(handles);
    let waits = StateReason::Ready { since, engines: 1, isolated: false };
    assert_eq!(reason(world, tasks[1]), waits);
    let claimed = engine.claim("A", 1);
    assert_eq!(reason(world, tasks[1]), StateReason::AtConcurrencyLimit { kind: kind(), limit: 1, since });
    engine.end(&claimed[0], success());
    assert_eq!(reason(world, tasks[1]), waits);
}

pub fn a_claim_names_its_engine_its_lease_and_its_heartbeat(world: &World<'_>) {
    let (_, task) = world.leaf();
    let engine = world.hands();
    let claimed = engine.claim_one();
    world.pass_ms(1000);
    assert_eq!(engine.renew(&[claimed.fence]), [conductor_store::FenceOutcome::Applied]);
    let heartbeat = world.now();
    let StateReason::Claimed { engine: by, engine_alive: lives, attempt, until, heartbeat: last, engines } =
        reason(world, task)
    else {
        panic!("{}", reason(world, task))
    };
    assert!(by.is_some());
    assert_eq!((attempt, until, last), (1, heartbeat.plus_millis(DEFAULT_LEASE_MS), heartbeat));
    assert_eq!((lives, engines), (true, None));
}

pub fn a_claim_of_an_engine_that_is_gone_says_so(world: &World<'_>) {
    let (_, task) = world.leaf();
    let engine = world.hands();
    engine.claim_one();
    drop(engine);
    let gone = |others| {
        let reason = reason(world, task);
        assert!(reason.to_string().contains("which is not running"), "{reason}");
        assert!(
            matches!(reason, StateReason::Claimed { engine: Some(_), engine_alive: false, engines, .. } if engines == Some(others))
        );
    };
    gone(0);
    assert!(reason(world, task).to_string().ends_with("but no engine is working"));
    let _other = world.hands();
    gone(1);
}

pub fn a_lease_that_is_over_is_taken_back_by_an_engine(world: &World<'_>) {
    let (_, task) = world.leaf();
    let engine = world.hands();
    engine.claim_one();
    world.pass_ms(DEFAULT_LEASE_MS.cast_signed());
    let reason = reason(world, task);
    assert!(matches!(reason, StateReason::Claimed { engine_alive: true, engines: Some(1), .. }), "{reason}");
}

pub fn what_is_held_from_outside_says_since_when(world: &World<'_>) {
    let (_, task) = world.leaf();
    world.start(task);
    let since = world.now();
    world.pass_ms(1000);
    assert_eq!(reason(world, task), StateReason::RunningExternally { since });
}

pub fn a_parent_leads_to_the_oldest_of_its_open_children(world: &World<'_>) {
    let (run, parent, children) = world.family(4);
    world.succeed(children[0]);
    world.start(children[2]);
    let explained = explain(world, run);
    assert_eq!(explained.reason, StateReason::WaitingForChildren { open: 1, children: 1 });
    let of_parent = explained.caused_by.expect("the parent");
    assert_eq!(of_parent.reason, StateReason::WaitingForChildren { open: 3, children: 4 });
    let ExplainTarget::Task { id, .. } = of_parent.caused_by.as_ref().expect("a child").target else {
        panic!("a task")
    };
    assert_eq!(id, children[1], "the oldest");
    world.succeed(children[1]);
    world.succeed(children[3]);
    assert_eq!(explain(world, parent).root_cause(), &StateReason::RunningExternally { since: world.now() });
}

pub fn a_parent_of_parents_leads_down_to_a_leaf(world: &World<'_>) {
    let (run, _) = world.one(TaskDraft::new("A").input(json!({"fanout": [{"fanout": [{"fanout": 2}]}]})));
    world.fan_out();
    let mut explained = explain(world, run);
    let mut levels = 1;
    while let Some(below) = explained.caused_by {
        explained = *below;
        levels += 1;
    }
    assert_eq!(levels, 5);
    assert!(matches!(explained.reason, StateReason::NoEngineForKind { .. }), "{explained}");
}

pub fn what_is_being_created_says_how_much_is_there(world: &World<'_>) {
    let (_, parent) = world.one(TaskDraft::new("A").input(json!({"fanout": 10})));
    let since = world.now();
    let _ = world.fan_out_step(conductor_store::Scope::All, 4);
    assert_eq!(
        reason(world, parent),
        StateReason::CreatingChildren { children: 4, total: 10, since, engines: 0 }
    );
    let words = reason(world, parent).to_string();
    assert!(words.ends_with(&format!("to be created since {since}, but no engine is working")), "{words}");
}

pub fn an_open_fan_out_says_since_when_nothing_came(world: &World<'_>) {
    let (run, parent) = world.open_parent();
    let since = world.now();
    world.pass_ms(1000);
    assert_eq!(reason(world, parent), StateReason::WaitingForAppend { children: 0, since });
    world.append(parent, 1, &["1"]).expect("an append");
    assert_eq!(explain(world, parent).reason, StateReason::WaitingForChildren { open: 1, children: 1 });
    let open = world.submit(&RunDraft::new().open());
    assert_eq!(reason(world, open), StateReason::WaitingForAppend { children: 0, since: world.now() });
    assert_eq!(explain(world, run).reason, StateReason::WaitingForChildren { open: 1, children: 1 });
}

pub fn what_only_has_to_be_decided_says_so(world: &World<'_>) {
    let (run, parent, children) = world.family(1);
    world.succeed(children[0]);
    let since = world.now();
    assert_eq!(reason(world, parent), StateReason::ReadyToAggregate { since, engines: 0 });
    assert_eq!(explain(world, run).root_cause(), &StateReason::ReadyToAggregate { since, engines: 0 });
}

pub fn an_open_join_is_what_its_parent_waits_for(world: &World<'_>) {
    let (_, parent) = world.one(TaskDraft::new("A").input(json!({"fanout": 1})).join("J"));
    world.fan_out();
    world.succeed(world.children(parent)[0].id);
    world.settle();
    let explained = explain(world, parent);
    assert_eq!(explained.reason, StateReason::WaitingForJoin);
    let join = explained.caused_by.expect("the join");
    let kind = "J".parse().expect("a kind");
    assert_eq!(join.reason, StateReason::NoEngineForKind { kind, since: world.now() });
}

pub fn a_cancel_says_by_whom_and_why(world: &World<'_>) {
    let why = || Some("enough".into());
    let person = StateReason::Cancelled { cause: Some(CancelCause::Requested), reason: why() };
    let (_, leaf) = world.leaf();
    let _ = world.store().cancel(&Cancel::task(leaf, world.now()).reason("enough")).expect("a cancel");
    assert_eq!(reason(world, leaf), person);

    let (run, parent, children) = world.family(2);
    let _ = world.store().cancel(&Cancel::run(run, world.now()).reason("enough")).expect("a cancel");
    let marked =
        StateReason::BeingCancelled { cause: CancelCause::Requested, reason: why(), open: 1, engines: 0 };
    assert_eq!(explain(world, run).reason, marked);
    world.settle();
    assert_eq!(reason(world, run), person);
    let above = StateReason::Cancelled { cause: Some(CancelCause::Ancestor), reason: why() };
    assert_eq!((reason(world, parent), reason(world, children[0])), (above.clone(), above));

    let (_, reported) = world.leaf();
    world.cancel(reported);
    assert_eq!(reason(world, reported), StateReason::Cancelled { cause: None, reason: None });
}

pub fn what_is_below_a_mark_is_being_cancelled(world: &World<'_>) {
    let tomorrow = world.now().plus_millis(24 * 60 * 60_000);
    let outer = TaskDraft::new("P").input(json!({"fanout": [{"fanout": 1}]}));
    let later = TaskDraft::new("Q").input(json!({"fanout": 2})).due_at(tomorrow);
    let leaves = ["A", "B", "C"].map(TaskDraft::new);
    let tasks = [outer, later, TaskDraft::new("D").due_at(tomorrow)].into_iter().chain(leaves);
    let (run, roots) = world.run_of(tasks);
    world.fan_out();
    world.fail(roots[3]);
    world.start(roots[4]);
    let _ = world.store().cancel(&Cancel::run(run, world.now()).reason("enough")).expect("a cancel");
    // Nobody has swept yet.
    let because = |open| {
        let reason = Some("enough".into());
        StateReason::BeingCancelled { cause: CancelCause::Ancestor, reason, open, engines: 0 }
    };
    for leaf in &roots[2..] {
        assert_eq!(reason(world, *leaf), because(0));
    }
    assert_eq!(reason(world, roots[1]), because(0));
    let below = explain(world, roots[0]);
    assert_eq!((&below.reason, below.root_cause()), (&because(1), &because(0)));
    assert_eq!(explain(world, run).root_cause(), &because(0));
    let words = reason(world, roots[5]).to_string();
    assert_eq!(words, "being cancelled together with an ancestor: enough, but no engine is working");
}

pub fn a_deadline_that_passed_is_the_reason(world: &World<'_>) {
    let run = world.submit(&RunDraft::new().task(TaskDraft::new("A")).deadline_ms(1000));
    world.pass_ms(1000);
    world.settle();
    let by_deadline = StateReason::Cancelled { cause: Some(CancelCause::Deadline), reason: None };
    if world.run_state(run) != State::Cancelled {
        let _ = world.store().expire(&world.step()).expect("a step");
        world.settle();
    }
    assert_eq!(reason(world, run), by_deadline);
}

pub fn a_failure_leads_to_the_leaf_that_failed(world: &World<'_>) {
    let (run, _, children) = world.family(3);
    world.succeed(children[0]);
    world.fail_for_good(children[1]);
    world.succeed(children[2]);
    world.settle();
    let explained = explain(world, run);
    assert_eq!(explained.reason, StateReason::Failed { error: None, failed_children: 1 });
    let error = world.task(children[1]).last_error;
    assert!(error.is_some());
    assert_eq!(explained.root_cause(), &StateReason::Failed { error, failed_children: 0 });
}

pub fn a_cancel_of_a_child_leads_to_the_leaf_that_was_cancelled(world: &World<'_>) {
    let (run, parent, children) = world.family(3);
    world.succeed(children[0]);
    let cancel = Cancel::task(children[1], world.now()).reason("bad data");
    let _ = world.store().cancel(&cancel).expect("a cancel");
    world.succeed(children[2]);
    world.settle();
    let person =
        StateReason::Cancelled { cause: Some(CancelCause::Requested), reason: Some("bad data".into()) };
    for subject in [NodeId::Run(run), NodeId::Task(parent)] {
        let explained = explain(world, subject);
        assert_eq!(explained.reason, StateReason::Cancelled { cause: None, reason: None });
        assert_eq!(explained.root_cause(), &person, "{explained}");
    }
}

pub fn a_cancelled_join_is_what_cancelled_its_parent(world: &World<'_>) {
    let (run, parent) = world.one(TaskDraft::new("A").input(json!({"fanout": 1})).join("J"));
    world.fan_out();
    world.succeed(world.children(parent)[0].id);
    world.settle();
    let join = world.task(parent).join.expect("a join").id;
    let cancel = Cancel::task(join, world.now()).reason("bad data");
    let _ = world.store().cancel(&cancel).expect("a cancel");
    world.settle();
    let person =
        StateReason::Cancelled { cause: Some(CancelCause::Requested), reason: Some("bad data".into()) };
    assert_eq!(explain(world, run).root_cause(), &person);
}

pub fn what_failed_fast_says_what_failed(world: &World<'_>) {
    let draft = TaskDraft::new("A").input(json!({"fanout": 3})).policy(Policy::FailFast);
    let (_, parent) = world.one(draft);
    world.fan_out();
    world.fail_for_good(world.children(parent)[1].id);
    let explained = explain(world, parent);
    let marked =
        StateReason::BeingCancelled { cause: CancelCause::FailFast, reason: None, open: 2, engines: 0 };
    assert_eq!(explained.reason, marked);
    world.settle();
    let explained = explain(world, parent);
    assert_eq!(explained.reason, StateReason::Failed { error: None, failed_children: 1 });
    assert!(matches!(explained.root_cause(), StateReason::Failed { error: Some(_), .. }), "{explained}");
}

pub fn what_succeeded_needs_no_reason(world: &World<'_>) {
    let (run, task) = world.leaf();
    world.succeed(task);
    world.settle();
    assert_eq!((reason(world, run), reason(world, task)), (StateReason::Succeeded, StateReason::Succeeded));
}

pub fn a_failed_join_is_what_failed_its_parent(world: &World<'_>) {
    let draft = TaskDraft::new("A").input(json!({"fanout": 2})).policy(Policy::Ignore).join("J");
    let (_, parent) = world.one(draft);
    world.fan_out();
    let children = world.children(parent);
    world.fail_for_good(children[0].id);
    world.succeed(children[1].id);
    world.settle();
    let join = world.task(parent).join.expect("a join").id;
    world.fail_for_good(join);
    let explained = explain(world, parent);
    assert_eq!(explained.reason, StateReason::JoinFailed);
    assert!(explained.to_string().contains("is FAILED: its join failed permanently; task "), "{explained}");
    let ExplainTarget::Task { id, .. } = explained.caused_by.expect("the join").target else {
        panic!("a task")
    };
    assert_eq!(id, join, "and not the failure that was tolerated");
}

pub fn what_a_claim_or_a_sweep_cancelled_went_with_what_is_above_it(world: &World<'_>) {
    let (run, tasks) = world.run_of([TaskDraft::new("A"), TaskDraft::new("B")]);
    let _ = world.store().cancel(&Cancel::task(tasks[1], world.now()).reason("bad data")).expect("a cancel");
    let own = StateReason::Cancelled { cause: Some(CancelCause::Requested), reason: Some("bad data".into()) };
    assert_eq!(reason(world, tasks[1]), own);
    world.pass_ms(1000);
    assert_eq!(world.revive(tasks[1]), 0);
    let _ = world.store().cancel(&Cancel::run(run, world.now()).reason("enough")).expect("a cancel");
    // A claim meets the one, the sweep the other.
    assert_eq!(world.hands().claim("A", 1), []);
    world.settle();
    let above = StateReason::Cancelled { cause: Some(CancelCause::Ancestor), reason: Some("enough".into()) };
    assert_eq!((reason(world, tasks[0]), reason(world, tasks[1])), (above.clone(), above));
}

pub fn what_was_cancelled_before_something_above_it_did_not_go_with_that(world: &World<'_>) {
    let (run, tasks) = world.run_of([TaskDraft::new("A"), TaskDraft::new("B")]);
    world.cancel(tasks[0]);
    world.pass_ms(1000);
    let _ = world.store().cancel(&Cancel::run(run, world.now()).reason("enough")).expect("a cancel");
    world.settle();
    assert_eq!(reason(world, tasks[0]), StateReason::Cancelled { cause: None, reason: None });
    let above = StateReason::Cancelled { cause: Some(CancelCause::Ancestor), reason: Some("enough".into()) };
    assert_eq!(reason(world, tasks[1]), above);
}

pub fn what_was_revived_beside_an_older_failure_waits_for_it(world: &World<'_>) {
    let draft = TaskDraft::new("A").input(json!({"fanout": 2})).policy(Policy::FailFast);
    let (_, parent) = world.one(draft);
    world.fan_out();
    let children = world.children(parent);
    // Both fail before the sweep comes.
    world.fail_for_good(children[0].id);
    world.fail_for_good(children[1].id);
    world.settle();
    let _ = world.revive(children[0].id);
    let explained = explain(world, parent);
    assert_eq!(explained.reason, StateReason::WaitingForChildren { open: 1, children: 2 });
    assert!(matches!(explained.root_cause(), StateReason::NoEngineForKind { .. }), "{explained}");
}
