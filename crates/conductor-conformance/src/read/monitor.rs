//! Monitoring: health, what is stuck, what retries came to, a run at a glance.

use crate::World;
use conductor_model::{
    Backoff, Eta, Health, HealthReport, RetryMetrics, RunDraft, RunId, StateCounts, StateReason, StuckItem,
    TaskDraft, TaskId, Timestamp,
};
use conductor_store::{Scope, StoreError, StuckThreshold};
use serde_json::json;

const MINUTE: i64 = 60_000;

fn health(world: &World<'_>, scope: Scope) -> HealthReport {
    world.store().health(scope, world.watch()).expect("a report")
}

fn judged(world: &World<'_>) -> Health {
    health(world, Scope::All).health
}

fn stuck(world: &World<'_>) -> Vec<StuckItem> {
    world.store().stuck(Scope::All, world.watch(), 100).expect("a list")
}

#[track_caller]
fn assert_stuck(
    world: &World<'_>,
    run: RunId,
    task: Option<TaskId>,
    reason: fn(&StateReason) -> bool,
    since: Timestamp,
) {
    let stuck = stuck(world);
    assert_eq!(stuck.len(), 1, "{stuck:?}");
    assert_eq!((stuck[0].run, stuck[0].task, stuck[0].since), (run, task, since));
    assert!(reason(&stuck[0].reason), "{}", stuck[0].reason);
    assert_eq!(health(world, Scope::All).counts.stuck, 1);
}

#[track_caller]
fn assert_nothing_stuck(world: &World<'_>) {
    assert_eq!(stuck(world), []);
    assert_eq!(health(world, Scope::All).counts.stuck, 0);
}

/// Nothing is stuck at the threshold; it is a millisecond later.
#[track_caller]
fn pass_the_threshold(world: &World<'_>) {
    world.pass_ms(5 * MINUTE);
    assert_nothing_stuck(world);
    world.pass_ms(1);
}

pub fn empty_store_is_healthy(world: &World<'_>) {
    let report = health(world, Scope::All);
    assert_eq!((report.health, report.success_rate, report.failure_rate), (Health::Healthy, None, None));
    assert!(report.warnings.is_empty() && report.average_retries == 0.0);
}

pub fn running_or_successful_run_is_healthy(world: &World<'_>) {
    let (run, _, children) = world.family(2);
    assert_eq!(judged(world), Health::Healthy);
    for child in &children {
        world.start(*child);
    }
    assert_eq!(judged(world), Health::Healthy);
    for child in &children {
        world.succeed(*child);
    }
    world.settle();
    world.pass_ms(60 * MINUTE);
    let report = health(world, Scope::Run(run));
    assert_eq!(
        (report.health, report.success_rate, report.failure_rate),
        (Health::Healthy, Some(1.0), Some(0.0))
    );
    assert!(report.warnings.is_empty());
}

pub fn cancelled_task_is_healthy(world: &World<'_>) {
    let (_, task) = world.leaf();
    world.cancel(task);
    world.settle();
    let report = health(world, Scope::All);
    assert_eq!(
        (report.health, report.success_rate, report.failure_rate),
        (Health::Healthy, Some(0.0), Some(0.0))
    );
}

pub fn failure_awaiting_retry_is_warning(world: &World<'_>) {
    let (_, task) = world.leaf();
    world.fail(task);
    let report = health(world, Scope::All);
    assert_eq!((report.health, report.counts.retries_due), (Health::Warning, 1));
    assert_eq!((report.counts.retries_exhausted, report.failure_rate), (0, None), "it is not settled");
    assert_eq!(report.warnings.len(), 1);
    world.retry();
    assert_eq!(judged(world), Health::Healthy);
}

pub fn stuck_task_is_warning(world: &World<'_>) {
    let (_, task) = world.leaf();
    world.start(task);
    world.pass_ms(6 * MINUTE);
    let report = health(world, Scope::All);
    assert_eq!((report.health, report.counts.stuck, report.warnings.len()), (Health::Warning, 1, 1));
}

pub fn final_failure_is_critical(world: &World<'_>) {
    let (_, roots) = world.run_of(["A", "B", "C", "D"].map(TaskDraft::new));
    world.fail_for_good(roots[0]);
    world.fail(roots[1]);
    world.succeed(roots[2]);
    let report = health(world, Scope::All);
    assert_eq!((report.health, report.counts.retries_due), (Health::Critical, 1));
    assert_eq!((report.success_rate, report.failure_rate), (Some(0.5), Some(0.5)));
    assert_eq!(report.warnings.len(), 2, "{:?}", report.warnings);
}

pub fn health_counts_tasks_and_retries(world: &World<'_>) {
    let (run, roots) = world.run_of(["A", "B", "C"].map(|name| TaskDraft::new(name).max_retries(2)));
    for task in [roots[0], roots[1], roots[1]] {
        world.fail(task);
        assert_eq!(world.retry(), 1);
    }
    world.fail(roots[1]);
    let report = health(world, Scope::Run(run));
    assert_eq!(report.counts.state_counts, StateCounts { pending: 2, failed: 1, ..StateCounts::default() });
    assert_eq!((report.counts.retried_tasks, report.counts.total_retries), (2, 3));
    assert_eq!((report.counts.retries_exhausted, report.counts.retries_due), (1, 0));
    assert!((report.average_retries - 1.5).abs() < f64::EPSILON);
}

pub fn health_covers_one_run_or_all(world: &World<'_>) {
    let ((good, _), (bad, task)) = (world.leaf(), world.leaf());
    world.fail_for_good(task);
    assert_eq!(health(world, Scope::Run(good)).health, Health::Healthy);
    assert_eq!(health(world, Scope::Run(bad)).health, Health::Critical);
    assert_eq!(judged(world), Health::Critical);
    let unknown = Scope::Run(RunId::from_u128(1));
    let refused = [
        world.store().health(unknown, world.watch()).map(|_| ()),
        world.store().stuck(unknown, world.watch(), 10).map(|_| ()),
        world.store().retry_metrics(unknown).map(|_| ()),
    ];
    assert!(refused.iter().all(|refusal| matches!(refusal, Err(StoreError::RunNotFound(_)))), "{refused:?}");
}

pub fn silent_running_leaf_is_stuck(world: &World<'_>) {
    let (run, task) = world.leaf();
    world.start(task);
    let since = world.now();
    pass_the_threshold(world);
    assert_stuck(
        world,
        run,
        Some(task),
        |reason| matches!(reason, StateReason::RunningExternally { .. }),
        since,
    );
    let _ = world.report(conductor_store::Report::started(task));
    assert_nothing_stuck(world);
}

pub fn ready_work_that_never_started_is_stuck(world: &World<'_>) {
    let (run, task) = world.leaf();
    let since = world.now();
    pass_the_threshold(world);
    assert_stuck(world, run, None, |reason| matches!(reason, StateReason::NoEngineForKind { .. }), since);
    world.start(task);
    assert_nothing_stuck(world);
}

pub fn run_without_fan_out_is_stuck(world: &World<'_>) {
    let (run, _) = world.one(TaskDraft::new("P").input(json!({"fanout": 2})));
    let since = world.now();
    pass_the_threshold(world);
    assert_stuck(world, run, None, |reason| matches!(reason, StateReason::CreatingChildren { .. }), since);
    world.fan_out();
    assert_nothing_stuck(world);
}

pub fn run_with_overdue_delayed_work_is_stuck(world: &World<'_>) {
    let due = world.now().plus_millis(60_000);
    let (run, task) = world.one(TaskDraft::new("A").due_at(due));
    world.pass_ms(60_000);
    assert_nothing_stuck(world);
    pass_the_threshold(world);
    assert_stuck(
        world,
        run,
        None,
        |reason| matches!(reason, StateReason::Delayed { engines: Some(0), .. }),
        due,
    );
    world.promote();
    world.start(task);
    assert_nothing_stuck(world);
}

pub fn overdue_work_in_active_run_is_stuck(world: &World<'_>) {
    let minute = Backoff::fixed(60_000).expect("a backoff");
    let due = world.now().plus_millis(60_000);
    let (run, roots) = world.run_of([TaskDraft::new("A").backoff(minute), TaskDraft::new("B").due_at(due)]);
    world.fail(roots[0]);
    world.pass_ms(60_000);
    pass_the_threshold(world);
    let overdue = stuck(world);
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
    assert_eq!(world.store().stuck(Scope::Run(run), world.watch(), 9).expect("a list"), overdue);
    assert_eq!(health(world, Scope::Run(run)).counts.stuck, 2);
    let (other, _) = world.leaf();
    assert_eq!(world.store().stuck(Scope::Run(other), world.watch(), 9).expect("a list"), []);
    world.retry();
    world.promote();
    assert_nothing_stuck(world);
}

pub fn parent_missing_children_is_stuck(world: &World<'_>) {
    let (run, roots) = world.run_of([TaskDraft::new("A"), TaskDraft::new("P").input(json!({"fanout": 2}))]);
    let since = world.now();
    world.succeed(roots[0]);
    pass_the_threshold(world);
    let creating = |reason: &StateReason| matches!(reason, StateReason::CreatingChildren { engines: 0, .. });
    assert_stuck(world, run, Some(roots[1]), creating, since);
    world.fan_out();
    assert_nothing_stuck(world);
}

pub fn open_parent_without_append_is_stuck(world: &World<'_>) {
    let (run, parent) = world.open_parent();
    let since = world.now();
    pass_the_threshold(world);
    assert_stuck(
        world,
        run,
        Some(parent),
        |reason| matches!(reason, StateReason::WaitingForAppend { .. }),
        since,
    );
    world.append(parent, 1, &["1"]).expect("an append");
    let (child, since) = (world.children(parent)[0].id, world.now());
    assert_nothing_stuck(world);
    world.pass_ms(2 * MINUTE);
    world.succeed(child);
    world.pass_ms(4 * MINUTE);
    assert_stuck(
        world,
        run,
        Some(parent),
        |reason| matches!(reason, StateReason::WaitingForAppend { .. }),
        since,
    );
    world.seal(parent, 1).expect("a seal");
    assert_nothing_stuck(world);
}

pub fn open_run_without_append_is_stuck(world: &World<'_>) {
    let run = world.submit(&RunDraft::new().open());
    let since = world.now();
    pass_the_threshold(world);
    assert_stuck(world, run, None, |reason| matches!(reason, StateReason::WaitingForAppend { .. }), since);
    world.append_tasks(run, 1, [TaskDraft::new("A")]).expect("an append");
    assert_nothing_stuck(world);
    let since = world.now();
    world.succeed(world.roots(run)[0].id);
    pass_the_threshold(world);
    assert_stuck(world, run, None, |reason| matches!(reason, StateReason::WaitingForAppend { .. }), since);
}

pub fn undecided_parent_is_stuck(world: &World<'_>) {
    let (run, parent, children) = world.family(1);
    world.pass_ms(MINUTE);
    world.succeed(children[0]);
    let since = world.now();
    pass_the_threshold(world);
    assert_stuck(
        world,
        run,
        Some(parent),
        |reason| matches!(reason, StateReason::ReadyToAggregate { .. }),
        since,
    );
    world.settle();
    assert_nothing_stuck(world);
}

pub fn undecided_run_is_stuck(world: &World<'_>) {
    let (run, task) = world.leaf();
    world.pass_ms(MINUTE);
    world.succeed(task);
    let since = world.now();
    pass_the_threshold(world);
    assert_stuck(world, run, None, |reason| matches!(reason, StateReason::ReadyToAggregate { .. }), since);
    world.settle();
    assert_nothing_stuck(world);
}

pub fn task_waiting_for_due_time_is_not_stuck(world: &World<'_>) {
    let day = Backoff::fixed(24 * 60 * 60_000).expect("a backoff");
    let tomorrow = world.now().plus_millis(24 * 60 * 60_000);
    let delayed = TaskDraft::new("P").input(json!({"fanout": 2})).due_at(tomorrow);
    world.run_of([TaskDraft::new("A").due_at(tomorrow), delayed]);
    let (_, waiting) = world.one(TaskDraft::new("B").backoff(day));
    world.fail(waiting);
    world.pass_ms(60 * MINUTE);
    assert_nothing_stuck(world);
}

pub fn ready_task_beside_active_sibling_is_not_stuck(world: &World<'_>) {
    let (_, _, children) = world.family(3);
    world.start(children[0]);
    world.pass_ms(4 * MINUTE);
    let _ = world.report(conductor_store::Report::started(children[0]));
    world.pass_ms(4 * MINUTE);
    assert_nothing_stuck(world);
}

pub fn parent_waiting_for_children_is_not_stuck(world: &World<'_>) {
    let (_, _, children) = world.family(1);
    for _ in 0..5 {
        let _ = world.report(conductor_store::Report::started(children[0]));
        world.pass_ms(4 * MINUTE);
        assert_nothing_stuck(world);
    }
}

pub fn newly_ready_run_is_not_stuck(world: &World<'_>) {
    let due = world.now().plus_millis(60 * 60_000);
    let (run, _) = world.one(TaskDraft::new("A").due_at(due));
    world.pass_ms(60 * MINUTE);
    world.promote();
    let since = world.now();
    pass_the_threshold(world);
    assert_stuck(world, run, None, |reason| matches!(reason, StateReason::NoEngineForKind { .. }), since);
}

pub fn longest_stuck_comes_first_up_to_limit(world: &World<'_>) {
    let (run, roots) = world.run_of(["A", "B", "C"].map(TaskDraft::new));
    for nth in [1, 0, 2] {
        world.start(roots[nth]);
        world.pass_ms(MINUTE);
    }
    world.pass_ms(60 * MINUTE);
    let listed = |scope, limit| {
        let stuck = world.store().stuck(scope, world.watch(), limit).expect("a list");
        stuck.into_iter().map(|stuck| stuck.task.expect("a task")).collect::<Vec<_>>()
    };
    assert_eq!(listed(Scope::All, 100), [roots[1], roots[0], roots[2]]);
    assert_eq!(listed(Scope::Run(run), 2), [roots[1], roots[0]]);
}

pub fn caller_sets_threshold(world: &World<'_>) {
    let (_, task) = world.leaf();
    world.start(task);
    world.pass_ms(1000);
    let stuck = |threshold_ms| {
        let watch = StuckThreshold { now: world.now(), threshold_ms };
        world.store().stuck(Scope::All, watch, 10).expect("a list").len()
    };
    assert_eq!((stuck(1000), stuck(999)), (0, 1));
}

pub fn retry_metrics_count_outcomes(world: &World<'_>) {
    let (run, roots) = world.run_of(["A", "B", "C", "D"].map(|name| TaskDraft::new(name).max_retries(2)));
    let (_, other) = world.leaf();
    let fail_and_retry = |task| {
        world.fail(task);
        assert_eq!(world.retry(), 1);
    };
    // A succeeds after one retry; B uses up its two; C waits after one; D needs none.
    [roots[0], roots[1], roots[1], roots[2], other].into_iter().for_each(fail_and_retry);
    world.succeed(roots[0]);
    world.fail(roots[1]);
    world.succeed(roots[3]);
    let metrics = |scope| world.store().retry_metrics(scope).expect("metrics");
    assert_eq!(metrics(Scope::Run(run)), RetryMetrics::of(4, 3, 1, 1));
    assert_eq!(metrics(Scope::All), RetryMetrics::of(5, 4, 1, 1));
    let counts = health(world, Scope::Run(run)).counts;
    assert_eq!((counts.total_retries, counts.retried_tasks, counts.retries_exhausted), (4, 3, 1));
}

pub fn summary_describes_one_run(world: &World<'_>) {
    let (run, roots) = world.run_of([TaskDraft::new("P").input(json!({"fanout": 4})), TaskDraft::new("A")]);
    world.leaf();
    while world.fan_out_step(Scope::Run(run), 2).more {}
    world.fail(roots[1]);
    world.retry();
    world.pass_ms(5000);
    let summary = || world.store().summary(run, world.watch()).expect("an answer").expect("a summary");
    let now = summary();
    assert_eq!((now.run, now.state), (run, world.run_state(run)));
    assert_eq!((now.duration_ms, now.state_counts), (5000, world.run(run).state_counts));
    assert_eq!((now.fan_outs, now.retries, now.aggregates), (2, 1, 0));
    for leaf in world.tasks(run).into_iter().filter(|task| task.child_counts.is_none()) {
        world.succeed(leaf.id);
    }
    world.settle();
    world.pass_ms(60 * MINUTE);
    let end = summary();
    assert_eq!((end.state, end.duration_ms, end.aggregates), (world.run_state(run), 5000, 2));
    let events = world.events().iter().filter(|event| event.run == run).count();
    assert_eq!(end.events, events as u64);
}

pub fn unknown_run_has_no_summary(world: &World<'_>) {
    world.leaf();
    assert_eq!(world.store().summary(RunId::from_u128(1), world.watch()).expect("an answer"), None);
}

fn eta(world: &World<'_>, run: RunId) -> Eta {
    world.store().eta(run, world.now()).expect("an answer").expect("the run")
}

#[track_caller]
fn assert_nothing_is_known(world: &World<'_>, run: RunId, remaining: u64) {
    assert_eq!(eta(world, run), Eta { remaining, per_second: 0.0, at: None });
}

pub fn remaining_counts_unsettled_tasks(world: &World<'_>) {
    let (run, _, children) = world.family(4);
    assert_nothing_is_known(world, run, 5);
    world.start(children[0]);
    assert_nothing_is_known(world, run, 5);
    world.fail_for_good(children[0]);
    world.cancel(children[1]);
    assert_nothing_is_known(world, run, 3);
}

pub fn remaining_counts_missing_children_and_pending_retries(world: &World<'_>) {
    let (run, roots) = world.run_of([TaskDraft::new("P").input(json!({"fanout": 10})), TaskDraft::new("A")]);
    world.fail(roots[1]);
    assert_nothing_is_known(world, run, 12);
    assert_eq!(world.fan_out_step(Scope::All, 4).children, 4);
    assert_nothing_is_known(world, run, 12);
    world.fan_out();
    assert_nothing_is_known(world, run, 12);
}

pub fn rate_follows_recent_settlements(world: &World<'_>) {
    let (run, _, children) = world.family(6);
    for child in &children[..3] {
        world.pass_ms(2000);
        world.succeed(*child);
    }
    world.pass_ms(4000);
    // Three in ten seconds, and four are left.
    let at = world.now().plus_millis(13_334);
    assert_eq!(eta(world, run), Eta { remaining: 4, per_second: 0.3, at: Some(at) });
    // A failure that will be retried settles nothing, whatever its error says.
    world.apply(conductor_store::Report::failed(children[3], r#""due_at": null"#));
    assert_eq!(eta(world, run), Eta { remaining: 4, per_second: 0.3, at: Some(at) });
}

pub fn old_settlements_are_ignored(world: &World<'_>) {
    let (run, _, children) = world.family(3);
    world.pass_ms(1000);
    world.succeed(children[0]);
    world.pass_ms(61 * MINUTE);
    assert_nothing_is_known(world, run, 3);
}

pub fn rate_ignores_other_runs(world: &World<'_>) {
    let (run, _, _) = world.family(3);
    let (_, other) = world.leaf();
    world.pass_ms(1000);
    world.succeed(other);
    assert_nothing_is_known(world, run, 4);
}

pub fn settled_run_has_nothing_remaining(world: &World<'_>) {
    let (run, _, children) = world.family(2);
    world.pass_ms(1000);
    for child in children {
        world.succeed(child);
    }
    world.settle();
    let eta = eta(world, run);
    assert_eq!((eta.remaining, eta.at), (0, None));
}

pub fn unknown_run_has_no_eta(world: &World<'_>) {
    let run = RunId::from_u128(1);
    assert_eq!(world.store().eta(run, world.now()).expect("an answer"), None);
}
