//! Events: one per transition, in commit order, with all that a replay needs.

use crate::Harness;
use conductor_model::{
    Backoff, EventBody, FailureReason, FanoutSize, Policy, RunDraft, State, TaskDraft, TaskId,
};
use conductor_store::{Report, Scope};
use serde_json::json;

/// The bodies of all events after the first `seen` of them.
fn bodies(harness: &Harness<'_>, seen: usize) -> Vec<EventBody> {
    harness.events().into_iter().skip(seen).map(|event| event.body).collect()
}

/// The tasks and names of all events after the first `seen` of them.
fn tasks_and_names(harness: &Harness<'_>, seen: usize) -> Vec<(Option<TaskId>, &'static str)> {
    harness.events()[seen..].iter().map(|event| (event.task, event.body.name())).collect()
}

fn created(index: u32, fanout: Option<FanoutSize>) -> EventBody {
    EventBody::TaskCreated { index, parent: None, fanout, policy: Policy::Fail, has_join: false }
}

pub fn submission_records_run_and_root_tasks(harness: &Harness<'_>) {
    let tasks = [
        TaskDraft::new("A"),
        TaskDraft::new("P").input(json!({"fanout": 3})),
        TaskDraft::new("Q").input(json!({"fanout": [1, 2]})),
        TaskDraft::new("R").open(),
    ];
    let (run, roots) = harness.submit_tasks(tasks);
    let expected = [
        EventBody::RunCreated { policy: Policy::Fail, has_join: false },
        EventBody::RunSealed { total: 4 },
        created(1, None),
        created(2, Some(FanoutSize::Fixed(3))),
        created(3, Some(FanoutSize::Fixed(2))),
        created(4, Some(FanoutSize::Open)),
    ];
    assert_eq!(bodies(harness, 0), expected);
    let events = harness.events();
    assert!(events.iter().all(|event| event.run == run && event.at == harness.now()));
    let tasks: Vec<_> = events.iter().filter_map(|event| event.task).collect();
    assert_eq!(tasks, roots);
}

pub fn open_run_is_sealed_later(harness: &Harness<'_>) {
    let run = harness.submit(&RunDraft::new().open());
    harness.append_tasks(run, 1, [TaskDraft::new("A")]).expect("append succeeds");
    harness.seal_run(run, 1).expect("seal succeeds");
    let expected = [
        EventBody::RunCreated { policy: Policy::Fail, has_join: false },
        created(1, None),
        EventBody::RunSealed { total: 1 },
    ];
    assert_eq!(bodies(harness, 0), expected);
}

pub fn fan_out_writes_one_event_per_transaction(harness: &Harness<'_>) {
    let (_, parent) =
        harness.submit_task(TaskDraft::new("P").input(json!({"fanout": [0, {"fanout": 7}, 0, 0, 0]})));
    let seen = harness.events().len();
    for _ in 0..2 {
        // The nested parent gets only ids that its own parent does not need.
        let _ = harness.fan_out_step(Scope::All, 3);
    }
    let children = harness.children(parent);
    let created = |first: u32, last, parents| EventBody::TaskFannedOut {
        first,
        last,
        first_id: children[first as usize - 1].id,
        parents,
    };
    let events = harness.events();
    let of_parent: Vec<_> =
        events.into_iter().skip(seen).filter(|event| event.task == Some(parent)).collect();
    let bodies: Vec<_> = of_parent.into_iter().map(|event| event.body).collect();
    assert_eq!(bodies, [EventBody::TaskStarted, created(1, 2, vec![(2, 7)]), created(3, 5, vec![])]);
}

pub fn task_start_is_followed_by_run_start(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 2})));
    let seen = harness.events().len();
    harness.fan_out();
    let expected = [(Some(parent), "task.started"), (None, "run.started"), (Some(parent), "task.fanned_out")];
    assert_eq!(tasks_and_names(harness, seen), expected);
    let (_, leaf) = harness.submit_leaf();
    let seen = harness.events().len();
    harness.succeed(leaf);
    let expected = [(Some(leaf), "task.started"), (None, "run.started"), (Some(leaf), "task.succeeded")];
    assert_eq!(tasks_and_names(harness, seen), expected);
}

pub fn append_writes_one_event(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_open_parent();
    harness.append(parent, 1, &["1"]).expect("append succeeds");
    let seen = harness.events().len();
    harness.append(parent, 1, &["1", "2", r#"{"fanout": 3}"#]).expect("append succeeds");
    harness.seal(parent, 3).expect("seal succeeds");
    let first_id = harness.children(parent)[1].id;
    let expected = [
        EventBody::TaskFannedOut { first: 2, last: 3, first_id, parents: vec![] },
        EventBody::TaskSealed { total: 3 },
    ];
    assert_eq!(bodies(harness, seen), expected);
}

pub fn failure_event_has_reason_and_retry_time(harness: &Harness<'_>) {
    let backoff = Backoff::fixed(1000).expect("backoff is valid");
    let drafts = [("A", 1), ("B", 0), ("C", 1)];
    let drafts = drafts.map(|(name, retries)| TaskDraft::new(name).max_retries(retries).backoff(backoff));
    let (_, roots) = harness.submit_tasks(drafts);
    for task in &roots {
        harness.start(*task);
    }
    let seen = harness.events().len();
    harness.fail(roots[0]);
    harness.fail(roots[1]);
    harness.fail_permanently(roots[2]);
    let failed = |reason, error: &str, due_at| EventBody::TaskFailed { reason, error: error.into(), due_at };
    let expected = [
        failed(FailureReason::Error, "it broke", Some(harness.now().plus_millis(1000))),
        failed(FailureReason::RetriesExhausted, "it broke", None),
        failed(FailureReason::NotRetryable, "it is broken", None),
    ];
    assert_eq!(bodies(harness, seen), expected);
}

pub fn lifecycle_events_are_in_order(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    harness.start(task);
    harness.fail(task);
    harness.retry();
    harness.succeed(task);
    harness.run_all_steps();
    let expected = [
        (None, "run.created"),
        (None, "run.sealed"),
        (Some(task), "task.created"),
        (Some(task), "task.started"),
        (None, "run.started"),
        (Some(task), "task.failed"),
        (Some(task), "task.retried"),
        (Some(task), "task.started"),
        (Some(task), "task.succeeded"),
        (None, "run.aggregated"),
    ];
    assert_eq!(tasks_and_names(harness, 0), expected);
}

pub fn aggregate_event_has_final_state(harness: &Harness<'_>) {
    for (leaf_ends, state) in [
        (Report::succeeded as fn(TaskId) -> Report, State::Succeeded),
        (|task| Report::failed_permanently(task, "it is broken"), State::Failed),
        (Report::cancelled, State::Cancelled),
    ] {
        let (_, parent, children) = harness.family(1);
        harness.apply(leaf_ends(children[0]));
        let seen = harness.events().len();
        harness.aggregate();
        assert_eq!(
            bodies(harness, seen),
            [EventBody::TaskAggregated { state }, EventBody::RunAggregated { state }]
        );
        assert_eq!(harness.state(parent), state);
    }
}

pub fn event_has_timestamp_of_its_step(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    for report in [Report::started(task), Report::succeeded(task)] {
        harness.advance_ms(1000);
        harness.apply(report);
        assert_eq!(harness.events().last().expect("event exists").at, harness.now());
    }
}

pub fn idle_step_writes_nothing(harness: &Harness<'_>) {
    let (_, _, children) = harness.family(3);
    let (_, parent) = harness.submit_open_parent();
    harness.append(parent, 1, &["1"]).expect("append succeeds");
    harness.submit_task(TaskDraft::new("A").due_at(harness.now().plus_millis(3_600_000)));
    harness.start(children[0]);
    harness.succeed(children[1]);
    harness.aggregate();
    harness.advance_ms(60_000);
    harness.writes_nothing(|| {
        for scope in [Scope::All, Scope::Run(harness.task(parent).run)] {
            let step = harness.bounded_step(scope, 100);
            let fanned_out = harness.fan_out_step(scope, 100);
            assert!(!fanned_out.more && fanned_out.children == 0);
            let (retried, promoted) = (harness.retry_step(&step), harness.promote_step(&step));
            assert!(!retried.more && retried.changed == 0 && !promoted.more && promoted.changed == 0);
            let decided = harness.aggregate_step(&step);
            assert!(!decided.more && decided.parents + decided.runs == 0);
        }
    });
}

pub fn clock_set_back_keeps_event_order(harness: &Harness<'_>) {
    let (run, task) = harness.submit_leaf();
    harness.advance_ms(-3_600_000);
    harness.start(task);
    harness.advance_ms(-3_600_000);
    harness.succeed(task);
    harness.run_all_steps();
    assert_eq!(harness.run_state(run), State::Succeeded);
    let events = harness.events();
    assert!(events.is_sorted_by(|a, b| a.seq < b.seq));
    assert_eq!(events.last().expect("event exists").at, harness.now());
}
