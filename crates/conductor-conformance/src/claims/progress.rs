//! Progress: the latest report of a running attempt, which only readers see.

use crate::Harness;
use crate::harness::test_engine::success;
use crate::harness::{cursor_page, pages};
use conductor_model::{MAX_TASKS, Progress, RunId, TaskDraft, TaskId, TaskProgress};
use conductor_store::{ClaimedTask, Fence, FenceOutcome, RecordProgress, StoreError};
use serde_json::json;

fn progress(done: u64, total: Option<u64>, message: &str) -> Progress {
    Progress { done, total, message: message.into() }
}

fn record(harness: &Harness<'_>, items: impl IntoIterator<Item = (Fence, Progress)>) -> Vec<FenceOutcome> {
    let request = RecordProgress { items: items.into_iter().collect(), now: harness.now() };
    harness.store().record_progress(&request).expect("report succeeds")
}

#[track_caller]
fn record_one(harness: &Harness<'_>, task: &ClaimedTask, progress: Progress) {
    assert_eq!(record(harness, [(task.fence, progress)]), [FenceOutcome::Applied]);
}

fn task_progress(harness: &Harness<'_>, task: TaskId) -> Option<TaskProgress> {
    harness.store().task_progress(task).expect("query succeeds")
}

fn run_progress(harness: &Harness<'_>, run: RunId) -> Vec<TaskProgress> {
    pages(None, |after| cursor_page(harness.store().run_progress(run, after, 2).expect("query succeeds")))
}

#[track_caller]
fn assert_shows_nothing(harness: &Harness<'_>, run: RunId, task: TaskId) {
    assert_eq!(task_progress(harness, task), None);
    assert_eq!(run_progress(harness, run), []);
}

pub fn recorded_progress_is_shown(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, task) = harness.submit_leaf();
    let claimed = engine.claim_one();
    assert_shows_nothing(harness, run, task);
    harness.advance_ms(10);
    for reported in [progress(3, Some(10), "three\nof ten"), progress(0, None, ""), progress(0, Some(0), "ä")]
    {
        record_one(harness, &claimed, reported.clone());
        let expected = TaskProgress { task, attempt: 1, at: harness.now(), progress: reported };
        assert_eq!(task_progress(harness, task), Some(expected.clone()));
        assert_eq!(run_progress(harness, run), [expected]);
    }
}

pub fn newer_progress_replaces_older(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, task) = harness.submit_leaf();
    let claimed = engine.claim_one();
    record_one(harness, &claimed, progress(9, Some(10), "nearly"));
    harness.advance_ms(500);
    // The numbers may decrease.
    record_one(harness, &claimed, progress(2, None, "again"));
    let expected = TaskProgress { task, attempt: 1, at: harness.now(), progress: progress(2, None, "again") };
    assert_eq!(run_progress(harness, run), [expected]);
}

pub fn progress_writes_no_event_and_no_task(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_leaf();
    let claimed = engine.claim_one();
    harness.advance_ms(10);
    harness.writes_nothing(|| record_one(harness, &claimed, progress(1, Some(2), "half")));
}

pub fn stale_fence_does_not_affect_others(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, roots) = harness.submit_tasks((0..3).map(|_| TaskDraft::new("A")));
    let claimed = engine.claim("A", 10);
    engine.settle_one(&claimed[1], success());
    let items = claimed.iter().map(|task| (task.fence, progress(1, None, "one")));
    assert_eq!(record(harness, items), [FenceOutcome::Applied, FenceOutcome::Stale, FenceOutcome::Applied]);
    let tasks: Vec<_> = run_progress(harness, run).iter().map(|shown| shown.task).collect();
    assert_eq!(tasks, [roots[0], roots[2]]);
}

pub fn finished_attempt_shows_nothing(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, task) = harness.submit_leaf();
    // The first attempt is released, the second is rescued, the third succeeds.
    let claimed = engine.claim_one();
    record_one(harness, &claimed, progress(1, None, "first"));
    assert_eq!(engine.release(&[claimed.fence]), [FenceOutcome::Applied]);
    assert_shows_nothing(harness, run, task);
    let claimed = engine.claim_one();
    record_one(harness, &claimed, progress(1, None, "second"));
    harness.advance_ms(60_000);
    assert_eq!(harness.rescue(), 1);
    assert_shows_nothing(harness, run, task);
    assert_eq!(harness.retry(), 1);
    let claimed = engine.claim_one();
    record_one(harness, &claimed, progress(1, None, "third"));
    engine.settle_one(&claimed, success());
    assert_shows_nothing(harness, run, task);
    // The progress of another task changes nothing.
    harness.submit_leaf();
    record_one(harness, &engine.claim_one(), progress(1, None, "of another"));
    assert_shows_nothing(harness, run, task);
}

pub fn next_attempt_starts_without_progress(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, task) = harness.submit_leaf();
    let first = engine.claim_one();
    record_one(harness, &first, progress(5, None, "first"));
    assert_eq!(engine.release(&[first.fence]), [FenceOutcome::Applied]);
    let second = engine.claim_one();
    assert_shows_nothing(harness, run, task);
    assert_eq!(record(harness, [(first.fence, progress(6, None, "late"))]), [FenceOutcome::Stale]);
    assert_shows_nothing(harness, run, task);
    record_one(harness, &second, progress(1, None, "second"));
    let second = TaskProgress { task, attempt: 2, at: harness.now(), progress: progress(1, None, "second") };
    assert_eq!(task_progress(harness, task), Some(second));
}

pub fn run_progress_is_paged(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, _) = harness.submit_task(TaskDraft::new("A").input(json!({"fanout": 5})));
    let (other, _) = harness.submit_leaf();
    harness.fan_out();
    let claimed = engine.claim("A", 10);
    assert_eq!(claimed.len(), 6);
    let of = |task: &ClaimedTask| progress(task.index.into(), Some(5), &task.fence.task.to_string());
    assert!(
        record(harness, claimed.iter().rev().map(|task| (task.fence, of(task))))
            .iter()
            .all(|one| *one == FenceOutcome::Applied)
    );
    let mut expected: Vec<_> = claimed.iter().filter(|task| task.run == run).collect();
    expected.sort_by_key(|task| task.index);
    let shown = run_progress(harness, run);
    assert_eq!(
        shown.iter().map(|shown| shown.task).collect::<Vec<_>>(),
        expected.iter().map(|task| task.fence.task).collect::<Vec<_>>()
    );
    assert_eq!(
        shown.iter().map(|shown| &shown.progress).collect::<Vec<_>>(),
        expected.iter().map(|task| of(task)).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    assert_eq!(run_progress(harness, other).len(), 1);
    // The cursor is a task of the run. Its attempt may be finished, but a task of another run is rejected.
    let first = harness
        .store()
        .run_progress(run, None, 2)
        .expect("query succeeds")
        .next
        .expect("another page follows");
    engine.settle_one(expected[1], success());
    let rest = harness.store().run_progress(run, Some(first), 10).expect("query succeeds");
    assert_eq!((rest.items.len(), rest.next), (3, None));
    let foreign = run_progress(harness, other)[0].task;
    let rejected = harness.store().run_progress(run, Some(foreign), 10);
    assert!(matches!(rejected, Err(StoreError::TaskNotFound(_))), "{rejected:?}");
}

pub fn unknown_run_and_task_have_no_progress(harness: &Harness<'_>) {
    assert_shows_nothing(harness, RunId::from_u128(1), TaskId::from_u128(2));
}

pub fn numbers_are_clamped_to_i64_max(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, task) = harness.submit_leaf();
    let max = i64::MAX.cast_unsigned();
    record_one(harness, &engine.claim_one(), progress(max, Some(u64::MAX), "much"));
    assert_eq!(
        task_progress(harness, task).map(|shown| shown.progress),
        Some(progress(max, Some(max), "much"))
    );
}

pub fn oversized_batch_is_rejected(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_leaf();
    let fence = engine.claim_one().fence;
    let items = vec![(fence, Progress::default()); MAX_TASKS + 1];
    let rejected = harness.store().record_progress(&RecordProgress { items, now: harness.now() });
    assert!(matches!(rejected, Err(StoreError::BatchTooLarge { max: MAX_TASKS, .. })), "{rejected:?}");
}

pub fn empty_batch_writes_nothing(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_leaf();
    let _ = engine.claim_one();
    let change_token = harness.change_token();
    assert_eq!(record(harness, []), []);
    assert_eq!(harness.change_token(), change_token);
}
