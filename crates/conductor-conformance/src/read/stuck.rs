//! Stuck: runs and tasks that do not move for longer than the threshold.

use super::monitor::{MINUTE_MS, health};
use crate::Harness;
use conductor_model::{Backoff, RunDraft, RunId, StateReason, StuckItem, TaskDraft, TaskId, Timestamp};
use conductor_store::{Report, Scope, StuckThreshold};
use serde_json::json;

fn stuck(harness: &Harness<'_>) -> Vec<StuckItem> {
    harness.store().stuck(Scope::All, harness.stuck_threshold(), 100).expect("query succeeds")
}

#[track_caller]
fn assert_stuck(
    harness: &Harness<'_>,
    run: RunId,
    task: Option<TaskId>,
    reason: fn(&StateReason) -> bool,
    since: Timestamp,
) {
    let stuck = stuck(harness);
    assert_eq!(stuck.len(), 1, "{stuck:?}");
    assert_eq!((stuck[0].run, stuck[0].task, stuck[0].since), (run, task, since));
    assert!(reason(&stuck[0].reason), "{}", stuck[0].reason);
    assert_eq!(health(harness, Scope::All).counts.stuck, 1);
}

#[track_caller]
fn assert_nothing_stuck(harness: &Harness<'_>) {
    assert_eq!(stuck(harness), []);
    assert_eq!(health(harness, Scope::All).counts.stuck, 0);
}

/// Moves the clock to one millisecond after the threshold, and checks that nothing is stuck at the threshold.
#[track_caller]
fn pass_threshold(harness: &Harness<'_>) {
    harness.advance_ms(5 * MINUTE_MS);
    assert_nothing_stuck(harness);
    harness.advance_ms(1);
}

pub fn silent_running_leaf_is_stuck(harness: &Harness<'_>) {
    let (run, task) = harness.submit_leaf();
    harness.start(task);
    let since = harness.now();
    pass_threshold(harness);
    assert_stuck(
        harness,
        run,
        Some(task),
        |reason| matches!(reason, StateReason::RunningExternally { .. }),
        since,
    );
    let _ = harness.report(Report::started(task));
    assert_nothing_stuck(harness);
}

pub fn ready_work_that_never_started_is_stuck(harness: &Harness<'_>) {
    let (run, task) = harness.submit_leaf();
    let since = harness.now();
    pass_threshold(harness);
    assert_stuck(harness, run, None, |reason| matches!(reason, StateReason::NoEngineForKind { .. }), since);
    harness.start(task);
    assert_nothing_stuck(harness);
}

pub fn run_without_fan_out_is_stuck(harness: &Harness<'_>) {
    let (run, _) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 2})));
    let since = harness.now();
    pass_threshold(harness);
    assert_stuck(harness, run, None, |reason| matches!(reason, StateReason::CreatingChildren { .. }), since);
    harness.fan_out();
    assert_nothing_stuck(harness);
}

pub fn run_with_overdue_delayed_work_is_stuck(harness: &Harness<'_>) {
    let due = harness.now().plus_millis(60_000);
    let (run, task) = harness.submit_task(TaskDraft::new("A").due_at(due));
    harness.advance_ms(60_000);
    assert_nothing_stuck(harness);
    pass_threshold(harness);
    assert_stuck(
        harness,
        run,
        None,
        |reason| matches!(reason, StateReason::Delayed { engines: Some(0), .. }),
        due,
    );
    harness.promote();
    harness.start(task);
    assert_nothing_stuck(harness);
}

pub fn overdue_work_in_active_run_is_stuck(harness: &Harness<'_>) {
    let minute = Backoff::fixed(60_000).expect("backoff is valid");
    let due = harness.now().plus_millis(60_000);
    let (run, roots) =
        harness.submit_tasks([TaskDraft::new("A").backoff(minute), TaskDraft::new("B").due_at(due)]);
    harness.fail(roots[0]);
    harness.advance_ms(60_000);
    pass_threshold(harness);
    let overdue = stuck(harness);
    let found: Vec<_> = overdue.iter().map(|stuck| (stuck.run, stuck.task, stuck.since)).collect();
    assert_eq!(found, [(run, Some(roots[1]), due), (run, Some(roots[0]), due)]);
    assert!(
        matches!(overdue[0].reason, StateReason::Delayed { engines: Some(0), .. }),
        "{}",
        overdue[0].reason
    );
    assert!(
        matches!(overdue[1].reason, StateReason::RetryDue { engines: Some(0), .. }),
        "{}",
        overdue[1].reason
    );
    assert_eq!(
        harness.store().stuck(Scope::Run(run), harness.stuck_threshold(), 9).expect("query succeeds"),
        overdue
    );
    assert_eq!(health(harness, Scope::Run(run)).counts.stuck, 2);
    let (other, _) = harness.submit_leaf();
    assert_eq!(
        harness.store().stuck(Scope::Run(other), harness.stuck_threshold(), 9).expect("query succeeds"),
        []
    );
    harness.retry();
    harness.promote();
    assert_nothing_stuck(harness);
}

pub fn parent_missing_children_is_stuck(harness: &Harness<'_>) {
    let (run, roots) =
        harness.submit_tasks([TaskDraft::new("A"), TaskDraft::new("P").input(json!({"fanout": 2}))]);
    let since = harness.now();
    harness.succeed(roots[0]);
    pass_threshold(harness);
    let creating = |reason: &StateReason| matches!(reason, StateReason::CreatingChildren { engines: 0, .. });
    assert_stuck(harness, run, Some(roots[1]), creating, since);
    harness.fan_out();
    assert_nothing_stuck(harness);
}

pub fn open_parent_without_append_is_stuck(harness: &Harness<'_>) {
    let (run, parent) = harness.submit_open_parent();
    let since = harness.now();
    pass_threshold(harness);
    assert_stuck(
        harness,
        run,
        Some(parent),
        |reason| matches!(reason, StateReason::WaitingForAppend { .. }),
        since,
    );
    harness.append(parent, 1, &["1"]).expect("append succeeds");
    let (child, since) = (harness.children(parent)[0].id, harness.now());
    assert_nothing_stuck(harness);
    harness.advance_ms(2 * MINUTE_MS);
    harness.succeed(child);
    harness.advance_ms(4 * MINUTE_MS);
    assert_stuck(
        harness,
        run,
        Some(parent),
        |reason| matches!(reason, StateReason::WaitingForAppend { .. }),
        since,
    );
    harness.seal(parent, 1).expect("seal succeeds");
    assert_nothing_stuck(harness);
}

pub fn open_run_without_append_is_stuck(harness: &Harness<'_>) {
    let run = harness.submit(&RunDraft::new().open());
    let since = harness.now();
    pass_threshold(harness);
    assert_stuck(harness, run, None, |reason| matches!(reason, StateReason::WaitingForAppend { .. }), since);
    harness.append_tasks(run, 1, [TaskDraft::new("A")]).expect("append succeeds");
    assert_nothing_stuck(harness);
    let since = harness.now();
    harness.succeed(harness.roots(run)[0].id);
    pass_threshold(harness);
    assert_stuck(harness, run, None, |reason| matches!(reason, StateReason::WaitingForAppend { .. }), since);
}

pub fn undecided_parent_is_stuck(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(1);
    harness.advance_ms(MINUTE_MS);
    harness.succeed(children[0]);
    let since = harness.now();
    pass_threshold(harness);
    assert_stuck(
        harness,
        run,
        Some(parent),
        |reason| matches!(reason, StateReason::ReadyToAggregate { .. }),
        since,
    );
    harness.run_all_steps();
    assert_nothing_stuck(harness);
}

pub fn undecided_run_is_stuck(harness: &Harness<'_>) {
    let (run, task) = harness.submit_leaf();
    harness.advance_ms(MINUTE_MS);
    harness.succeed(task);
    let since = harness.now();
    pass_threshold(harness);
    assert_stuck(harness, run, None, |reason| matches!(reason, StateReason::ReadyToAggregate { .. }), since);
    harness.run_all_steps();
    assert_nothing_stuck(harness);
}

pub fn task_waiting_for_due_time_is_not_stuck(harness: &Harness<'_>) {
    let day = Backoff::fixed(24 * 60 * 60_000).expect("backoff is valid");
    let tomorrow = harness.now().plus_millis(24 * 60 * 60_000);
    let delayed = TaskDraft::new("P").input(json!({"fanout": 2})).due_at(tomorrow);
    harness.submit_tasks([TaskDraft::new("A").due_at(tomorrow), delayed]);
    let (_, waiting) = harness.submit_task(TaskDraft::new("B").backoff(day));
    harness.fail(waiting);
    harness.advance_ms(60 * MINUTE_MS);
    assert_nothing_stuck(harness);
}

pub fn ready_task_beside_active_sibling_is_not_stuck(harness: &Harness<'_>) {
    let (_, _, children) = harness.family(3);
    harness.start(children[0]);
    harness.advance_ms(4 * MINUTE_MS);
    let _ = harness.report(Report::started(children[0]));
    harness.advance_ms(4 * MINUTE_MS);
    assert_nothing_stuck(harness);
}

pub fn parent_waiting_for_children_is_not_stuck(harness: &Harness<'_>) {
    let (_, _, children) = harness.family(1);
    for _ in 0..5 {
        let _ = harness.report(Report::started(children[0]));
        harness.advance_ms(4 * MINUTE_MS);
        assert_nothing_stuck(harness);
    }
}

pub fn newly_ready_run_is_not_stuck(harness: &Harness<'_>) {
    let due = harness.now().plus_millis(60 * 60_000);
    let (run, _) = harness.submit_task(TaskDraft::new("A").due_at(due));
    harness.advance_ms(60 * MINUTE_MS);
    harness.promote();
    let since = harness.now();
    pass_threshold(harness);
    assert_stuck(harness, run, None, |reason| matches!(reason, StateReason::NoEngineForKind { .. }), since);
}

pub fn longest_stuck_comes_first_up_to_limit(harness: &Harness<'_>) {
    let (run, roots) = harness.submit_tasks(["A", "B", "C"].map(TaskDraft::new));
    for nth in [1, 0, 2] {
        harness.start(roots[nth]);
        harness.advance_ms(MINUTE_MS);
    }
    harness.advance_ms(60 * MINUTE_MS);
    let listed = |scope, limit| {
        let stuck = harness.store().stuck(scope, harness.stuck_threshold(), limit).expect("query succeeds");
        stuck.into_iter().map(|stuck| stuck.task.expect("task is valid")).collect::<Vec<_>>()
    };
    assert_eq!(listed(Scope::All, 100), [roots[1], roots[0], roots[2]]);
    assert_eq!(listed(Scope::Run(run), 2), [roots[1], roots[0]]);
}

pub fn caller_sets_threshold(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    harness.start(task);
    harness.advance_ms(1000);
    let stuck = |threshold_ms| {
        let threshold = StuckThreshold { now: harness.now(), threshold_ms };
        harness.store().stuck(Scope::All, threshold, 10).expect("query succeeds").len()
    };
    assert_eq!((stuck(1000), stuck(999)), (0, 1));
}
