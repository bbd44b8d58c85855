//! Claim: ready tasks are claimed once each, in a fair rotation over runs and kinds.

use crate::Harness;
use crate::harness::test_engine::{
    TestEngine, claims_per_run, failure, quota, quota_from, success, task_ids,
};
use crate::harness::{drain, json_of};
use conductor_model::{Backoff, DEFAULT_LEASE_MS, Json, MAX_LEASE_MS, RunDraft, State, TaskDraft, TaskId};
use conductor_store::{
    Claim, ClaimOutcome, KindQuota, RotationCursor, Scope, Submit, SubmitError, SubmitOutcome,
};
use serde_json::json;

pub fn only_ready_tasks_are_claimed(harness: &Harness<'_>) {
    let engine = harness.engine();
    let later = harness.now().plus_millis(1000);
    let leaf = |_| TaskDraft::new("A").backoff(Backoff::fixed(1000).expect("backoff is valid"));
    // All tasks are in one run, so that no task is excluded by the state of its run.
    let (_, roots) = harness.submit_tasks((0..6).map(leaf).chain([
        TaskDraft::new("A").due_at(later),
        TaskDraft::new("A").open(),
        TaskDraft::new("A").input(json!({"fanout": 1})),
        TaskDraft::new("A").kind("B"),
    ]));
    let parent = roots[8];
    harness.start(roots[1]);
    harness.succeed(roots[2]);
    harness.fail(roots[3]);
    harness.fail_permanently(roots[4]);
    harness.report_cancelled(roots[5]);
    let claimed = engine.claim("A", 100);
    assert_eq!(task_ids(&claimed), roots[..1]);
    harness.fan_out();
    harness.advance_ms(1000);
    assert_eq!((harness.retry(), harness.promote()), (1, 1));
    let claimed = engine.claim("A", 100);
    assert_eq!(claimed.len(), 3, "the child, the delayed task, and the failed task");
    assert!(claimed.iter().any(|task| task.fence.task == roots[3]));
    assert!(claimed.iter().any(|task| task.parent == Some(parent)));
}

pub fn claim_starts_task_and_counts_attempt(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, task) = harness.submit_leaf();
    let seen = harness.events().len();
    harness.advance_ms(10);
    let claimed = engine.claim_one();
    assert_eq!((claimed.fence.task, claimed.fence.attempt), (task, 1));
    let row = harness.task(task);
    assert_eq!((row.state, row.attempt, row.updated_at), (State::Running, 1, harness.now()));
    assert_eq!(row.lease_until, Some(harness.now().plus_millis(DEFAULT_LEASE_MS)));
    assert_eq!(harness.run_state(run), State::Running);
    let mut names = harness.event_names(seen);
    names.sort_unstable();
    assert_eq!(names, ["run.started", "task.started"]);
}

pub fn empty_claim_writes_nothing(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_task(TaskDraft::new("A").due_at(harness.now().plus_millis(1)));
    harness.submit_task(TaskDraft::new("B"));
    let nothing = [
        engine.claim_request([quota("A", 10)], 10),
        engine.claim_request([quota("C", 10)], 10),
        engine.claim_request([quota("B", 0)], 10),
        engine.claim_request([quota("B", 10)], 0),
        engine.claim_request([], 10),
    ];
    let change_token = harness.change_token();
    for request in nothing {
        for allow_isolated in [false, true] {
            let claimed =
                harness.writes_nothing(|| engine.claim_with(&Claim { allow_isolated, ..request.clone() }));
            assert!(claimed.tasks().is_empty() && !claimed.more, "{request:?}");
            assert_eq!(claimed.cursors.len(), request.quotas.len());
        }
    }
    assert_eq!(harness.change_token(), change_token);
}

pub fn task_is_claimed_once(harness: &Harness<'_>) {
    let (one, other) = (harness.engine(), harness.engine());
    let (_, _, children) = harness.family(5);
    let mut claimed = one.claim("P", 3);
    claimed.extend(other.claim("P", 3));
    claimed.extend(one.claim("P", 3));
    let mut tasks: Vec<TaskId> = claimed.iter().map(|task| task.fence.task).collect();
    tasks.sort_unstable();
    assert_eq!(tasks, children);
}

pub fn task_of_repeated_kind_is_claimed_once(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, roots) = harness.submit_tasks((0..6).map(|_| TaskDraft::new("A")));
    let claimed = engine.claim_with(&engine.claim_request([quota("A", 2), quota("A", 3)], 9)).tasks();
    assert_eq!(claimed.len(), 5, "both limits together");
    let attempts: Vec<u32> = harness.tasks(run).iter().map(|task| task.attempt).collect();
    assert_eq!(attempts.iter().sum::<u32>() as usize, claimed.len());
    let rest = engine.claim("A", 9);
    let mut all = [task_ids(&claimed), task_ids(&rest)].concat();
    all.sort_unstable();
    assert_eq!(all, roots);
}

/// The second run gives its share and has more, when the first one has left a place that only one kind gets.
pub fn claim_says_more_while_tasks_are_ready(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_tasks([TaskDraft::new("A")]);
    harness.submit_tasks(["A", "A", "B"].map(TaskDraft::new));
    for claims in 1.. {
        let claimed = engine.claim_with(&engine.claim_request([quota("A", 4), quota("B", 4)], 4));
        let ready = harness.store().state_counts(Scope::All).expect("query succeeds").pending;
        assert!(claimed.more || ready == 0, "{ready} are ready after {claims} claims");
        if ready == 0 {
            break;
        }
    }
}

pub fn every_claim_counts_as_attempt(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, task) = harness.submit_leaf();
    for attempt in 1..=3 {
        let claimed = engine.claim_one();
        assert_eq!((claimed.fence.attempt, claimed.retry_count), (attempt, attempt - 1));
        engine.settle_one(&claimed, failure("it broke"));
        assert_eq!(harness.retry(), 1);
    }
    assert_eq!((harness.task(task).attempt, harness.task(task).retry_count), (3, 3));
}

pub fn claim_contains_task_input_and_settings(harness: &Harness<'_>) {
    let engine = harness.engine();
    let root = |name, input: &str| TaskDraft::new(name).input(json_of(input));
    let (run, roots) = harness.submit_tasks([
        root("A", r#"{"b": 1.50, "a": []}"#).timeout_ms(700),
        root("A", "null"),
        TaskDraft::new("A"),
    ]);
    let claimed = engine.claim("A", 10);
    for (nth, (task, input)) in
        claimed.iter().zip([Some(r#"{"b": 1.50, "a": []}"#), Some("null"), None]).enumerate()
    {
        assert_eq!((task.fence.task, task.run, task.parent), (roots[nth], run, None));
        assert_eq!(task.index as usize, nth + 1);
        assert_eq!(task.input.as_ref().map(Json::as_str), input);
        assert_eq!(task.timeout_ms, (nth == 0).then_some(700));
        assert_eq!((task.retry_count, task.isolated), (0, false));
    }
    assert_eq!(claimed.len(), 3);
}

pub fn child_is_claimed_with_item_or_inherited_input(harness: &Harness<'_>) {
    let engine = harness.engine();
    let counted = TaskDraft::new("P").kind("A").timeout_ms(9).input(json!({"fanout": 2, "width": 80}));
    let (_, counted) = harness.submit_task(counted);
    let (_, listed) = harness.submit_task(TaskDraft::new("P").kind("A").fan_out(["x", "y"]));
    let (_, bare) = harness.submit_task(TaskDraft::new("P").kind("A").open());
    harness.fan_out();
    harness.append(bare, 1, &["7"]).expect("append succeeds");
    let claimed = engine.claim("A", 10);
    assert_eq!(claimed.len(), 5);
    for task in claimed {
        let parent = task.parent.expect("task has a parent");
        let expected = match (parent, task.index) {
            (parent, _) if parent == counted => r#"{"width":80}"#,
            (parent, 1) if parent == listed => r#""x""#,
            (parent, _) if parent == listed => r#""y""#,
            _ => "7",
        };
        assert_eq!(task.input.as_ref().map(Json::as_str), Some(expected));
        assert_eq!(task.timeout_ms, (parent == counted).then_some(9));
        assert_eq!(
            task.input,
            harness.task(task.fence.task).input,
            "a claim and a query show the same input"
        );
    }
}

pub fn higher_priority_then_older_task_comes_first(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, roots) =
        harness.submit_tasks([0, -5, 7, 0, 7].map(|priority| TaskDraft::new("A").priority(priority)));
    let order: Vec<_> = (0..5).map(|_| engine.claim("A", 1)[0].fence.task).collect();
    assert_eq!(order, [2, 4, 0, 3, 1].map(|nth| roots[nth]));
}

pub fn batch_is_ordered_like_single_claims(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (_, roots) =
        harness.submit_tasks([0, -5, 7, 0, 7].map(|priority| TaskDraft::new("A").priority(priority)));
    let order = task_ids(&engine.claim("A", 5));
    assert_eq!(order, [2, 4, 0, 3, 1].map(|nth| roots[nth]));
}

pub fn each_of_hundred_runs_gets_share(harness: &Harness<'_>) {
    let engine = harness.engine();
    for _ in 0..100 {
        harness.submit_tasks((0..20).map(|_| TaskDraft::new("A")));
    }
    let (mut claimed, mut cursor) = (Vec::new(), RotationCursor::default());
    for _ in 0..4 {
        let done = engine.claim_with(&engine.claim_request([quota_from(cursor, "A", 100)], 100));
        cursor = done.cursors[0];
        claimed.extend(done.tasks());
    }
    assert_eq!(claimed.len(), 400);
    let shares = claims_per_run(&claimed);
    assert_eq!(shares.len(), 100, "each run gets a share");
    assert!(shares.values().all(|share| (2..=8).contains(share)), "{:?}", shares.values());
}

pub fn large_run_does_not_starve_others(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (large, _) =
        harness.submit_task(TaskDraft::new("P").kind("A").priority(9).input(json!({"fanout": 1000})));
    harness.fan_out();
    let (small, _) = harness.submit_leaf();
    let shares = claims_per_run(&engine.claim("A", 10));
    assert_eq!(shares.get(&small), Some(&1));
    assert!(shares[&large] >= 5, "the large run gets the rest: {shares:?}");
}

pub fn unrequested_kind_does_not_starve_requested_kind(harness: &Harness<'_>) {
    let engine = harness.engine();
    for _ in 0..200 {
        harness.submit_tasks(["B", "C"].map(TaskDraft::new));
    }
    harness.submit_task(TaskDraft::new("P").kind("B").priority(9).input(json!({"fanout": 1000})));
    harness.fan_out();
    let (_, wanted) = harness.submit_leaf();
    assert_eq!(engine.claim_one().fence.task, wanted);
}

pub fn kinds_share_total_limit(harness: &Harness<'_>) {
    let engine = harness.engine();
    for kind in ["A", "B", "C"] {
        harness.submit_tasks((0..20).map(|_| TaskDraft::new(kind)));
    }
    let quotas = ["A", "B", "C", "D"].map(|kind| quota(kind, 100));
    let claimed = engine.claim_with(&engine.claim_request(quotas, 12));
    assert_eq!(claimed.tasks().len(), 12);
    for kind in 0..3 {
        let its = claimed.tasks().iter().filter(|task| task.quota_index == kind).count();
        assert_eq!(its, 4, "each kind gets an equal share");
    }
    assert!(claimed.more);
}

pub fn each_kind_has_its_own_limit(harness: &Harness<'_>) {
    let engine = harness.engine();
    for kind in ["A", "B"] {
        harness.submit_tasks((0..9).map(|_| TaskDraft::new(kind)));
        harness.submit_tasks((0..9).map(|_| TaskDraft::new(kind)));
    }
    let claimed = engine.claim_with(&engine.claim_request([quota("B", 1), quota("A", 3)], 100)).tasks();
    let of = |nth| claimed.iter().filter(move |task| task.quota_index == nth);
    assert_eq!((of(0).count(), of(1).count()), (1, 3));
    for (nth, kind) in ["B", "A"].into_iter().enumerate() {
        assert!(of(nth).all(|task| harness.task(task.fence.task).kind.as_str() == kind));
    }
}

pub fn rotation_continues_after_last_run(harness: &Harness<'_>) {
    let engine = harness.engine();
    let runs: Vec<_> = (0..3).map(|_| harness.submit_tasks((0..3).map(|_| TaskDraft::new("A"))).0).collect();
    let (mut order, mut cursor) = (Vec::new(), RotationCursor::default());
    for _ in 0..9 {
        let done = engine.claim_with(&engine.claim_request([quota_from(cursor, "A", 1)], 1));
        cursor = done.cursors[0];
        order.extend(done.tasks().iter().map(|task| task.run));
    }
    assert_eq!(order, [0, 1, 2, 0, 1, 2, 0, 1, 2].map(|nth| runs[nth]));
    let done = engine.claim_with(&engine.claim_request([quota_from(cursor, "A", 1)], 1));
    assert_eq!(
        (done.tasks().len(), done.cursors),
        (0, vec![cursor]),
        "an empty claim does not move the cursor"
    );
}

pub fn each_kind_has_its_own_rotation(harness: &Harness<'_>) {
    let engine = harness.engine();
    let runs: Vec<_> =
        (0..2).map(|_| harness.submit_tasks(["A", "A", "B", "B"].map(TaskDraft::new)).0).collect();
    let (a, b) = (quota("A", 1), quota("B", 1));
    let first = engine.claim_with(&engine.claim_request([a.clone()], 1));
    assert_eq!(first.tasks()[0].run, runs[0]);
    let a = KindQuota { cursor: first.cursors[0], ..a };
    let both = engine.claim_with(&engine.claim_request([a, b], 2));
    let runs_of: Vec<_> = both.tasks().iter().map(|task| (task.quota_index, task.run)).collect();
    assert_eq!(runs_of, [(0, runs[1]), (1, runs[0])]);
}

pub fn claim_stopped_by_limits_reports_more(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_tasks((0..5).map(|_| TaskDraft::new("A")));
    assert!(
        engine.claim_with(&engine.claim_request([quota("A", 100)], 2)).more,
        "the total limit is reached"
    );
    assert!(
        engine.claim_with(&engine.claim_request([quota("A", 1)], 100)).more,
        "the limit of the kind is reached"
    );
    let last = engine.claim_with(&engine.claim_request([quota("A", 100)], 100));
    assert_eq!((last.tasks().len(), last.more), (2, false));
}

pub fn all_runs_are_visited_while_more_remain(harness: &Harness<'_>) {
    let engine = harness.engine();
    for _ in 0..300 {
        harness.submit_leaf();
    }
    let (mut claimed, mut cursor) = (0, RotationCursor::default());
    loop {
        let done = engine.claim_with(&engine.claim_request([quota_from(cursor, "A", 1000)], 1000));
        cursor = done.cursors[0];
        claimed += done.tasks().len();
        if !done.more {
            break;
        }
        assert!(!done.tasks().is_empty(), "a claim that reports more has claimed tasks");
    }
    assert_eq!(claimed, 300);
}

pub fn lease_lasts_as_requested_up_to_one_day(harness: &Harness<'_>) {
    let engine = harness.engine();
    for (asked, given) in [(1, 1), (5000, 5000), (MAX_LEASE_MS, MAX_LEASE_MS), (u64::MAX, MAX_LEASE_MS)] {
        let (_, task) = harness.submit_leaf();
        let claimed =
            engine.claim_with(&Claim { lease_ms: asked, ..engine.claim_request([quota("A", 1)], 1) });
        assert_eq!(claimed.tasks()[0].fence.task, task);
        assert_eq!(harness.task(task).lease_until, Some(harness.now().plus_millis(given)), "{asked} ms");
    }
}

pub fn wide_fan_out_is_claimed_whole(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, parent, children) = harness.family(2500);
    let outcomes = drain(|| engine.claim_with(&engine.claim_request([quota("P", 1000)], 1000)));
    let claimed: Vec<_> = outcomes.into_iter().flat_map(|outcome| outcome.tasks()).collect();
    assert_eq!(task_ids(&claimed), children);
    assert_eq!(harness.run(run).state_counts.running, 2501);
    assert_eq!(harness.child_counts(parent).open, 2500);
}

pub fn open_run_is_claimed_while_it_grows(harness: &Harness<'_>) {
    let engine = harness.engine();
    let run = harness.submit(&RunDraft::new().open());
    for index in 1..=3 {
        harness.append_tasks(run, index, [TaskDraft::new("A")]).expect("append succeeds");
        let claimed = engine.claim_one();
        assert_eq!((claimed.run, claimed.index), (run, index));
    }
    assert_eq!(harness.run_state(run), State::Running);
}

/// Submits a run, and claims at most `limit` tasks of the kind `A` in the same transaction.
fn submit_and_claim(
    harness: &Harness<'_>,
    engine: &TestEngine<'_>,
    draft: &RunDraft,
    limit: u32,
) -> Result<(SubmitOutcome, ClaimOutcome), SubmitError> {
    let request = Submit::new(draft.validate().expect("draft is valid"), harness.env());
    harness.store().submit_and_claim(&request, &engine.claim_request([quota("A", limit)], limit))
}

pub fn submitted_task_is_claimed_in_same_transaction(harness: &Harness<'_>) {
    let engine = harness.engine();
    let draft = RunDraft::new().task(TaskDraft::new("A").input(7)).task(TaskDraft::new("B"));
    let (submitted, claimed) = submit_and_claim(harness, &engine, &draft, 10).expect("submit succeeds");
    assert!(submitted.created);
    let [task] = &claimed.tasks()[..] else { panic!("one task is of the kind A: {claimed:?}") };
    assert_eq!((task.run, task.index, task.fence.attempt), (submitted.run, 1, 1));
    assert_eq!(task.input.as_ref().map(Json::as_str), Some("7"));
    let names = ["run.created", "run.sealed", "task.created", "task.created", "task.started", "run.started"];
    assert_eq!(harness.event_names(0), names);
    let run = harness.run(submitted.run);
    assert_eq!((run.state, run.state_counts.running, run.state_counts.pending), (State::Running, 1, 1));
    assert!(engine.claim("A", 10).is_empty(), "the task is claimed once");
    engine.settle_one(task, success());
}

pub fn submit_and_claim_also_claims_older_tasks(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (older, _) = harness.submit_tasks((0..3).map(|_| TaskDraft::new("A")));
    let draft = RunDraft::new().tasks((0..3).map(|_| TaskDraft::new("A")));
    let (submitted, claimed) = submit_and_claim(harness, &engine, &draft, 4).expect("submit succeeds");
    let counts = claims_per_run(&claimed.tasks());
    assert_eq!((counts[&older], counts[&submitted.run]), (2, 2), "each run gets its share");
    assert!(claimed.more);
    assert_eq!(engine.claim("A", 10).len(), 2);
}

pub fn submission_without_new_run_claims_nothing(harness: &Harness<'_>) {
    let engine = harness.engine();
    let draft = RunDraft::new().idempotency_key("once").task(TaskDraft::new("A"));
    let run = harness.submit(&draft);
    let again = harness.writes_nothing(|| submit_and_claim(harness, &engine, &draft, 10));
    let (submitted, claimed) = again.expect("submit succeeds");
    assert_eq!((submitted.run, submitted.created, claimed.tasks().len()), (run, false, 0));
    let other = draft.task(TaskDraft::new("A"));
    let rejected = harness.writes_nothing(|| submit_and_claim(harness, &engine, &other, 10));
    assert!(matches!(rejected, Err(SubmitError::IdempotencyConflict { .. })), "{rejected:?}");
    assert_eq!(engine.claim("A", 10).len(), 1, "the existing task is not claimed");
}
