//! Explain: why a run or a task is being cancelled, or is settled.

use super::explain::{explain, reason};
use crate::Harness;
use conductor_model::{CancelCause, ExplainTarget, Policy, RunDraft, State, StateReason, TaskDraft};
use conductor_store::{NodeId, ReviveFilter};
use serde_json::json;

pub fn cancel_shows_cause_and_reason(harness: &Harness<'_>) {
    let why = || Some("enough".into());
    let requested = StateReason::Cancelled { cause: Some(CancelCause::Requested), reason: why() };
    let (_, leaf) = harness.submit_leaf();
    let _ = harness.cancel_because(leaf.into(), "enough");
    assert_eq!(reason(harness, leaf), requested);

    let (run, parent, children) = harness.family(2);
    let _ = harness.cancel_because(run.into(), "enough");
    let being_cancelled =
        StateReason::BeingCancelled { cause: CancelCause::Requested, reason: why(), open: 1, engines: 0 };
    assert_eq!(explain(harness, run).reason, being_cancelled);
    harness.run_all_steps();
    assert_eq!(reason(harness, run), requested);
    let by_ancestor = StateReason::Cancelled { cause: Some(CancelCause::Ancestor), reason: why() };
    assert_eq!((reason(harness, parent), reason(harness, children[0])), (by_ancestor.clone(), by_ancestor));

    let (_, reported) = harness.submit_leaf();
    harness.report_cancelled(reported);
    assert_eq!(reason(harness, reported), StateReason::Cancelled { cause: None, reason: None });
}

pub fn newest_cancel_gives_reason(harness: &Harness<'_>) {
    let requested = |why: &str| {
        let (cause, reason) = (Some(CancelCause::Requested), Some(why.into()));
        StateReason::Cancelled { cause, reason }
    };
    let (run, parent, _) = harness.family(2);
    let (_, leaf) = harness.submit_leaf();
    for why in ["too slow", "too late"] {
        for target in [NodeId::Task(parent), NodeId::Run(run), NodeId::Task(leaf)] {
            let _ = harness.cancel_because(target, why);
            harness.run_all_steps();
            assert_eq!(reason(harness, target), requested(why));
            let _ = harness.revive_all(target, ReviveFilter::FailedAndCancelled, 10);
        }
    }
}

pub fn descendants_of_cancelled_run_are_being_cancelled(harness: &Harness<'_>) {
    let tomorrow = harness.now().plus_millis(24 * 60 * 60_000);
    let outer = TaskDraft::new("P").input(json!({"fanout": [{"fanout": 1}]}));
    let later = TaskDraft::new("Q").input(json!({"fanout": 2})).due_at(tomorrow);
    let leaves = ["A", "B", "C"].map(TaskDraft::new);
    let tasks = [outer, later, TaskDraft::new("D").due_at(tomorrow)].into_iter().chain(leaves);
    let (run, roots) = harness.submit_tasks(tasks);
    harness.fan_out();
    harness.fail(roots[3]);
    harness.start(roots[4]);
    let _ = harness.cancel_because(run.into(), "enough");
    // No sweep has run yet.
    let expected = |open| {
        let reason = Some("enough".into());
        StateReason::BeingCancelled { cause: CancelCause::Ancestor, reason, open, engines: 0 }
    };
    for leaf in &roots[2..] {
        assert_eq!(reason(harness, *leaf), expected(0));
    }
    assert_eq!(reason(harness, roots[1]), expected(0));
    let below = explain(harness, roots[0]);
    assert_eq!((&below.reason, below.root_cause()), (&expected(1), &expected(0)));
    assert_eq!(explain(harness, run).root_cause(), &expected(0));
    let words = reason(harness, roots[5]).to_string();
    assert!(words.starts_with("being cancelled "), "{words}");
    assert!(words.ends_with(": enough, but no engine is working"), "{words}");
}

pub fn passed_deadline_is_cause(harness: &Harness<'_>) {
    let run = harness.submit(&RunDraft::new().task(TaskDraft::new("A")).deadline_ms(1000));
    harness.advance_ms(1000);
    harness.run_all_steps();
    let by_deadline = StateReason::Cancelled { cause: Some(CancelCause::Deadline), reason: None };
    if harness.run_state(run) != State::Cancelled {
        let _ = harness.store().expire(&harness.step()).expect("step succeeds");
        harness.run_all_steps();
    }
    assert_eq!(reason(harness, run), by_deadline);
}

pub fn failure_leads_to_failed_leaf(harness: &Harness<'_>) {
    let (run, _, children) = harness.family(3);
    harness.succeed(children[0]);
    harness.fail_permanently(children[1]);
    harness.succeed(children[2]);
    harness.run_all_steps();
    let explained = explain(harness, run);
    assert_eq!(explained.reason, StateReason::Failed { error: None, failed_children: 1 });
    let error = harness.task(children[1]).last_error;
    assert!(error.is_some());
    assert_eq!(explained.root_cause(), &StateReason::Failed { error, failed_children: 0 });
}

pub fn cancelled_child_is_root_cause(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(3);
    harness.succeed(children[0]);
    let _ = harness.cancel_because(children[1].into(), "bad data");
    harness.succeed(children[2]);
    harness.run_all_steps();
    let requested =
        StateReason::Cancelled { cause: Some(CancelCause::Requested), reason: Some("bad data".into()) };
    for target in [NodeId::Run(run), NodeId::Task(parent)] {
        let explained = explain(harness, target);
        assert_eq!(explained.reason, StateReason::Cancelled { cause: None, reason: None });
        assert_eq!(explained.root_cause(), &requested, "{explained}");
    }
}

pub fn cancelled_join_is_root_cause(harness: &Harness<'_>) {
    let (run, parent) = harness.submit_task(TaskDraft::new("A").input(json!({"fanout": 1})).join("J"));
    harness.fan_out();
    harness.succeed(harness.children(parent)[0].id);
    harness.run_all_steps();
    let join = harness.task(parent).join.expect("join exists").id;
    let _ = harness.cancel_because(join.into(), "bad data");
    harness.run_all_steps();
    let requested =
        StateReason::Cancelled { cause: Some(CancelCause::Requested), reason: Some("bad data".into()) };
    assert_eq!(explain(harness, run).root_cause(), &requested);
}

pub fn fail_fast_leads_to_failed_leaf(harness: &Harness<'_>) {
    let draft = TaskDraft::new("A").input(json!({"fanout": 3})).policy(Policy::FailFast);
    let (_, parent) = harness.submit_task(draft);
    harness.fan_out();
    harness.fail_permanently(harness.children(parent)[1].id);
    harness.aggregate();
    let explained = explain(harness, parent);
    let being_cancelled =
        StateReason::BeingCancelled { cause: CancelCause::FailFast, reason: None, open: 2, engines: 0 };
    assert_eq!(explained.reason, being_cancelled);
    harness.run_all_steps();
    let explained = explain(harness, parent);
    assert_eq!(explained.reason, StateReason::Failed { error: None, failed_children: 1 });
    assert!(matches!(explained.root_cause(), StateReason::Failed { error: Some(_), .. }), "{explained}");
}

pub fn success_needs_no_reason(harness: &Harness<'_>) {
    let (run, task) = harness.submit_leaf();
    harness.succeed(task);
    harness.run_all_steps();
    assert_eq!(
        (reason(harness, run), reason(harness, task)),
        (StateReason::Succeeded, StateReason::Succeeded)
    );
}

pub fn failed_join_is_cause_of_failure(harness: &Harness<'_>) {
    let draft = TaskDraft::new("A").input(json!({"fanout": 2})).policy(Policy::Ignore).join("J");
    let (_, parent) = harness.submit_task(draft);
    harness.fan_out();
    let children = harness.children(parent);
    harness.fail_permanently(children[0].id);
    harness.succeed(children[1].id);
    harness.run_all_steps();
    let join = harness.task(parent).join.expect("join exists").id;
    harness.fail_permanently(join);
    let explained = explain(harness, parent);
    assert_eq!(explained.reason, StateReason::JoinFailed);
    assert!(explained.to_string().contains("is FAILED: its join failed"), "{explained}");
    let ExplainTarget::Task { id, .. } = explained.caused_by.expect("join exists").target else {
        panic!("a task")
    };
    assert_eq!(id, join, "the tolerated failure is not the cause");
}

pub fn claim_and_sweep_cancel_with_ancestor_cause(harness: &Harness<'_>) {
    let (run, tasks) = harness.submit_tasks([TaskDraft::new("A"), TaskDraft::new("B")]);
    let _ = harness.cancel_because(tasks[1].into(), "bad data");
    let own = StateReason::Cancelled { cause: Some(CancelCause::Requested), reason: Some("bad data".into()) };
    assert_eq!(reason(harness, tasks[1]), own);
    harness.advance_ms(1000);
    assert_eq!(harness.revive(tasks[1]), 0);
    let _ = harness.cancel_because(run.into(), "enough");
    // The claim cancels the first task, the sweep cancels the second.
    assert_eq!(harness.engine().claim("A", 1), []);
    harness.run_all_steps();
    let by_ancestor =
        StateReason::Cancelled { cause: Some(CancelCause::Ancestor), reason: Some("enough".into()) };
    assert_eq!((reason(harness, tasks[0]), reason(harness, tasks[1])), (by_ancestor.clone(), by_ancestor));
}

pub fn earlier_cancel_keeps_its_own_cause(harness: &Harness<'_>) {
    let (run, tasks) = harness.submit_tasks([TaskDraft::new("A"), TaskDraft::new("B")]);
    harness.report_cancelled(tasks[0]);
    harness.advance_ms(1000);
    let _ = harness.cancel_because(run.into(), "enough");
    harness.run_all_steps();
    assert_eq!(reason(harness, tasks[0]), StateReason::Cancelled { cause: None, reason: None });
    let by_ancestor =
        StateReason::Cancelled { cause: Some(CancelCause::Ancestor), reason: Some("enough".into()) };
    assert_eq!(reason(harness, tasks[1]), by_ancestor);
}

pub fn revived_leaf_beside_older_failure_is_awaited(harness: &Harness<'_>) {
    let draft = TaskDraft::new("A").input(json!({"fanout": 2})).policy(Policy::FailFast);
    let (_, parent) = harness.submit_task(draft);
    harness.fan_out();
    let children = harness.children(parent);
    // Both children fail before the sweep.
    harness.fail_permanently(children[0].id);
    harness.fail_permanently(children[1].id);
    harness.run_all_steps();
    let _ = harness.revive(children[0].id);
    let explained = explain(harness, parent);
    assert_eq!(explained.reason, StateReason::WaitingForChildren { open: 1, children: 2 });
    assert!(matches!(explained.root_cause(), StateReason::NoEngineForKind { .. }), "{explained}");
}
