//! Submit: a run is stored whole or not at all, and once per idempotency key.

use crate::Harness;
use conductor_model::{
    Backoff, ChildCounts, DEFAULT_MAX_RETRIES, RunDraft, RunId, State, StateCounts, TaskDraft, TaskId,
};
use conductor_store::{Scope, Submit, SubmitError};
use serde_json::json;

pub fn run_is_stored_as_submitted(harness: &Harness<'_>) {
    let draft = RunDraft::new().meta(json!({"for": "Ada"})).idempotency_key("order 7");
    let id = harness.submit(&draft.task(TaskDraft::new("A")).task(TaskDraft::new("B")));
    let run = harness.run(id);
    assert_eq!((run.id, run.state), (id, State::Pending));
    assert_eq!((run.created_at, run.updated_at), (harness.now(), harness.now()));
    assert_eq!(run.meta.expect("meta is stored").as_str(), r#"{"for":"Ada"}"#);
    assert_eq!(run.idempotency_key.expect("key is stored").as_str(), "order 7");
    assert_eq!(
        run.child_counts,
        ChildCounts { total: Some(2), created: 2, open: 2, failed: 0, cancelled: 0 }
    );
    assert_eq!(run.state_counts, StateCounts { pending: 2, ..StateCounts::default() });
}

pub fn task_is_stored_as_submitted(harness: &Harness<'_>) {
    let backoff = Backoff::exponential(100, 60_000)
        .and_then(|curve| curve.with_jitter(0.25))
        .expect("backoff is valid");
    let due = harness.now().plus_millis(1234);
    let draft = TaskDraft::new("resize").kind("image").input(json!({"width": 80})).max_retries(7);
    let (run, id) = harness.submit_task(draft.backoff(backoff).priority(-3).due_at(due));
    let task = harness.task(id);
    assert_eq!((task.id, task.run, task.parent, task.index), (id, run, None, 1));
    assert_eq!((task.name.as_str(), task.kind.as_str()), ("resize", "image"));
    assert_eq!((task.state, task.due_at), (State::Pending, Some(due)));
    assert_eq!((task.created_at, task.updated_at), (harness.now(), harness.now()));
    assert_eq!(task.input.expect("input is stored").as_str(), r#"{"width":80}"#);
    assert_eq!((task.max_retries.get(), task.backoff, task.priority), (7, backoff, -3));
    assert_eq!((task.retry_count, task.attempt), (0, 0));
    assert_eq!((task.output, task.last_error, task.child_counts), (None, None, None));
}

pub fn omitted_task_fields_have_defaults(harness: &Harness<'_>) {
    let (_, id) = harness.submit_leaf();
    let task = harness.task(id);
    assert_eq!(task.kind.as_str(), "A", "the kind defaults to the name");
    assert_eq!(task.max_retries.get(), DEFAULT_MAX_RETRIES);
    assert_eq!((task.backoff, task.priority), (Backoff::NONE, 0));
    assert_eq!((task.due_at, task.input), (None, None));
}

pub fn root_tasks_keep_submitted_order(harness: &Harness<'_>) {
    let (run, _) = harness.submit_tasks(["C", "A", "B"].map(TaskDraft::new));
    let roots = harness.roots(run);
    let places: Vec<_> = roots.iter().map(|task| (task.index, task.name.as_str())).collect();
    assert_eq!(places, [(1, "C"), (2, "A"), (3, "B")]);
}

pub fn root_tasks_may_share_name(harness: &Harness<'_>) {
    let (_, roots) = harness.submit_tasks(["A", "A"].map(TaskDraft::new));
    assert_ne!(roots[0], roots[1]);
}

pub fn caller_ids_are_kept(harness: &Harness<'_>) {
    let (run, task) = (RunId::from_u128(77), TaskId::from_u128(u128::MAX));
    let draft = RunDraft::new().id(run).task(TaskDraft::new("A").id(task)).task(TaskDraft::new("B"));
    assert_eq!(harness.submit(&draft), run);
    assert_eq!(harness.roots(run)[0].id, task);
}

pub fn missing_ids_come_from_block(harness: &Harness<'_>) {
    let run =
        RunDraft::new().task(TaskDraft::new("A")).task(TaskDraft::new("B")).validate().expect("run is valid");
    let mut ids = harness.env().ids(3);
    let request = Submit { run, now: harness.now(), ids };
    let run = harness.store().submit(&request).expect("submit succeeds").run;
    assert_eq!(Some(run), ids.take_run());
    for task in harness.roots(run) {
        assert_eq!(Some(task.id), ids.take_task());
    }
}

pub fn taken_run_id_is_rejected(harness: &Harness<'_>) {
    let (run, _) = harness.submit_leaf();
    let again = RunDraft::new().id(run).task(TaskDraft::new("B"));
    let rejected = harness.writes_nothing(|| harness.try_submit(&again));
    assert!(matches!(rejected, Err(SubmitError::RunIdTaken(taken)) if taken == run), "{rejected:?}");
}

pub fn taken_task_id_rejects_whole_run(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    let again = RunDraft::new().meta(1).task(TaskDraft::new("B")).task(TaskDraft::new("C").id(task));
    let rejected = harness.writes_nothing(|| harness.try_submit(&again));
    assert!(matches!(rejected, Err(SubmitError::TaskIdTaken(taken)) if taken == task), "{rejected:?}");
}

pub fn too_few_ids_are_rejected(harness: &Harness<'_>) {
    let run =
        RunDraft::new().task(TaskDraft::new("A")).task(TaskDraft::new("B")).validate().expect("run is valid");
    let request = Submit { run, now: harness.now(), ids: harness.env().ids(2) };
    let rejected = harness.writes_nothing(|| harness.store().submit(&request));
    assert!(matches!(rejected, Err(SubmitError::TooFewIds(2))), "{rejected:?}");
}

pub fn same_key_and_payload_return_same_run(harness: &Harness<'_>) {
    let draft = RunDraft::new().idempotency_key("once").task(TaskDraft::new("A").input(json!({"fanout": 2})));
    let run = harness.submit(&draft);
    harness.advance_ms(1000);
    let again = harness.writes_nothing(|| harness.try_submit(&draft)).expect("submit succeeds");
    assert_eq!((again.run, again.created), (run, false));
}

pub fn key_holds_after_run_settles(harness: &Harness<'_>) {
    let draft = RunDraft::new().idempotency_key("once").task(TaskDraft::new("A"));
    let run = harness.submit(&draft);
    harness.succeed(harness.roots(run)[0].id);
    harness.run_all_steps();
    assert_eq!(harness.run_state(run), State::Succeeded);
    let again = harness.writes_nothing(|| harness.try_submit(&draft)).expect("submit succeeds");
    assert_eq!((again.run, again.created), (run, false));
}

pub fn json_key_order_does_not_change_payload(harness: &Harness<'_>) {
    let one =
        r#"{"idempotency_key": "once", "meta": {"a": 1, "b": [2]}, "tasks": [{"name": "A", "priority": 1}]}"#;
    let other = r#"{"tasks": [{"priority":1,"name":"A"}],"meta":{"b":[2],"a":1},"idempotency_key":"once"}"#;
    let draft = |json| serde_json::from_str::<RunDraft>(json).expect("draft is valid");
    let run = harness.submit(&draft(one));
    let again = harness.writes_nothing(|| harness.try_submit(&draft(other))).expect("submit succeeds");
    assert_eq!((again.run, again.created), (run, false));
}

pub fn other_payload_under_key_is_conflict(harness: &Harness<'_>) {
    let draft = || RunDraft::new().idempotency_key("once").meta(1);
    let run = harness.submit(&draft().task(TaskDraft::new("A").input(1)));
    let others = [
        draft(),
        draft().task(TaskDraft::new("B").input(1)),
        draft().task(TaskDraft::new("A").input(1.0)),
        draft().task(TaskDraft::new("A").input(1)).meta(2),
        draft().task(TaskDraft::new("A").input(1)).open(),
        draft().task(TaskDraft::new("A").input(1)).task(TaskDraft::new("A").input(1)),
    ];
    for other in others {
        let rejected = harness.writes_nothing(|| harness.try_submit(&other));
        let conflict =
            matches!(rejected, Err(SubmitError::IdempotencyConflict { run: holder }) if holder == run);
        assert!(conflict, "{other:?}: {rejected:?}");
    }
}

pub fn without_key_every_submission_creates_run(harness: &Harness<'_>) {
    let draft = RunDraft::new().task(TaskDraft::new("A"));
    assert_ne!(harness.submit(&draft), harness.submit(&draft));
}

pub fn run_without_tasks_succeeds(harness: &Harness<'_>) {
    let run = harness.submit(&RunDraft::new());
    assert_eq!(harness.run(run).child_counts, ChildCounts::sealed(0));
    assert_eq!(harness.aggregate(), (0, 1));
    assert_eq!(harness.run_state(run), State::Succeeded);
}

pub fn open_run_without_tasks_waits(harness: &Harness<'_>) {
    let run = harness.submit(&RunDraft::new().open());
    assert_eq!(harness.run(run).child_counts, ChildCounts::open());
    assert_eq!(harness.writes_nothing(|| harness.aggregate()), (0, 0));
    assert_eq!(harness.run_state(run), State::Pending);
}

pub fn submitted_run_is_visible_at_once(harness: &Harness<'_>) {
    for n in 1..=20 {
        let (run, task) = harness.submit_leaf();
        assert_eq!(harness.task(task).run, run);
        assert_eq!(harness.store().state_counts(Scope::All).expect("a counts").pending, n);
    }
}
