//! Claims of many siblings, of which only some end, fail, are released or are cancelled. A store may keep siblings together.

use crate::Harness;
use crate::harness::test_engine::{failure, fences, success, task_ids};
use conductor_model::{AttemptFailure, EventBody, State, Task, TaskDraft};
use conductor_store::{AttemptResult, ClaimedTask, Fence, FenceOutcome, ReviveFilter};

fn hundred_children(retries: i64) -> TaskDraft {
    TaskDraft::new("A").max_retries(retries).fan_out(0..100)
}

fn with(result: &AttemptResult, claimed: &[ClaimedTask]) -> Vec<(Fence, AttemptResult)> {
    claimed.iter().map(|task| (task.fence, result.clone())).collect()
}

fn fatal() -> AttemptResult {
    AttemptResult::Failed(AttemptFailure::fatal("no"))
}

pub fn retry_runs_beside_older_claims_of_siblings(harness: &Harness<'_>) {
    let (first, second) = (harness.engine(), harness.engine());
    let (run, _, children) = harness.family_of(hundred_children(2));
    let claimed = first.claim("A", 100);
    let _ = first.settle(with(&failure("once"), &claimed[30..40]));
    assert_eq!(harness.retry(), 10);
    let retried = second.claim("A", 100);
    assert_eq!(task_ids(&retried), children[30..40]);
    assert!(retried.iter().all(|task| (task.fence.attempt, task.retry_count) == (2, 1)));
    // The first engine still has the others, and no longer these.
    let answers = first.settle(with(&success(), &claimed));
    let stale = answers.iter().enumerate().filter(|(_, answer)| **answer == FenceOutcome::Stale);
    assert_eq!(stale.map(|(nth, _)| nth).collect::<Vec<_>>(), (30..40).collect::<Vec<_>>());
    assert_eq!(second.settle(with(&success(), &retried)), [FenceOutcome::Applied; 10]);
    harness.run_all_steps();
    assert_eq!(harness.run_state(run), State::Succeeded);
    let attempts: Vec<u32> = children.iter().map(|child| harness.task(*child).attempt).collect();
    assert_eq!((attempts[29], attempts[30], attempts[39], attempts[40]), (1, 2, 2, 1));
}

pub fn released_siblings_keep_attempts_through_revival(harness: &Harness<'_>) {
    let (zombie, engine) = (harness.engine(), harness.engine());
    let (run, parent, children) = harness.family_of(hundred_children(0));
    let lost = zombie.claim("A", 100);
    assert_eq!(zombie.release(&fences(&lost)), [FenceOutcome::Applied; 100]);
    let _ = harness.cancel_task(parent);
    harness.run_all_steps();
    assert_eq!(harness.states(&children), [State::Cancelled; 100]);
    let revived = harness.revive_all(parent.into(), ReviveFilter::FailedAndCancelled, 1000);
    assert_eq!(revived.tasks, 100);
    let claimed = engine.claim("A", 100);
    assert!(claimed.iter().all(|task| task.fence.attempt == 2));
    assert_eq!(zombie.settle(with(&fatal(), &lost)), [FenceOutcome::Stale; 100]);
    assert_eq!(engine.settle(with(&success(), &claimed)), [FenceOutcome::Applied; 100]);
    harness.run_all_steps();
    assert_eq!(harness.run_state(run), State::Succeeded);
}

pub fn half_of_cancelled_siblings_is_revived(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, parent, children) = harness.family_of(hundred_children(0));
    let _ = harness.cancel_task(parent);
    harness.run_all_steps();
    harness.advance_ms(10);
    for child in children.iter().skip(1).step_by(2) {
        let _ = harness.revive(*child);
    }
    let expected = [State::Cancelled, State::Pending].repeat(50);
    assert_eq!(harness.states(&children), expected);
    let claimed = engine.claim("A", 100);
    assert_eq!(task_ids(&claimed), children.iter().skip(1).step_by(2).copied().collect::<Vec<_>>());
    assert_eq!(engine.settle(with(&success(), &claimed)), [FenceOutcome::Applied; 50]);
    let counts = harness.child_counts(parent);
    assert_eq!((counts.succeeded(), counts.cancelled, counts.failed), (50, 50, 0));
}

pub fn rescue_fails_only_what_is_still_claimed(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, _, children) = harness.family_of(hundred_children(1));
    let claimed = engine.claim("A", 100);
    let _ = engine.settle(with(&success(), &claimed[..30]));
    let _ = engine.settle(with(&fatal(), &claimed[30..50]));
    let _ = engine.settle(with(&failure("later"), &claimed[50..60]));
    let _ = engine.release(&fences(&claimed[60..70]));
    let rows = |range: std::ops::Range<usize>| -> Vec<Task> {
        children[range].iter().map(|child| harness.task(*child)).collect()
    };
    let before = rows(0..70);
    harness.advance_ms(60_000);
    let seen = harness.events().len();
    assert_eq!(harness.rescue(), 30);
    assert_eq!(rows(0..70), before, "they are not claimed any more");
    for child in rows(70..100) {
        assert_eq!((child.state, child.attempt, child.retry_count), (State::Failed, 1, 0));
        assert!(child.due_at.is_some());
    }
    let events = harness.events().split_off(seen);
    let failed = events.iter().filter(|event| matches!(event.body, EventBody::TaskFailed { .. }));
    assert_eq!(failed.filter_map(|event| event.task).collect::<Vec<_>>(), children[70..]);
}
