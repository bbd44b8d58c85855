//! Reports from outside: each applied once, or refused by itself.

use crate::World;
use crate::harness::json_of;
use conductor_model::{MAX_TASKS, State, TaskDraft, TaskId};
use conductor_store::{Report, ReportBatch, ReportOutcome, ReportRejection, ReportedResult, StoreError};
use serde_json::json;

fn every_outcome(task: TaskId) -> [Report; 5] {
    [
        Report::started(task),
        Report::succeeded(task),
        Report::succeeded_with(task, json_of("1")),
        Report::failed(task, "another reason"),
        Report::cancelled(task),
    ]
}

#[track_caller]
fn assert_illegal(world: &World<'_>, report: &Report) {
    let task = report.task;
    let answer = world.writes_nothing(|| world.report(report.clone()));
    let illegal =
        matches!(answer, ReportOutcome::Rejected(ReportRejection::Illegal { id, .. }) if id == task);
    assert!(illegal, "{report:?}: {answer:?}");
}

pub fn result_of_pending_task_passes_through_running(world: &World<'_>) {
    let (_, roots) = world.run_of(["A", "B"].map(TaskDraft::new));
    let seen = world.events().len();
    world.succeed(roots[0]);
    assert_eq!(world.event_names(seen), ["task.started", "run.started", "task.succeeded"]);
    world.fail(roots[1]);
    assert_eq!(world.event_names(seen + 3), ["task.started", "task.failed"]);
    assert_eq!((world.task(roots[0]).attempt, world.task(roots[1]).attempt), (1, 1));
}

pub fn started_task_is_running(world: &World<'_>) {
    let (run, task) = world.leaf();
    world.pass_ms(10);
    world.start(task);
    let row = world.task(task);
    assert_eq!((row.state, row.attempt, row.updated_at), (State::Running, 1, world.now()));
    assert_eq!(world.run_state(run), State::Running);
}

pub fn repeated_start_is_heartbeat(world: &World<'_>) {
    let (_, task) = world.leaf();
    world.start(task);
    let seen = world.events().len();
    world.pass_ms(60_000);
    assert_eq!(world.report(Report::started(task)), ReportOutcome::Unchanged);
    let row = world.task(task);
    assert_eq!((row.state, row.attempt, row.updated_at), (State::Running, 1, world.now()));
    assert!(world.event_names(seen).is_empty(), "nothing happened");
}

pub fn success_stores_output(world: &World<'_>) {
    let (_, roots) = world.run_of(["A", "B", "C"].map(TaskDraft::new));
    world.start(roots[0]);
    world.apply(Report::succeeded_with(roots[0], json_of(r#"{"words": 7}"#)));
    world.apply(Report::succeeded_with(roots[1], json_of("null")));
    world.succeed(roots[2]);
    let output = |task| world.task(task).output.map(|json| json.to_string());
    assert_eq!(output(roots[0]).as_deref(), Some(r#"{"words": 7}"#));
    assert_eq!(output(roots[1]).as_deref(), Some("null"));
    assert_eq!(output(roots[2]), None);
    assert!(roots.iter().all(|task| world.state(*task) == State::Succeeded));
}

pub fn repeated_success_changes_nothing(world: &World<'_>) {
    let (_, roots) = world.run_of(["A", "B"].map(TaskDraft::new));
    let with_output = Report::succeeded_with(roots[0], json_of("[1]"));
    world.apply(with_output.clone());
    world.succeed(roots[1]);
    world.pass_ms(1000);
    world.writes_nothing(|| {
        assert_eq!(world.report(with_output), ReportOutcome::Unchanged);
        assert_eq!(world.report(Report::succeeded(roots[1])), ReportOutcome::Unchanged);
    });
}

pub fn success_is_final(world: &World<'_>) {
    let (_, task) = world.leaf();
    world.apply(Report::succeeded_with(task, json_of(r#""the first""#)));
    for report in every_outcome(task) {
        assert_illegal(world, &report);
    }
}

pub fn failure_stores_error(world: &World<'_>) {
    let (_, task) = world.leaf();
    world.start(task);
    world.apply(Report::failed(task, "no route to host"));
    let row = world.task(task);
    assert_eq!((row.state, row.retry_count, row.attempt), (State::Failed, 0, 1));
    assert_eq!(row.last_error.expect("an error").as_str(), "no route to host");
}

pub fn repeated_failure_changes_nothing(world: &World<'_>) {
    let (_, roots) = world.run_of(["A", "B"].map(TaskDraft::new));
    world.fail(roots[0]);
    world.fail_for_good(roots[1]);
    world.pass_ms(1000);
    world.writes_nothing(|| {
        assert_eq!(world.report(Report::failed(roots[0], "it broke")), ReportOutcome::Unchanged);
        assert_eq!(
            world.report(Report::failed_permanently(roots[1], "it is broken")),
            ReportOutcome::Unchanged
        );
    });
}

pub fn final_failure_rejects_other_reports(world: &World<'_>) {
    let (_, task) = world.leaf();
    world.fail_for_good(task);
    for report in every_outcome(task) {
        assert_illegal(world, &report);
    }
}

pub fn failure_awaiting_retry_rejects_results(world: &World<'_>) {
    let (_, task) = world.leaf();
    world.fail(task);
    let results = every_outcome(task).into_iter().filter(|report| report.result != ReportedResult::Cancelled);
    for report in results {
        assert_illegal(world, &report);
    }
    assert_eq!(world.retry(), 1);
    world.succeed(task);
}

pub fn failure_awaiting_retry_can_be_cancelled(world: &World<'_>) {
    let (_, task) = world.leaf();
    world.fail(task);
    world.cancel(task);
    let row = world.task(task);
    assert_eq!((row.state, row.due_at), (State::Cancelled, None));
    assert_eq!(world.retry(), 0);
}

pub fn pending_and_running_tasks_can_be_cancelled(world: &World<'_>) {
    let (_, roots) = world.run_of(["A", "B"].map(TaskDraft::new));
    world.start(roots[1]);
    let seen = world.events().len();
    for task in &roots {
        world.cancel(*task);
    }
    assert_eq!(world.event_names(seen), ["task.cancelled"; 2]);
    assert!(roots.iter().all(|task| world.state(*task) == State::Cancelled));
    assert_eq!((world.task(roots[0]).attempt, world.task(roots[1]).attempt), (0, 1));
}

pub fn cancelled_task_rejects_other_reports(world: &World<'_>) {
    let (_, task) = world.leaf();
    world.cancel(task);
    world.writes_nothing(|| assert_eq!(world.report(Report::cancelled(task)), ReportOutcome::Unchanged));
    let results = every_outcome(task).into_iter().filter(|report| report.result != ReportedResult::Cancelled);
    for report in results {
        assert_illegal(world, &report);
    }
}

pub fn every_start_counts_as_attempt(world: &World<'_>) {
    let (_, task) = world.leaf();
    for attempt in 1..=3 {
        world.start(task);
        assert_eq!(world.task(task).attempt, attempt);
        world.fail(task);
        assert_eq!(world.task(task).attempt, attempt);
        assert_eq!(world.retry(), 1);
        assert_eq!(world.task(task).attempt, attempt, "a retry is no start");
    }
}

#[track_caller]
fn assert_stale(world: &World<'_>, task: TaskId, wrong: &[u32]) {
    let present = world.task(task).attempt;
    for attempt in wrong {
        for report in every_outcome(task) {
            let answer = world.writes_nothing(|| world.report(report.for_attempt(*attempt)));
            assert_eq!(answer, ReportOutcome::Stale { attempt: present }, "attempt {attempt} of {present}");
        }
    }
}

pub fn report_of_other_attempt_is_stale(world: &World<'_>) {
    let (_, task) = world.leaf();
    assert_stale(world, task, &[0, 2, u32::MAX]);
    world.apply(Report::started(task).for_attempt(1));
    assert_stale(world, task, &[0, 2, u32::MAX]);
    world.apply(Report::failed(task, "it broke").for_attempt(1));
    assert_stale(world, task, &[0, 2]);
    assert_eq!(world.retry(), 1);
    assert_stale(world, task, &[0, 1, 3]);
    world.apply(Report::succeeded(task).for_attempt(2));
    assert_stale(world, task, &[1, 3]);
    assert_eq!(world.report(Report::succeeded(task).for_attempt(2)), ReportOutcome::Unchanged);
}

pub fn report_on_parent_is_rejected(world: &World<'_>) {
    let (_, parent, _) = world.family(1);
    let (_, open) = world.open_parent();
    for task in [parent, open] {
        for report in every_outcome(task) {
            let answer = world.writes_nothing(|| world.report(report));
            assert_eq!(answer, ReportOutcome::Rejected(ReportRejection::Parent(task)));
        }
    }
}

pub fn oversized_batch_is_rejected(world: &World<'_>) {
    let (_, task) = world.leaf();
    let many = vec![Report::succeeded(task); MAX_TASKS + 1];
    let refused = world.writes_nothing(|| world.store().report(&ReportBatch::new(many, world.env())));
    assert!(matches!(refused, Err(StoreError::BatchTooLarge { max: MAX_TASKS, .. })), "{refused:?}");
}

pub fn report_on_unknown_task_is_rejected(world: &World<'_>) {
    let unknown = TaskId::from_u128(1);
    for report in every_outcome(unknown) {
        let answer = world.writes_nothing(|| world.report(report));
        assert_eq!(answer, ReportOutcome::Rejected(ReportRejection::NotFound(unknown)));
    }
}

pub fn rejected_report_does_not_affect_others(world: &World<'_>) {
    let (_, parent, children) = world.family(4);
    world.cancel(children[3]);
    let unknown = TaskId::from_u128(1);
    let answers = world.reports([
        Report::succeeded(children[0]),
        Report::succeeded(unknown),
        Report::failed_permanently(children[1], "it is broken"),
        Report::succeeded(parent),
        Report::succeeded(children[2]).for_attempt(5),
        Report::cancelled(children[3]),
        Report::succeeded(children[2]),
        Report::started(children[0]),
    ]);
    assert_eq!(answers[0], ReportOutcome::Applied);
    assert_eq!(answers[1], ReportOutcome::Rejected(ReportRejection::NotFound(unknown)));
    assert_eq!(answers[2], ReportOutcome::Applied);
    assert_eq!(answers[3], ReportOutcome::Rejected(ReportRejection::Parent(parent)));
    assert_eq!(answers[4], ReportOutcome::Stale { attempt: 0 });
    assert_eq!(answers[5], ReportOutcome::Unchanged);
    assert_eq!(answers[6], ReportOutcome::Applied);
    assert!(
        matches!(answers[7], ReportOutcome::Rejected(ReportRejection::Illegal { .. })),
        "{:?}",
        answers[7]
    );
    let states: Vec<_> = world.children(parent).into_iter().map(|child| child.state).collect();
    assert_eq!(states, [State::Succeeded, State::Failed, State::Succeeded, State::Cancelled]);
}

pub fn reports_on_one_task_apply_in_order(world: &World<'_>) {
    let (_, task) = world.leaf();
    let seen = world.events().len();
    let answers =
        world.reports([Report::started(task), Report::failed(task, "it broke"), Report::cancelled(task)]);
    assert_eq!(answers, [ReportOutcome::Applied, ReportOutcome::Applied, ReportOutcome::Applied]);
    let names = ["task.started", "run.started", "task.failed", "task.cancelled"];
    assert_eq!(world.event_names(seen), names);
}

pub fn empty_batch_returns_no_answers(world: &World<'_>) {
    world.leaf();
    assert!(world.writes_nothing(|| world.reports([])).is_empty());
}

pub fn report_on_delayed_task_is_applied(world: &World<'_>) {
    let due = world.now().plus_millis(60_000);
    let (_, roots) = world.run_of(["A", "B"].map(|name| TaskDraft::new(name).due_at(due)));
    world.succeed(roots[0]);
    world.cancel(roots[1]);
    for (task, state) in [(roots[0], State::Succeeded), (roots[1], State::Cancelled)] {
        let row = world.task(task);
        assert_eq!((row.state, row.due_at), (state, None));
    }
}

pub fn report_on_nested_leaf_is_applied(world: &World<'_>) {
    let (_, parent) = world.one(TaskDraft::new("P").input(json!({"fanout": [{"fanout": 1}]})));
    world.fan_out();
    let middle = world.children(parent)[0].id;
    let leaf = world.children(middle)[0].id;
    assert_eq!(
        world.report(Report::succeeded(middle)),
        ReportOutcome::Rejected(ReportRejection::Parent(middle))
    );
    world.succeed(leaf);
    assert_eq!(world.state(leaf), State::Succeeded);
}

pub fn report_on_claimed_task_is_rejected(world: &World<'_>) {
    let hands = world.hands();
    let (_, roots) = world.run_of(["A", "B"].map(TaskDraft::new));
    let claimed = hands.claim_one();
    for report in every_outcome(roots[0]) {
        let answer = world.writes_nothing(|| world.report(report.clone()));
        assert_eq!(answer, ReportOutcome::Rejected(ReportRejection::Claimed(roots[0])), "{report:?}");
        assert_eq!(
            world.report(report.for_attempt(1)),
            ReportOutcome::Rejected(ReportRejection::Claimed(roots[0]))
        );
    }
    world.succeed(roots[1]);
    assert_eq!(hands.release(&[claimed.fence]), [conductor_store::FenceOutcome::Applied]);
    world.succeed(roots[0]);
    assert_eq!(world.task(roots[0]).attempt, 2);
}
