//! Expire: a run that cannot be decided at its deadline is cancelled.

use crate::Harness;
use crate::harness::drain;
use conductor_model::{CancelCause, EventBody, RunDraft, RunId, State, TaskDraft, TaskId};
use conductor_store::{NodeId, Scope};
use serde_json::json;

/// Submits a run with one leaf and a deadline.
fn run_with_deadline(harness: &Harness<'_>, ms: u64) -> (RunId, TaskId) {
    let run = harness.submit(&RunDraft::new().deadline_ms(ms).task(TaskDraft::new("A")));
    (run, harness.roots(run)[0].id)
}

pub fn deadline_counts_from_submission(harness: &Harness<'_>) {
    harness.advance_ms(250);
    let (run, _) = run_with_deadline(harness, 1000);
    assert_eq!(harness.run(run).deadline, Some(harness.now().plus_millis(1000)));
    let (other, _) = harness.submit_leaf();
    assert_eq!(harness.run(other).deadline, None);
}

pub fn run_is_cancelled_exactly_at_deadline(harness: &Harness<'_>) {
    let (run, leaf) = run_with_deadline(harness, 1000);
    harness.advance_ms(999);
    harness.writes_nothing(|| assert_eq!(harness.expire(), 0));
    harness.advance_ms(1);
    let seen = harness.events().len();
    assert_eq!(harness.expire(), 1);
    let event = harness.events().pop().expect("event exists");
    assert_eq!(harness.event_names(seen), ["run.cancel_requested"]);
    assert_eq!(event.body, EventBody::RunCancelRequested { cause: CancelCause::Deadline, reason: None });
    assert_eq!(
        (harness.run(run).cancel_cause, harness.run_state(run)),
        (Some(CancelCause::Deadline), State::Pending)
    );
    harness.run_all_steps();
    assert_eq!((harness.run_state(run), harness.state(leaf)), (State::Cancelled, State::Cancelled));
    harness.writes_nothing(|| assert_eq!(harness.expire(), 0));
}

pub fn passed_deadline_is_handled_once(harness: &Harness<'_>) {
    let (run, _) = run_with_deadline(harness, 10);
    harness.advance_ms(500);
    assert_eq!(harness.expire(), 1);
    harness.writes_nothing(|| assert_eq!(harness.expire(), 0, "{run} is already being cancelled"));
}

pub fn next_due_is_earliest_deadline(harness: &Harness<'_>) {
    let next = || harness.store().next_due().expect("query succeeds");
    let (first, _) = run_with_deadline(harness, 1000);
    let (second, leaf) = run_with_deadline(harness, 2000);
    assert_eq!(next(), Some(harness.run(first).deadline.expect("deadline is set")));
    let _ = harness.cancel_run(first);
    assert_eq!(next(), harness.run(second).deadline, "a cancelled run has no due deadline");
    harness.succeed(leaf);
    harness.aggregate();
    assert_eq!(next(), None, "a settled run has no due deadline");
}

pub fn settled_run_is_not_expired(harness: &Harness<'_>) {
    for state in [State::Succeeded, State::Failed, State::Cancelled] {
        let (run, leaf) = run_with_deadline(harness, 1000);
        harness.settle_leaf(leaf, state);
        harness.aggregate();
        harness.advance_ms(2000);
        harness.writes_nothing(|| assert_eq!(harness.expire(), 0));
        assert_eq!((harness.run_state(run), harness.run(run).cancel_cause), (state, None));
    }
}

pub fn decidable_run_at_deadline_is_in_time(harness: &Harness<'_>) {
    let (run, leaf) = run_with_deadline(harness, 1000);
    harness.succeed(leaf);
    harness.advance_ms(1000);
    assert_eq!(harness.expire(), 0);
    assert_eq!(harness.store().next_due().expect("query succeeds"), None, "the deadline is no longer due");
    harness.aggregate();
    assert_eq!((harness.run_state(run), harness.run(run).cancel_cause), (State::Succeeded, None));
}

pub fn run_awaiting_later_retry_is_cancelled(harness: &Harness<'_>) {
    let (run, leaf) = run_with_deadline(harness, 1000);
    harness.fail(leaf);
    harness.advance_ms(1000);
    assert_eq!(harness.expire(), 1);
    harness.sweep();
    harness.aggregate();
    assert_eq!((harness.run_state(run), harness.state(leaf)), (State::Cancelled, State::Cancelled));
}

pub fn open_run_is_cancelled_at_deadline(harness: &Harness<'_>) {
    let run = harness.submit(&RunDraft::new().open().deadline_ms(10));
    harness.advance_ms(10);
    assert_eq!(harness.expire(), 1);
    assert!(harness.append_tasks(run, 1, [TaskDraft::new("A")]).is_err());
    harness.run_all_steps();
    assert_eq!(harness.run_state(run), State::Cancelled);
}

pub fn open_join_is_cancelled_with_its_run(harness: &Harness<'_>) {
    let draft = || RunDraft::new().deadline_ms(1000).join("J").task(TaskDraft::new("A"));
    let (started, awaited) = (harness.submit(&draft()), harness.submit(&draft()));
    for run in [started, awaited] {
        harness.succeed(harness.roots(run)[0].id);
    }
    let _ = harness.aggregate_step(&harness.bounded_step(Scope::Run(started), 10));
    let join = harness.join_id(NodeId::Run(started));
    harness.start(join);
    harness.advance_ms(1000);
    assert_eq!(harness.expire(), 2);
    harness.run_all_steps();
    assert_eq!((harness.run_state(started), harness.state(join)), (State::Cancelled, State::Cancelled));
    assert_eq!(harness.run_state(awaited), State::Cancelled);
    assert_eq!(harness.join(NodeId::Run(awaited)), None, "the join never started");
}

pub fn requested_cancel_keeps_its_cause(harness: &Harness<'_>) {
    let (run, _) = run_with_deadline(harness, 1000);
    let _ = harness.cancel_run(run);
    harness.advance_ms(1000);
    harness.writes_nothing(|| assert_eq!(harness.expire(), 0));
    assert_eq!(harness.run(run).cancel_cause, Some(CancelCause::Requested));
}

pub fn scope_of_one_run_excludes_others(harness: &Harness<'_>) {
    let (run, _) = run_with_deadline(harness, 1000);
    let (later, _) = run_with_deadline(harness, 1001);
    let (unlimited, _, _) = harness.family_of(TaskDraft::new("P").input(json!({"fanout": 2})));
    harness.advance_ms(1000);
    let scope = |run| harness.expire_step(&harness.bounded_step(Scope::Run(run), 10));
    harness.writes_nothing(|| assert_eq!((scope(later).changed, scope(unlimited).changed), (0, 0)));
    let done = scope(run);
    assert_eq!((done.changed, done.more), (1, false));
    assert_eq!((harness.run(later).cancel_cause, harness.run(unlimited).cancel_cause), (None, None));
}

pub fn step_expires_at_most_its_limit(harness: &Harness<'_>) {
    let runs: Vec<RunId> = (0..5).map(|_| run_with_deadline(harness, 1000).0).collect();
    harness.advance_ms(1000);
    let outcomes = drain(|| harness.expire_step(&harness.bounded_step(Scope::All, 2)));
    assert_eq!(outcomes.iter().map(|outcome| outcome.changed).collect::<Vec<_>>(), [2, 2, 1]);
    assert!(runs.iter().all(|run| harness.run(*run).cancel_cause == Some(CancelCause::Deadline)));
}

pub fn step_expires_earliest_deadline_first(harness: &Harness<'_>) {
    let runs = [3000, 1000, 2000].map(|ms| run_with_deadline(harness, ms).0);
    harness.advance_ms(3000);
    for run in [runs[1], runs[2], runs[0]] {
        assert_eq!(harness.run(run).cancel_cause, None);
        let done = harness.expire_step(&harness.bounded_step(Scope::All, 1));
        assert_eq!((done.changed, harness.run(run).cancel_cause), (1, Some(CancelCause::Deadline)));
    }
}
