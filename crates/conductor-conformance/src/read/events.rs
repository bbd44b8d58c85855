//! Events: one per transition, in commit order, with what is needed to compute everything again.

use crate::World;
use conductor_model::{
    Backoff, EventBody, FailureReason, FanoutSize, Policy, RunDraft, State, TaskDraft, TaskId,
};
use conductor_store::{Report, Scope};
use serde_json::json;

/// The bodies of all events after the first `seen` of them.
fn bodies(world: &World<'_>, seen: usize) -> Vec<EventBody> {
    world.events().into_iter().skip(seen).map(|event| event.body).collect()
}

/// The names of those events, each with its task.
fn told(world: &World<'_>, seen: usize) -> Vec<(Option<TaskId>, &'static str)> {
    world.events()[seen..].iter().map(|event| (event.task, event.body.name())).collect()
}

fn created(index: u32, fanout: Option<FanoutSize>) -> EventBody {
    EventBody::TaskCreated { index, parent: None, fanout, policy: Policy::Fail, has_join: false }
}

pub fn submission_records_run_and_root_tasks(world: &World<'_>) {
    let tasks = [
        TaskDraft::new("A"),
        TaskDraft::new("P").input(json!({"fanout": 3})),
        TaskDraft::new("Q").input(json!({"fanout": [1, 2]})),
        TaskDraft::new("R").open(),
    ];
    let (run, roots) = world.run_of(tasks);
    let expected = [
        EventBody::RunCreated { policy: Policy::Fail, has_join: false },
        EventBody::RunSealed { total: 4 },
        created(1, None),
        created(2, Some(FanoutSize::Fixed(3))),
        created(3, Some(FanoutSize::Fixed(2))),
        created(4, Some(FanoutSize::Open)),
    ];
    assert_eq!(bodies(world, 0), expected);
    let events = world.events();
    assert!(events.iter().all(|event| event.run == run && event.at == world.now()));
    let tasks: Vec<_> = events.iter().filter_map(|event| event.task).collect();
    assert_eq!(tasks, roots);
}

pub fn open_run_is_sealed_later(world: &World<'_>) {
    let run = world.submit(&RunDraft::new().open());
    world.append_tasks(run, 1, [TaskDraft::new("A")]).expect("an append");
    world.seal_run(run, 1).expect("a seal");
    let expected = [
        EventBody::RunCreated { policy: Policy::Fail, has_join: false },
        created(1, None),
        EventBody::RunSealed { total: 1 },
    ];
    assert_eq!(bodies(world, 0), expected);
}

pub fn fan_out_writes_one_event_per_transaction(world: &World<'_>) {
    let (_, parent) = world.one(TaskDraft::new("P").input(json!({"fanout": [0, {"fanout": 7}, 0, 0, 0]})));
    let seen = world.events().len();
    for _ in 0..2 {
        // The nested parent waits for the ids that its own parent leaves over.
        let _ = world.fan_out_step(Scope::All, 3);
    }
    let children = world.children(parent);
    let created = |first: u32, last, parents| EventBody::TaskFannedOut {
        first,
        last,
        first_id: children[first as usize - 1].id,
        parents,
    };
    let events = world.events();
    let of_parent: Vec<_> =
        events.into_iter().skip(seen).filter(|event| event.task == Some(parent)).collect();
    let bodies: Vec<_> = of_parent.into_iter().map(|event| event.body).collect();
    assert_eq!(bodies, [EventBody::TaskStarted, created(1, 2, vec![(2, 7)]), created(3, 5, vec![])]);
}

pub fn task_start_is_followed_by_run_start(world: &World<'_>) {
    let (_, parent) = world.one(TaskDraft::new("P").input(json!({"fanout": 2})));
    let seen = world.events().len();
    world.fan_out();
    let expected = [(Some(parent), "task.started"), (None, "run.started"), (Some(parent), "task.fanned_out")];
    assert_eq!(told(world, seen), expected);
    let (_, leaf) = world.leaf();
    let seen = world.events().len();
    world.succeed(leaf);
    let expected = [(Some(leaf), "task.started"), (None, "run.started"), (Some(leaf), "task.succeeded")];
    assert_eq!(told(world, seen), expected);
}

pub fn append_writes_one_event(world: &World<'_>) {
    let (_, parent) = world.open_parent();
    world.append(parent, 1, &["1"]).expect("an append");
    let seen = world.events().len();
    world.append(parent, 1, &["1", "2", r#"{"fanout": 3}"#]).expect("an append");
    world.seal(parent, 3).expect("a seal");
    let first_id = world.children(parent)[1].id;
    let expected = [
        EventBody::TaskFannedOut { first: 2, last: 3, first_id, parents: vec![] },
        EventBody::TaskSealed { total: 3 },
    ];
    assert_eq!(bodies(world, seen), expected);
}

pub fn failure_event_has_reason_and_retry_time(world: &World<'_>) {
    let backoff = Backoff::fixed(1000).expect("a backoff");
    let drafts = [("A", 1), ("B", 0), ("C", 1)];
    let drafts = drafts.map(|(name, retries)| TaskDraft::new(name).max_retries(retries).backoff(backoff));
    let (_, roots) = world.run_of(drafts);
    for task in &roots {
        world.start(*task);
    }
    let seen = world.events().len();
    world.fail(roots[0]);
    world.fail(roots[1]);
    world.fail_for_good(roots[2]);
    let failed = |reason, error: &str, due_at| EventBody::TaskFailed { reason, error: error.into(), due_at };
    let expected = [
        failed(FailureReason::Error, "it broke", Some(world.now().plus_millis(1000))),
        failed(FailureReason::RetriesExhausted, "it broke", None),
        failed(FailureReason::NotRetryable, "it is broken", None),
    ];
    assert_eq!(bodies(world, seen), expected);
}

pub fn lifecycle_events_are_in_order(world: &World<'_>) {
    let (_, task) = world.leaf();
    world.start(task);
    world.fail(task);
    world.retry();
    world.succeed(task);
    world.settle();
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
    assert_eq!(told(world, 0), expected);
}

pub fn aggregate_event_has_final_state(world: &World<'_>) {
    for (leaf_ends, state) in [
        (Report::succeeded as fn(TaskId) -> Report, State::Succeeded),
        (|task| Report::failed_permanently(task, "it is broken"), State::Failed),
        (Report::cancelled, State::Cancelled),
    ] {
        let (_, parent, children) = world.family(1);
        world.apply(leaf_ends(children[0]));
        let seen = world.events().len();
        world.aggregate();
        assert_eq!(
            bodies(world, seen),
            [EventBody::TaskAggregated { state }, EventBody::RunAggregated { state }]
        );
        assert_eq!(world.state(parent), state);
    }
}

pub fn event_has_timestamp_of_its_step(world: &World<'_>) {
    let (_, task) = world.leaf();
    for report in [Report::started(task), Report::succeeded(task)] {
        world.pass_ms(1000);
        world.apply(report);
        assert_eq!(world.events().last().expect("an event").at, world.now());
    }
}

pub fn idle_step_writes_nothing(world: &World<'_>) {
    let (_, _, children) = world.family(3);
    let (_, parent) = world.open_parent();
    world.append(parent, 1, &["1"]).expect("an append");
    world.one(TaskDraft::new("A").due_at(world.now().plus_millis(3_600_000)));
    world.start(children[0]);
    world.succeed(children[1]);
    world.pass_ms(60_000);
    world.writes_nothing(|| {
        for scope in [Scope::All, Scope::Run(world.task(parent).run)] {
            let step = world.step_of(scope, 100);
            let fanned_out = world.fan_out_step(scope, 100);
            assert!(!fanned_out.more && fanned_out.children == 0);
            let (retried, promoted) = (world.retry_step(&step), world.promote_step(&step));
            assert!(!retried.more && retried.changed == 0 && !promoted.more && promoted.changed == 0);
            let decided = world.aggregate_step(&step);
            assert!(!decided.more && decided.parents + decided.runs == 0);
        }
    });
}

pub fn clock_set_back_keeps_event_order(world: &World<'_>) {
    let (run, task) = world.leaf();
    world.pass_ms(-3_600_000);
    world.start(task);
    world.pass_ms(-3_600_000);
    world.succeed(task);
    world.settle();
    assert_eq!(world.run_state(run), State::Succeeded);
    let events = world.events();
    assert!(events.is_sorted_by(|a, b| a.seq < b.seq));
    assert_eq!(events.last().expect("an event").at, world.now());
}
