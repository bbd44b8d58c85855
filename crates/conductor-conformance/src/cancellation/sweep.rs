//! Sweep: what is open below a mark is cancelled, in bounded steps.

use crate::World;
use crate::harness::test_engine::want;
use conductor_model::{CancelCause, EventBody, RunId, State, TaskDraft};
use conductor_store::{FenceOutcome, Scope, StoreError};
use serde_json::json;

pub fn step_sweeps_at_most_its_limit(world: &World<'_>) {
    for (limit, most) in [(0, 1), (1, 1), (2, 2), (1000, 1000)] {
        let (run, parent, children) = world.family(10);
        let _ = world.cancel_task(parent);
        let step = world.step_of(Scope::Run(run), limit);
        let mut swept = 0;
        loop {
            let done = world.sweep_step(&step);
            assert!(done.tasks <= most, "{} with a limit of {limit}", done.tasks);
            assert_eq!(done.parents, 0);
            swept += done.tasks;
            if !done.more {
                break;
            }
            assert!(done.tasks > 0, "a step that asks for another one did something");
        }
        assert_eq!(swept, 10);
        assert_eq!(world.states(&children), [State::Cancelled; 10]);
        assert_eq!(world.aggregate(), (1, 1));
    }
}

pub fn bounded_sweep_reaches_every_level(world: &World<'_>) {
    for limit in [1, 2, 3, 1000] {
        let tree = json!({"fanout": [{"fanout": [{"fanout": 2}, 0]}, {"fanout": 3}, 0]});
        let (run, _) = world.run_of([TaskDraft::new("P").input(tree), TaskDraft::new("A")]);
        world.fan_out();
        let _ = world.cancel_run(run);
        let step = world.step_of(Scope::All, limit);
        let (mut tasks, mut parents, mut steps) = (0, 0, 0);
        loop {
            let done = world.sweep_step(&step);
            assert!(done.tasks + done.parents <= limit, "{done:?} with a limit of {limit}");
            tasks += done.tasks;
            parents += done.parents;
            steps += 1;
            assert!(steps < 100, "it comes to an end");
            if !done.more {
                break;
            }
        }
        assert_eq!((tasks, parents), (8, 4), "with a limit of {limit}");
        world.aggregate();
        assert_eq!(world.run_state(run), State::Cancelled);
    }
}

pub fn large_cancel_does_not_block_small_one(world: &World<'_>) {
    let (large, _, _) = world.family(500);
    let (small, parent, children) = world.family(3);
    let _ = world.cancel_run(large);
    let _ = world.cancel_task(parent);
    // Each run has half of the step: the large one comes to its parent.
    let done = world.sweep_step(&world.step_of(Scope::All, 10));
    assert_eq!((done.tasks, done.parents, done.more), (3, 1, true));
    assert_eq!(world.states(&children), [State::Cancelled; 3]);
    world.aggregate();
    assert_eq!((world.run_state(small), world.run_state(large)), (State::Cancelled, State::Running));
}

pub fn idle_sweep_writes_nothing(world: &World<'_>) {
    let (run, parent, _) = world.family(3);
    let idle = || {
        for scope in [Scope::All, Scope::Run(run)] {
            let done = world.writes_nothing(|| world.sweep_step(&world.step_of(scope, 100)));
            assert_eq!((done.tasks, done.parents, done.more), (0, 0, false));
        }
    };
    idle();
    let _ = world.cancel_task(parent);
    assert_eq!(world.sweep(), (3, 0));
    idle();
    world.aggregate();
    idle();
}

pub fn settled_family_is_not_visited_again(world: &World<'_>) {
    let (run, parent, children) = world.family(4);
    for child in &children {
        world.succeed(*child);
    }
    let (_, roots) = world.run_of([TaskDraft::new("Q").input(json!({"fanout": 2}))]);
    world.fan_out();
    let _ = world.cancel_task(roots[0]);
    let step = world.step_of(Scope::All, 2);
    let done = world.sweep_step(&step);
    assert_eq!((done.tasks, done.parents), (2, 0));
    world.writes_nothing(|| assert!(!world.sweep_step(&step).more, "{parent} and {run} are not marked"));
}

pub fn settled_siblings_are_not_changed(world: &World<'_>) {
    let hands = world.hands();
    let (run, parent, children) = world.family_of(TaskDraft::new("P").kind("A").input(json!({"fanout": 5})));
    let claimed = hands.claim("A", 1);
    hands.end(&claimed[0], crate::harness::test_engine::success_with(crate::harness::json_of("[1]")));
    world.fail_for_good(children[1]);
    world.cancel(children[2]);
    let before: Vec<_> = children[..3].iter().map(|child| world.task(*child)).collect();
    world.pass_ms(1000);
    let _ = world.cancel_run(run);
    let mut swept = 0;
    while world.sweep_step(&world.step_of(Scope::All, 1)).more {
        swept += 1;
        assert!(swept < 20);
    }
    let after: Vec<_> = children[..3].iter().map(|child| world.task(*child)).collect();
    assert_eq!(before, after);
    assert_eq!(world.states(&children[3..]), [State::Cancelled; 2]);
    world.aggregate();
    assert_eq!((world.numbers(parent).failed, world.numbers(parent).cancelled), (1, 3));
}

pub fn swept_claim_is_stale(world: &World<'_>) {
    let hands = world.hands();
    let (run, _) = world.run_of([TaskDraft::new("A"), TaskDraft::new("A")]);
    let (_, other) = world.leaf();
    let claimed = hands.claim("A", 3);
    let _ = world.cancel_run(run);
    assert_eq!(world.sweep(), (2, 0));
    for task in &claimed {
        let row = world.task(task.fence.task);
        if task.run == run {
            assert_eq!((row.state, row.lease_until, row.attempt), (State::Cancelled, None, 1));
            hands.assert_stale(task.fence);
        } else {
            assert_eq!((row.id, row.state), (other, State::Running));
            assert_eq!(hands.renew(&[task.fence]), [FenceOutcome::Applied]);
        }
    }
    drop(hands);
    assert_eq!(world.rescue(), 1, "only what is still held is taken back");
}

pub fn scope_of_one_run_excludes_others(world: &World<'_>) {
    let families = [world.family(2), world.family(2)];
    for (run, _, _) in &families {
        let _ = world.cancel_run(*run);
    }
    let scope = world.step_of(Scope::Run(families[0].0), 100);
    while world.sweep_step(&scope).more {}
    assert_eq!(world.states(&families[0].2), [State::Cancelled; 2]);
    assert_eq!(world.states(&families[1].2), [State::Pending; 2]);
    assert_eq!(world.sweep(), (2, 1));
}

pub fn unknown_run_is_rejected_by_sweep_and_expire(world: &World<'_>) {
    let run = RunId::from_u128(1);
    let step = world.step_of(Scope::Run(run), 100);
    for refusal in [world.store().sweep(&step).map(|_| ()), world.store().expire(&step).map(|_| ())] {
        assert!(matches!(refusal, Err(StoreError::RunNotFound(id)) if id == run), "{refusal:?}");
    }
}

pub fn one_event_per_parent_lists_swept_children(world: &World<'_>) {
    let items = json!({"fanout": [0, {"fanout": 1}, 0, 0, 0]});
    let (run, parent, children) = world.family_of(TaskDraft::new("P").input(items));
    world.succeed(children[2]);
    world.start(children[3]);
    let _ = world.cancel_run(run);
    let seen = world.events().len();
    while world.sweep_step(&world.step_of(Scope::All, 1000)).more {}
    let told: Vec<_> = world.events()[seen..].iter().map(|event| (event.task, event.body.clone())).collect();
    let swept = |children: &[(u32, u32)]| EventBody::TaskSwept { children: children.to_vec() };
    let expected = [
        (None, EventBody::RunSwept { children: vec![(1, 1)] }),
        (Some(parent), swept(&[(1, 2), (4, 5)])),
        (Some(children[1]), swept(&[(1, 1)])),
    ];
    assert_eq!(told, expected);
    assert_eq!(world.task(children[1]).cancel_cause, Some(CancelCause::Ancestor));
}

pub fn one_step_sweeps_several_families(world: &World<'_>) {
    let (run, roots) =
        world.run_of(["P", "Q", "R"].map(|name| TaskDraft::new(name).input(json!({"fanout": 2}))));
    world.fan_out();
    for root in &roots {
        let _ = world.cancel_task(*root);
    }
    let done = world.sweep_step(&world.step_of(Scope::All, 6));
    assert_eq!((done.tasks, done.parents), (6, 0));
    assert_eq!(world.aggregate(), (3, 1));
    assert_eq!(world.run_state(run), State::Cancelled);
}

pub fn wide_family_is_swept_whole(world: &World<'_>) {
    let hands = world.hands();
    let (run, _, _) = world.family_of(TaskDraft::new("P").kind("A").input(json!({"fanout": 1500})));
    let claimed = hands.claim("A", 300);
    let _ = world.cancel_run(run);
    for task in claimed.iter().step_by(3) {
        hands.end(task, crate::harness::test_engine::success());
    }
    let mut swept = 0;
    loop {
        let done = world.sweep_step(&world.step_of(Scope::All, 400));
        swept += done.tasks;
        if !done.more {
            break;
        }
    }
    assert_eq!(swept, 1400);
    world.assert_nothing_to_claim(&hands.request([want("A", 10)], 10));
    world.aggregate();
    assert_eq!((world.run_state(run), world.run(run).state_counts.succeeded), (State::Cancelled, 100));
}
