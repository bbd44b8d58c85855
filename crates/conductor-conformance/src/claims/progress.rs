//! Progress: the newest word of each attempt, for readers, and nothing else.

use crate::World;
use crate::harness::test_engine::success;
use conductor_model::{MAX_TASKS, Progress, RunId, TaskDraft, TaskId, TaskProgress};
use conductor_store::{ClaimedTask, Fence, FenceOutcome, RecordProgress, StoreError};
use serde_json::json;

fn progress(done: u64, total: Option<u64>, message: &str) -> Progress {
    Progress { done, total, message: message.into() }
}

fn write(world: &World<'_>, items: impl IntoIterator<Item = (Fence, Progress)>) -> Vec<FenceOutcome> {
    let request = RecordProgress { items: items.into_iter().collect(), now: world.now() };
    world.store().record_progress(&request).expect("answers")
}

#[track_caller]
fn write_one(world: &World<'_>, task: &ClaimedTask, progress: Progress) {
    assert_eq!(write(world, [(task.fence, progress)]), [FenceOutcome::Applied]);
}

fn shown(world: &World<'_>, task: TaskId) -> Option<TaskProgress> {
    world.store().task_progress(task).expect("an answer")
}

fn shown_in(world: &World<'_>, run: RunId) -> Vec<TaskProgress> {
    crate::harness::pages(None, |after| {
        let page = world.store().run_progress(run, after, 2).expect("a page");
        conductor_store::Page { items: page.items, next: page.next.map(Some) }
    })
}

#[track_caller]
fn assert_shows_nothing(world: &World<'_>, run: RunId, task: TaskId) {
    assert_eq!(shown(world, task), None);
    assert_eq!(shown_in(world, run), []);
}

pub fn recorded_progress_is_shown(world: &World<'_>) {
    let hands = world.hands();
    let (run, task) = world.leaf();
    let claimed = hands.claim_one();
    assert_shows_nothing(world, run, task);
    world.pass_ms(10);
    for reported in [progress(3, Some(10), "three\nof ten"), progress(0, None, ""), progress(0, Some(0), "ä")]
    {
        write_one(world, &claimed, reported.clone());
        let expected = TaskProgress { task, attempt: 1, at: world.now(), progress: reported };
        assert_eq!(shown(world, task), Some(expected.clone()));
        assert_eq!(shown_in(world, run), [expected]);
    }
}

pub fn newer_progress_replaces_older(world: &World<'_>) {
    let hands = world.hands();
    let (run, task) = world.leaf();
    let claimed = hands.claim_one();
    write_one(world, &claimed, progress(9, Some(10), "nearly"));
    world.pass_ms(500);
    // It need not grow.
    write_one(world, &claimed, progress(2, None, "again"));
    let expected = TaskProgress { task, attempt: 1, at: world.now(), progress: progress(2, None, "again") };
    assert_eq!(shown_in(world, run), [expected]);
}

pub fn progress_writes_no_event_and_no_task(world: &World<'_>) {
    let hands = world.hands();
    world.leaf();
    let claimed = hands.claim_one();
    world.pass_ms(10);
    world.writes_nothing(|| write_one(world, &claimed, progress(1, Some(2), "half")));
}

pub fn stale_fence_does_not_affect_others(world: &World<'_>) {
    let hands = world.hands();
    let (run, roots) = world.run_of((0..3).map(|_| TaskDraft::new("A")));
    let claimed = hands.claim("A", 10);
    hands.end(&claimed[1], success());
    let items = claimed.iter().map(|task| (task.fence, progress(1, None, "one")));
    assert_eq!(write(world, items), [FenceOutcome::Applied, FenceOutcome::Stale, FenceOutcome::Applied]);
    let tasks: Vec<_> = shown_in(world, run).iter().map(|shown| shown.task).collect();
    assert_eq!(tasks, [roots[0], roots[2]]);
}

pub fn finished_attempt_shows_nothing(world: &World<'_>) {
    let hands = world.hands();
    let (run, task) = world.leaf();
    // Released, then rescued, then ended well.
    let claimed = hands.claim_one();
    write_one(world, &claimed, progress(1, None, "first"));
    assert_eq!(hands.release(&[claimed.fence]), [FenceOutcome::Applied]);
    assert_shows_nothing(world, run, task);
    let claimed = hands.claim_one();
    write_one(world, &claimed, progress(1, None, "second"));
    world.pass_ms(60_000);
    assert_eq!(world.rescue(), 1);
    assert_shows_nothing(world, run, task);
    assert_eq!(world.retry(), 1);
    let claimed = hands.claim_one();
    write_one(world, &claimed, progress(1, None, "third"));
    hands.end(&claimed, success());
    assert_shows_nothing(world, run, task);
    // Whatever is written of another task.
    world.leaf();
    write_one(world, &hands.claim_one(), progress(1, None, "of another"));
    assert_shows_nothing(world, run, task);
}

pub fn next_attempt_starts_without_progress(world: &World<'_>) {
    let hands = world.hands();
    let (run, task) = world.leaf();
    let first = hands.claim_one();
    write_one(world, &first, progress(5, None, "first"));
    assert_eq!(hands.release(&[first.fence]), [FenceOutcome::Applied]);
    let second = hands.claim_one();
    assert_shows_nothing(world, run, task);
    assert_eq!(write(world, [(first.fence, progress(6, None, "late"))]), [FenceOutcome::Stale]);
    assert_shows_nothing(world, run, task);
    write_one(world, &second, progress(1, None, "second"));
    let second = TaskProgress { task, attempt: 2, at: world.now(), progress: progress(1, None, "second") };
    assert_eq!(shown(world, task), Some(second));
}

pub fn run_progress_is_paged(world: &World<'_>) {
    let hands = world.hands();
    let (run, _) = world.one(TaskDraft::new("A").input(json!({"fanout": 5})));
    let (other, _) = world.leaf();
    world.fan_out();
    let claimed = hands.claim("A", 10);
    assert_eq!(claimed.len(), 6);
    let of = |task: &ClaimedTask| progress(task.index.into(), Some(5), &task.fence.task.to_string());
    assert!(
        write(world, claimed.iter().rev().map(|task| (task.fence, of(task))))
            .iter()
            .all(|one| *one == FenceOutcome::Applied)
    );
    let mut expected: Vec<_> = claimed.iter().filter(|task| task.run == run).collect();
    expected.sort_by_key(|task| task.index);
    let shown = shown_in(world, run);
    assert_eq!(
        shown.iter().map(|shown| shown.task).collect::<Vec<_>>(),
        expected.iter().map(|task| task.fence.task).collect::<Vec<_>>()
    );
    assert_eq!(
        shown.iter().map(|shown| &shown.progress).collect::<Vec<_>>(),
        expected.iter().map(|task| of(task)).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    assert_eq!(shown_in(world, other).len(), 1);
    // A page that ended with a task goes on behind it, also when that one is over by now; not with one of another run.
    let first = world.store().run_progress(run, None, 2).expect("a page").next.expect("more");
    hands.end(expected[1], success());
    let rest = world.store().run_progress(run, Some(first), 10).expect("a page");
    assert_eq!((rest.items.len(), rest.next), (3, None));
    let strange = shown_in(world, other)[0].task;
    let refused = world.store().run_progress(run, Some(strange), 10);
    assert!(matches!(refused, Err(StoreError::TaskNotFound(_))), "{refused:?}");
}

pub fn unknown_run_and_task_have_no_progress(world: &World<'_>) {
    assert_shows_nothing(world, RunId::from_u128(1), TaskId::from_u128(2));
}

pub fn numbers_are_clamped_to_i64_max(world: &World<'_>) {
    let hands = world.hands();
    let (_, task) = world.leaf();
    let most = i64::MAX.cast_unsigned();
    write_one(world, &hands.claim_one(), progress(most, Some(u64::MAX), "much"));
    assert_eq!(shown(world, task).map(|shown| shown.progress), Some(progress(most, Some(most), "much")));
}

pub fn oversized_batch_is_rejected(world: &World<'_>) {
    let hands = world.hands();
    world.leaf();
    let fence = hands.claim_one().fence;
    let items = vec![(fence, Progress::default()); MAX_TASKS + 1];
    let refused = world.store().record_progress(&RecordProgress { items, now: world.now() });
    assert!(matches!(refused, Err(StoreError::BatchTooLarge { max: MAX_TASKS, .. })), "{refused:?}");
}

pub fn empty_batch_writes_nothing(world: &World<'_>) {
    let hands = world.hands();
    world.leaf();
    let _ = hands.claim_one();
    let change_token = world.store().change_token().expect("a pulse");
    assert_eq!(write(world, []), []);
    assert_eq!(world.store().change_token().expect("a pulse"), change_token);
}
