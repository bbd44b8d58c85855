//! Claim: what is ready, in turns, once each.

use crate::World;
use crate::harness::test_engine::{Hands, by_run, success, want};
use conductor_model::{Backoff, DEFAULT_LEASE_MS, Json, MAX_LEASE_MS, RunDraft, State, TaskDraft, TaskId};
use conductor_store::{Claim, ClaimOutcome, RotationCursor, Submit, SubmitError, SubmitOutcome};
use serde_json::json;

pub fn only_ready_tasks_are_claimed(world: &World<'_>) {
    let hands = world.hands();
    let later = world.now().plus_millis(1000);
    let leaf = |_| TaskDraft::new("A").backoff(Backoff::fixed(1000).expect("a backoff"));
    // All in one run, so that nothing is left out because its run is.
    let (_, roots) = world.run_of((0..6).map(leaf).chain([
        TaskDraft::new("A").due_at(later),
        TaskDraft::new("A").open(),
        TaskDraft::new("A").input(json!({"fanout": 1})),
        TaskDraft::new("A").kind("B"),
    ]));
    let parent = roots[8];
    world.start(roots[1]);
    world.succeed(roots[2]);
    world.fail(roots[3]);
    world.fail_for_good(roots[4]);
    world.cancel(roots[5]);
    let claimed = hands.claim("A", 100);
    assert_eq!(claimed.iter().map(|task| task.fence.task).collect::<Vec<_>>(), roots[..1]);
    world.fan_out();
    world.pass_ms(1000);
    assert_eq!((world.retry(), world.promote()), (1, 1));
    let claimed = hands.claim("A", 100);
    assert_eq!(claimed.len(), 3, "the child, the one that was delayed, and the one that failed");
    assert!(claimed.iter().any(|task| task.fence.task == roots[3]));
    assert!(claimed.iter().any(|task| task.parent == Some(parent)));
}

pub fn claim_starts_task_and_counts_attempt(world: &World<'_>) {
    let hands = world.hands();
    let (run, task) = world.leaf();
    let seen = world.events().len();
    world.pass_ms(10);
    let claimed = hands.claim_one();
    assert_eq!((claimed.fence.task, claimed.fence.attempt), (task, 1));
    let row = world.task(task);
    assert_eq!((row.state, row.attempt, row.updated_at), (State::Running, 1, world.now()));
    assert_eq!(row.lease_until, Some(world.now().plus_millis(DEFAULT_LEASE_MS)));
    assert_eq!(world.run_state(run), State::Running);
    let mut names = world.event_names(seen);
    names.sort_unstable();
    assert_eq!(names, ["run.started", "task.started"]);
}

pub fn empty_claim_writes_nothing(world: &World<'_>) {
    let hands = world.hands();
    world.one(TaskDraft::new("A").due_at(world.now().plus_millis(1)));
    world.one(TaskDraft::new("B"));
    let nothing = [
        hands.request([want("A", 10)], 10),
        hands.request([want("C", 10)], 10),
        hands.request([want("B", 0)], 10),
        hands.request([want("B", 10)], 0),
        hands.request([], 10),
    ];
    let change_token = world.store().change_token().expect("a pulse");
    for request in nothing {
        for alone in [false, true] {
            let claimed =
                world.writes_nothing(|| hands.ask(&Claim { allow_isolated: alone, ..request.clone() }));
            assert!(claimed.tasks.is_empty() && !claimed.more, "{request:?}");
            assert_eq!(claimed.cursors.len(), request.quotas.len());
        }
    }
    assert_eq!(world.store().change_token().expect("a pulse"), change_token);
}

pub fn task_is_claimed_once(world: &World<'_>) {
    let (one, other) = (world.hands(), world.hands());
    let (_, _, children) = world.family(5);
    let mut claimed = one.claim("P", 3);
    claimed.extend(other.claim("P", 3));
    claimed.extend(one.claim("P", 3));
    let mut tasks: Vec<TaskId> = claimed.iter().map(|task| task.fence.task).collect();
    tasks.sort_unstable();
    assert_eq!(tasks, children);
}

pub fn every_claim_counts_as_attempt(world: &World<'_>) {
    let hands = world.hands();
    let (_, task) = world.leaf();
    for attempt in 1..=3 {
        let claimed = hands.claim_one();
        assert_eq!((claimed.fence.attempt, claimed.retry_count), (attempt, attempt - 1));
        hands.end(&claimed, crate::harness::test_engine::failure("it broke"));
        assert_eq!(world.retry(), 1);
    }
    assert_eq!((world.task(task).attempt, world.task(task).retry_count), (3, 3));
}

pub fn claim_contains_task_input_and_settings(world: &World<'_>) {
    let hands = world.hands();
    let root = |name, input: &str| TaskDraft::new(name).input(crate::harness::json_of(input));
    let (run, roots) = world.run_of([
        root("A", r#"{"b": 1.50, "a": []}"#).timeout_ms(700),
        root("A", "null"),
        TaskDraft::new("A"),
    ]);
    let claimed = hands.claim("A", 10);
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

pub fn child_is_claimed_with_item_or_inherited_input(world: &World<'_>) {
    let hands = world.hands();
    let counted = TaskDraft::new("P").kind("A").timeout_ms(9).input(json!({"fanout": 2, "width": 80}));
    let (_, counted) = world.one(counted);
    let (_, listed) = world.one(TaskDraft::new("P").kind("A").fan_out(["x", "y"]));
    let (_, bare) = world.one(TaskDraft::new("P").kind("A").open());
    world.fan_out();
    world.append(bare, 1, &["7"]).expect("an append");
    let claimed = hands.claim("A", 10);
    assert_eq!(claimed.len(), 5);
    for task in claimed {
        let parent = task.parent.expect("a parent");
        let expected = match (parent, task.index) {
            (parent, _) if parent == counted => r#"{"width":80}"#,
            (parent, 1) if parent == listed => r#""x""#,
            (parent, _) if parent == listed => r#""y""#,
            _ => "7",
        };
        assert_eq!(task.input.as_ref().map(Json::as_str), Some(expected));
        assert_eq!(task.timeout_ms, (parent == counted).then_some(9));
        assert_eq!(task.input, world.task(task.fence.task).input, "as a reader sees it");
    }
}

pub fn higher_priority_then_older_task_comes_first(world: &World<'_>) {
    let hands = world.hands();
    let (_, roots) = world.run_of([0, -5, 7, 0, 7].map(|priority| TaskDraft::new("A").priority(priority)));
    let order: Vec<_> = (0..5).map(|_| hands.claim("A", 1)[0].fence.task).collect();
    assert_eq!(order, [2, 4, 0, 3, 1].map(|nth| roots[nth]));
}

pub fn batch_is_ordered_like_single_claims(world: &World<'_>) {
    let hands = world.hands();
    let (_, roots) = world.run_of([0, -5, 7, 0, 7].map(|priority| TaskDraft::new("A").priority(priority)));
    let order: Vec<_> = hands.claim("A", 5).iter().map(|task| task.fence.task).collect();
    assert_eq!(order, [2, 4, 0, 3, 1].map(|nth| roots[nth]));
}

pub fn each_of_hundred_runs_gets_share(world: &World<'_>) {
    let hands = world.hands();
    for _ in 0..100 {
        world.run_of((0..20).map(|_| TaskDraft::new("A")));
    }
    let (mut claimed, mut turn) = (Vec::new(), RotationCursor::default());
    for _ in 0..4 {
        let done =
            hands.ask(&hands.request([conductor_store::KindQuota { cursor: turn, ..want("A", 100) }], 100));
        turn = done.cursors[0];
        claimed.extend(done.tasks);
    }
    assert_eq!(claimed.len(), 400);
    let shares = by_run(&claimed);
    assert_eq!(shares.len(), 100, "each run has a share");
    assert!(shares.values().all(|share| (2..=8).contains(share)), "{:?}", shares.values());
}

pub fn large_run_does_not_starve_others(world: &World<'_>) {
    let hands = world.hands();
    let (large, _) = world.one(TaskDraft::new("P").kind("A").priority(9).input(json!({"fanout": 1000})));
    world.fan_out();
    let (small, _) = world.leaf();
    let shares = by_run(&hands.claim("A", 10));
    assert_eq!(shares.get(&small), Some(&1));
    assert!(shares[&large] >= 5, "what the one does not need may go to the other: {shares:?}");
}

pub fn unrequested_kind_does_not_starve_requested_kind(world: &World<'_>) {
    let hands = world.hands();
    for _ in 0..200 {
        world.run_of(["B", "C"].map(TaskDraft::new));
    }
    world.one(TaskDraft::new("P").kind("B").priority(9).input(json!({"fanout": 1000})));
    world.fan_out();
    let (_, wanted) = world.leaf();
    assert_eq!(hands.claim_one().fence.task, wanted);
}

pub fn kinds_share_total_limit(world: &World<'_>) {
    let hands = world.hands();
    for kind in ["A", "B", "C"] {
        world.run_of((0..20).map(|_| TaskDraft::new(kind)));
    }
    let wants = ["A", "B", "C", "D"].map(|kind| want(kind, 100));
    let claimed = hands.ask(&hands.request(wants, 12));
    assert_eq!(claimed.tasks.len(), 12);
    for kind in 0..3 {
        let its = claimed.tasks.iter().filter(|task| task.quota_index == kind).count();
        assert_eq!(its, 4, "an equal share of each kind");
    }
    assert!(claimed.more);
}

pub fn each_kind_has_its_own_limit(world: &World<'_>) {
    let hands = world.hands();
    for kind in ["A", "B"] {
        world.run_of((0..9).map(|_| TaskDraft::new(kind)));
        world.run_of((0..9).map(|_| TaskDraft::new(kind)));
    }
    let claimed = hands.ask(&hands.request([want("B", 1), want("A", 3)], 100)).tasks;
    let of = |nth| claimed.iter().filter(move |task| task.quota_index == nth);
    assert_eq!((of(0).count(), of(1).count()), (1, 3));
    for (nth, kind) in ["B", "A"].into_iter().enumerate() {
        assert!(of(nth).all(|task| world.task(task.fence.task).kind.as_str() == kind));
    }
}

pub fn rotation_continues_after_last_run(world: &World<'_>) {
    let hands = world.hands();
    let runs: Vec<_> = (0..3).map(|_| world.run_of((0..3).map(|_| TaskDraft::new("A"))).0).collect();
    let (mut order, mut turn) = (Vec::new(), RotationCursor::default());
    for _ in 0..9 {
        let done =
            hands.ask(&hands.request([conductor_store::KindQuota { cursor: turn, ..want("A", 1) }], 1));
        turn = done.cursors[0];
        order.extend(done.tasks.iter().map(|task| task.run));
    }
    assert_eq!(order, [0, 1, 2, 0, 1, 2, 0, 1, 2].map(|nth| runs[nth]));
    let done = hands.ask(&hands.request([conductor_store::KindQuota { cursor: turn, ..want("A", 1) }], 1));
    assert_eq!((done.tasks.len(), done.cursors), (0, vec![turn]), "a claim of nothing stops nowhere else");
}

pub fn each_kind_has_its_own_rotation(world: &World<'_>) {
    let hands = world.hands();
    let runs: Vec<_> = (0..2).map(|_| world.run_of(["A", "A", "B", "B"].map(TaskDraft::new)).0).collect();
    let (a, b) = (want("A", 1), want("B", 1));
    let first = hands.ask(&hands.request([a.clone()], 1));
    assert_eq!(first.tasks[0].run, runs[0]);
    let a = conductor_store::KindQuota { cursor: first.cursors[0], ..a };
    let both = hands.ask(&hands.request([a, b], 2));
    let runs_of: Vec<_> = both.tasks.iter().map(|task| (task.quota_index, task.run)).collect();
    assert_eq!(runs_of, [(0, runs[1]), (1, runs[0])]);
}

pub fn claim_stopped_by_limits_reports_more(world: &World<'_>) {
    let hands = world.hands();
    world.run_of((0..5).map(|_| TaskDraft::new("A")));
    assert!(hands.ask(&hands.request([want("A", 100)], 2)).more, "the limit of all kinds");
    assert!(hands.ask(&hands.request([want("A", 1)], 100)).more, "the limit of the kind");
    let last = hands.ask(&hands.request([want("A", 100)], 100));
    assert_eq!((last.tasks.len(), last.more), (2, false));
}

pub fn all_runs_are_visited_while_more_remain(world: &World<'_>) {
    let hands = world.hands();
    for _ in 0..300 {
        world.leaf();
    }
    let (mut claimed, mut turn) = (0, RotationCursor::default());
    loop {
        let done =
            hands.ask(&hands.request([conductor_store::KindQuota { cursor: turn, ..want("A", 1000) }], 1000));
        turn = done.cursors[0];
        claimed += done.tasks.len();
        if !done.more {
            break;
        }
        assert!(!done.tasks.is_empty(), "a claim that says so gets further");
    }
    assert_eq!(claimed, 300);
}

pub fn lease_lasts_as_requested_up_to_one_day(world: &World<'_>) {
    let hands = world.hands();
    for (asked, given) in [(1, 1), (5000, 5000), (MAX_LEASE_MS, MAX_LEASE_MS), (u64::MAX, MAX_LEASE_MS)] {
        let (_, task) = world.leaf();
        let claimed = hands.ask(&Claim { lease_ms: asked, ..hands.request([want("A", 1)], 1) });
        assert_eq!(claimed.tasks[0].fence.task, task);
        assert_eq!(world.task(task).lease_until, Some(world.now().plus_millis(given)), "{asked} ms");
    }
}

pub fn wide_fan_out_is_claimed_whole(world: &World<'_>) {
    let hands = world.hands();
    let (run, parent, children) = world.family(2500);
    let mut claimed = Vec::new();
    loop {
        let done = hands.ask(&hands.request([want("P", 1000)], 1000));
        claimed.extend(done.tasks);
        if !done.more {
            break;
        }
    }
    assert_eq!(claimed.iter().map(|task| task.fence.task).collect::<Vec<_>>(), children);
    assert_eq!(world.run(run).state_counts.running, 2501);
    assert_eq!(world.numbers(parent).open, 2500);
}

pub fn open_run_is_claimed_while_it_grows(world: &World<'_>) {
    let hands = world.hands();
    let run = world.submit(&RunDraft::new().open());
    for index in 1..=3 {
        world.append_tasks(run, index, [TaskDraft::new("A")]).expect("an append");
        let claimed = hands.claim_one();
        assert_eq!((claimed.run, claimed.index), (run, index));
    }
    assert_eq!(world.run_state(run), State::Running);
}

/// Submits a run, and claims up to so many of the kind `A` with it.
fn submit_and_claim(
    world: &World<'_>,
    hands: &Hands<'_>,
    draft: &RunDraft,
    limit: u32,
) -> Result<(SubmitOutcome, ClaimOutcome), SubmitError> {
    let request = Submit::new(draft.validate().expect("a draft without issues"), world.env());
    world.store().submit_and_claim(&request, &hands.request([want("A", limit)], limit))
}

pub fn submitted_task_is_claimed_in_same_transaction(world: &World<'_>) {
    let hands = world.hands();
    let draft = RunDraft::new().task(TaskDraft::new("A").input(7)).task(TaskDraft::new("B"));
    let (submitted, claimed) = submit_and_claim(world, &hands, &draft, 10).expect("a submission");
    assert!(submitted.created);
    let [task] = &claimed.tasks[..] else { panic!("one is of that kind: {claimed:?}") };
    assert_eq!((task.run, task.index, task.fence.attempt), (submitted.run, 1, 1));
    assert_eq!(task.input.as_ref().map(Json::as_str), Some("7"));
    let names = ["run.created", "run.sealed", "task.created", "task.created", "task.started", "run.started"];
    assert_eq!(world.event_names(0), names);
    let run = world.run(submitted.run);
    assert_eq!((run.state, run.state_counts.running, run.state_counts.pending), (State::Running, 1, 1));
    assert!(hands.claim("A", 10).is_empty(), "it is claimed once");
    hands.end(task, success());
}

pub fn submit_and_claim_also_claims_older_tasks(world: &World<'_>) {
    let hands = world.hands();
    let (older, _) = world.run_of((0..3).map(|_| TaskDraft::new("A")));
    let draft = RunDraft::new().tasks((0..3).map(|_| TaskDraft::new("A")));
    let (submitted, claimed) = submit_and_claim(world, &hands, &draft, 4).expect("a submission");
    let counts = by_run(&claimed.tasks);
    assert_eq!((counts[&older], counts[&submitted.run]), (2, 2), "each run its share");
    assert!(claimed.more);
    assert_eq!(hands.claim("A", 10).len(), 2);
}

pub fn submission_without_new_run_claims_nothing(world: &World<'_>) {
    let hands = world.hands();
    let draft = RunDraft::new().idempotency_key("once").task(TaskDraft::new("A"));
    let run = world.submit(&draft);
    let again = world.writes_nothing(|| submit_and_claim(world, &hands, &draft, 10));
    let (submitted, claimed) = again.expect("the same run");
    assert_eq!((submitted.run, submitted.created, claimed.tasks.len()), (run, false, 0));
    let other = draft.task(TaskDraft::new("A"));
    let refused = world.writes_nothing(|| submit_and_claim(world, &hands, &other, 10));
    assert!(matches!(refused, Err(SubmitError::IdempotencyConflict { .. })), "{refused:?}");
    assert_eq!(hands.claim("A", 10).len(), 1, "it was left alone");
}
