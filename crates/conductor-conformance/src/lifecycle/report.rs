//! Reports from external workers: each is applied once, or rejected on its own.

use crate::Harness;
use crate::harness::json_of;
use conductor_model::{MAX_TASKS, State, TaskDraft, TaskId};
use conductor_store::{
    FenceOutcome, Report, ReportBatch, ReportOutcome, ReportRejection, ReportedResult, StoreError,
};
use serde_json::json;

fn all_reports(task: TaskId) -> [Report; 5] {
    [
        Report::started(task),
        Report::succeeded(task),
        Report::succeeded_with(task, json_of("1")),
        Report::failed(task, "another reason"),
        Report::cancelled(task),
    ]
}

#[track_caller]
fn assert_illegal(harness: &Harness<'_>, report: &Report) {
    let task = report.task;
    let answer = harness.writes_nothing(|| harness.report(report.clone()));
    let illegal =
        matches!(answer, ReportOutcome::Rejected(ReportRejection::Illegal { id, .. }) if id == task);
    assert!(illegal, "{report:?}: {answer:?}");
}

pub fn result_of_pending_task_passes_through_running(harness: &Harness<'_>) {
    let (_, roots) = harness.submit_tasks(["A", "B"].map(TaskDraft::new));
    let seen = harness.events().len();
    harness.succeed(roots[0]);
    assert_eq!(harness.event_names(seen), ["task.started", "run.started", "task.succeeded"]);
    harness.fail(roots[1]);
    assert_eq!(harness.event_names(seen + 3), ["task.started", "task.failed"]);
    assert_eq!((harness.task(roots[0]).attempt, harness.task(roots[1]).attempt), (1, 1));
}

pub fn started_task_is_running(harness: &Harness<'_>) {
    let (run, task) = harness.submit_leaf();
    harness.advance_ms(10);
    harness.start(task);
    let row = harness.task(task);
    assert_eq!((row.state, row.attempt, row.updated_at), (State::Running, 1, harness.now()));
    assert_eq!(harness.run_state(run), State::Running);
}

pub fn repeated_start_is_heartbeat(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    harness.start(task);
    let seen = harness.events().len();
    harness.advance_ms(60_000);
    assert_eq!(harness.report(Report::started(task)), ReportOutcome::Unchanged);
    let row = harness.task(task);
    assert_eq!((row.state, row.attempt, row.updated_at), (State::Running, 1, harness.now()));
    assert!(harness.event_names(seen).is_empty(), "a heartbeat writes no event");
}

pub fn success_stores_output(harness: &Harness<'_>) {
    let (_, roots) = harness.submit_tasks(["A", "B", "C"].map(TaskDraft::new));
    harness.start(roots[0]);
    harness.apply(Report::succeeded_with(roots[0], json_of(r#"{"words": 7}"#)));
    harness.apply(Report::succeeded_with(roots[1], json_of("null")));
    harness.succeed(roots[2]);
    let output = |task| harness.task(task).output.map(|json| json.to_string());
    assert_eq!(output(roots[0]).as_deref(), Some(r#"{"words": 7}"#));
    assert_eq!(output(roots[1]).as_deref(), Some("null"));
    assert_eq!(output(roots[2]), None);
    assert!(roots.iter().all(|task| harness.state(*task) == State::Succeeded));
}

pub fn repeated_success_changes_nothing(harness: &Harness<'_>) {
    let (_, roots) = harness.submit_tasks(["A", "B"].map(TaskDraft::new));
    let with_output = Report::succeeded_with(roots[0], json_of("[1]"));
    harness.apply(with_output.clone());
    harness.succeed(roots[1]);
    harness.advance_ms(1000);
    harness.writes_nothing(|| {
        assert_eq!(harness.report(with_output), ReportOutcome::Unchanged);
        assert_eq!(harness.report(Report::succeeded(roots[1])), ReportOutcome::Unchanged);
    });
}

pub fn success_is_final(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    harness.apply(Report::succeeded_with(task, json_of(r#""the first""#)));
    for report in all_reports(task) {
        assert_illegal(harness, &report);
    }
}

pub fn failure_stores_error(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    harness.start(task);
    harness.apply(Report::failed(task, "no route to host"));
    let row = harness.task(task);
    assert_eq!((row.state, row.retry_count, row.attempt), (State::Failed, 0, 1));
    assert_eq!(row.last_error.expect("error is stored").as_str(), "no route to host");
}

pub fn repeated_failure_changes_nothing(harness: &Harness<'_>) {
    let (_, roots) = harness.submit_tasks(["A", "B"].map(TaskDraft::new));
    harness.fail(roots[0]);
    harness.fail_permanently(roots[1]);
    harness.advance_ms(1000);
    harness.writes_nothing(|| {
        assert_eq!(harness.report(Report::failed(roots[0], "it broke")), ReportOutcome::Unchanged);
        assert_eq!(
            harness.report(Report::failed_permanently(roots[1], "it is broken")),
            ReportOutcome::Unchanged
        );
    });
}

pub fn final_failure_rejects_other_reports(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    harness.fail_permanently(task);
    for report in all_reports(task) {
        assert_illegal(harness, &report);
    }
}

pub fn failure_awaiting_retry_rejects_results(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    harness.fail(task);
    let results = all_reports(task).into_iter().filter(|report| report.result != ReportedResult::Cancelled);
    for report in results {
        assert_illegal(harness, &report);
    }
    assert_eq!(harness.retry(), 1);
    harness.succeed(task);
}

pub fn failure_awaiting_retry_can_be_cancelled(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    harness.fail(task);
    harness.report_cancelled(task);
    let row = harness.task(task);
    assert_eq!((row.state, row.due_at), (State::Cancelled, None));
    assert_eq!(harness.retry(), 0);
}

pub fn pending_and_running_tasks_can_be_cancelled(harness: &Harness<'_>) {
    let (_, roots) = harness.submit_tasks(["A", "B"].map(TaskDraft::new));
    harness.start(roots[1]);
    let seen = harness.events().len();
    for task in &roots {
        harness.report_cancelled(*task);
    }
    assert_eq!(harness.event_names(seen), ["task.cancelled"; 2]);
    assert!(roots.iter().all(|task| harness.state(*task) == State::Cancelled));
    assert_eq!((harness.task(roots[0]).attempt, harness.task(roots[1]).attempt), (0, 1));
}

pub fn cancelled_task_rejects_other_reports(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    harness.report_cancelled(task);
    harness.writes_nothing(|| assert_eq!(harness.report(Report::cancelled(task)), ReportOutcome::Unchanged));
    let results = all_reports(task).into_iter().filter(|report| report.result != ReportedResult::Cancelled);
    for report in results {
        assert_illegal(harness, &report);
    }
}

pub fn every_start_counts_as_attempt(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    for attempt in 1..=3 {
        harness.start(task);
        assert_eq!(harness.task(task).attempt, attempt);
        harness.fail(task);
        assert_eq!(harness.task(task).attempt, attempt);
        assert_eq!(harness.retry(), 1);
        assert_eq!(harness.task(task).attempt, attempt, "a retry does not count as a start");
    }
}

#[track_caller]
fn assert_stale(harness: &Harness<'_>, task: TaskId, wrong: &[u32]) {
    let present = harness.task(task).attempt;
    for attempt in wrong {
        for report in all_reports(task) {
            let answer = harness.writes_nothing(|| harness.report(report.for_attempt(*attempt)));
            assert_eq!(answer, ReportOutcome::Stale { attempt: present }, "attempt {attempt} of {present}");
        }
    }
}

pub fn report_of_other_attempt_is_stale(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    assert_stale(harness, task, &[0, 2, u32::MAX]);
    harness.apply(Report::started(task).for_attempt(1));
    assert_stale(harness, task, &[0, 2, u32::MAX]);
    harness.apply(Report::failed(task, "it broke").for_attempt(1));
    assert_stale(harness, task, &[0, 2]);
    assert_eq!(harness.retry(), 1);
    assert_stale(harness, task, &[0, 1, 3]);
    harness.apply(Report::succeeded(task).for_attempt(2));
    assert_stale(harness, task, &[1, 3]);
    assert_eq!(harness.report(Report::succeeded(task).for_attempt(2)), ReportOutcome::Unchanged);
}

pub fn report_on_parent_is_rejected(harness: &Harness<'_>) {
    let (_, parent, _) = harness.family(1);
    let (_, open) = harness.submit_open_parent();
    for task in [parent, open] {
        for report in all_reports(task) {
            let answer = harness.writes_nothing(|| harness.report(report));
            assert_eq!(answer, ReportOutcome::Rejected(ReportRejection::IsParent(task)));
        }
    }
}

pub fn oversized_batch_is_rejected(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    let many = vec![Report::succeeded(task); MAX_TASKS + 1];
    let rejected = harness.writes_nothing(|| harness.store().report(&ReportBatch::new(many, harness.env())));
    assert!(matches!(rejected, Err(StoreError::BatchTooLarge { max: MAX_TASKS, .. })), "{rejected:?}");
}

pub fn report_on_unknown_task_is_rejected(harness: &Harness<'_>) {
    let unknown = TaskId::from_u128(1);
    for report in all_reports(unknown) {
        let answer = harness.writes_nothing(|| harness.report(report));
        assert_eq!(answer, ReportOutcome::Rejected(ReportRejection::NotFound(unknown)));
    }
}

pub fn rejected_report_does_not_affect_others(harness: &Harness<'_>) {
    let (_, parent, children) = harness.family(4);
    harness.report_cancelled(children[3]);
    let unknown = TaskId::from_u128(1);
    let answers = harness.reports([
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
    assert_eq!(answers[3], ReportOutcome::Rejected(ReportRejection::IsParent(parent)));
    assert_eq!(answers[4], ReportOutcome::Stale { attempt: 0 });
    assert_eq!(answers[5], ReportOutcome::Unchanged);
    assert_eq!(answers[6], ReportOutcome::Applied);
    assert!(
        matches!(answers[7], ReportOutcome::Rejected(ReportRejection::Illegal { .. })),
        "{:?}",
        answers[7]
    );
    let states: Vec<_> = harness.children(parent).into_iter().map(|child| child.state).collect();
    assert_eq!(states, [State::Succeeded, State::Failed, State::Succeeded, State::Cancelled]);
}

pub fn reports_on_one_task_apply_in_order(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    let seen = harness.events().len();
    let answers =
        harness.reports([Report::started(task), Report::failed(task, "it broke"), Report::cancelled(task)]);
    assert_eq!(answers, [ReportOutcome::Applied, ReportOutcome::Applied, ReportOutcome::Applied]);
    let names = ["task.started", "run.started", "task.failed", "task.cancelled"];
    assert_eq!(harness.event_names(seen), names);
}

pub fn empty_batch_returns_no_answers(harness: &Harness<'_>) {
    harness.submit_leaf();
    assert!(harness.writes_nothing(|| harness.reports([])).is_empty());
}

pub fn report_on_delayed_task_is_applied(harness: &Harness<'_>) {
    let due = harness.now().plus_millis(60_000);
    let (_, roots) = harness.submit_tasks(["A", "B"].map(|name| TaskDraft::new(name).due_at(due)));
    harness.succeed(roots[0]);
    harness.report_cancelled(roots[1]);
    for (task, state) in [(roots[0], State::Succeeded), (roots[1], State::Cancelled)] {
        let row = harness.task(task);
        assert_eq!((row.state, row.due_at), (state, None));
    }
}

pub fn report_on_nested_leaf_is_applied(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": [{"fanout": 1}]})));
    harness.fan_out();
    let middle = harness.children(parent)[0].id;
    let leaf = harness.children(middle)[0].id;
    assert_eq!(
        harness.report(Report::succeeded(middle)),
        ReportOutcome::Rejected(ReportRejection::IsParent(middle))
    );
    harness.succeed(leaf);
    assert_eq!(harness.state(leaf), State::Succeeded);
}

pub fn report_on_claimed_task_is_rejected(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, roots) = harness.submit_tasks(["A", "B"].map(TaskDraft::new));
    let claimed = engine.claim_one();
    for report in all_reports(roots[0]) {
        let answer = harness.writes_nothing(|| harness.report(report.clone()));
        assert_eq!(answer, ReportOutcome::Rejected(ReportRejection::Claimed(roots[0])), "{report:?}");
        assert_eq!(
            harness.report(report.for_attempt(1)),
            ReportOutcome::Rejected(ReportRejection::Claimed(roots[0]))
        );
    }
    harness.succeed(roots[1]);
    assert_eq!(engine.release(&[claimed.fence]), [FenceOutcome::Applied]);
    harness.succeed(roots[0]);
    assert_eq!(harness.task(roots[0]).attempt, 2);
}
