//! Sweep: open tasks below a cancelled node are cancelled, in bounded steps.

use crate::Harness;
use crate::harness::test_engine::{success, success_with};
use crate::harness::{drain, json_of};
use conductor_model::{CancelCause, EventBody, RunId, State, TaskDraft};
use conductor_store::{FenceOutcome, Scope, StoreError};
use serde_json::json;

pub fn step_sweeps_at_most_its_limit(harness: &Harness<'_>) {
    for (limit, max) in [(0, 1), (1, 1), (2, 2), (1000, 1000)] {
        let (run, parent, children) = harness.family(10);
        let _ = harness.cancel_task(parent);
        let step = harness.bounded_step(Scope::Run(run), limit);
        let outcomes = drain(|| harness.sweep_step(&step));
        for done in &outcomes {
            assert!(done.tasks <= max, "{} with a limit of {limit}", done.tasks);
            assert_eq!(done.parents, 0);
            assert!(done.tasks > 0 || !done.more, "a step that reports more has swept tasks");
        }
        assert_eq!(outcomes.iter().map(|done| done.tasks).sum::<u32>(), 10);
        assert_eq!(harness.states(&children), [State::Cancelled; 10]);
        assert_eq!(harness.aggregate(), (1, 1));
    }
}

pub fn bounded_sweep_reaches_every_level(harness: &Harness<'_>) {
    for limit in [1, 2, 3, 1000] {
        let tree = json!({"fanout": [{"fanout": [{"fanout": 2}, 0]}, {"fanout": 3}, 0]});
        let (run, _) = harness.submit_tasks([TaskDraft::new("P").input(tree), TaskDraft::new("A")]);
        harness.fan_out();
        let _ = harness.cancel_run(run);
        let step = harness.bounded_step(Scope::All, limit);
        let outcomes = drain(|| harness.sweep_step(&step));
        for done in &outcomes {
            assert!(done.tasks + done.parents <= limit, "{done:?} with a limit of {limit}");
        }
        assert!(outcomes.len() < 100, "the sweep finishes");
        let tasks: u32 = outcomes.iter().map(|done| done.tasks).sum();
        let parents: u32 = outcomes.iter().map(|done| done.parents).sum();
        assert_eq!((tasks, parents), (8, 4), "with a limit of {limit}");
        harness.aggregate();
        assert_eq!(harness.run_state(run), State::Cancelled);
    }
}

pub fn large_cancel_does_not_block_small_one(harness: &Harness<'_>) {
    let (large, _, _) = harness.family(500);
    let (small, parent, children) = harness.family(3);
    let _ = harness.cancel_run(large);
    let _ = harness.cancel_task(parent);
    // Each run gets half of the step, in which the large run gets no further than its parent.
    let done = harness.sweep_step(&harness.bounded_step(Scope::All, 10));
    assert_eq!((done.tasks, done.parents, done.more), (3, 1, true));
    assert_eq!(harness.states(&children), [State::Cancelled; 3]);
    harness.aggregate();
    assert_eq!((harness.run_state(small), harness.run_state(large)), (State::Cancelled, State::Running));
}

pub fn many_parents_do_not_block_small_cancel(harness: &Harness<'_>) {
    let nested = vec![json!({"fanout": 1}); 2_500];
    let (large, parent) = harness.submit_task(TaskDraft::new("P").input(json!({ "fanout": nested })));
    while harness.child_counts(parent).created < 2_500 {
        let _ = harness.fan_out_step(Scope::Run(large), 10_000);
    }
    let (_, small, children) = harness.family(3);
    for parent in [parent, small] {
        let _ = harness.cancel_task(parent);
    }
    // Each parent is a row of its own, and there are more of them than rows in a step.
    assert!(harness.sweep_step(&harness.bounded_step(Scope::All, 50_000)).more);
    assert_eq!(harness.states(&children), [State::Cancelled; 3]);
}

pub fn idle_sweep_writes_nothing(harness: &Harness<'_>) {
    let (run, parent, _) = harness.family(3);
    let idle = || {
        for scope in [Scope::All, Scope::Run(run)] {
            let done = harness.writes_nothing(|| harness.sweep_step(&harness.bounded_step(scope, 100)));
            assert_eq!((done.tasks, done.parents, done.more), (0, 0, false));
        }
    };
    idle();
    let _ = harness.cancel_task(parent);
    assert_eq!(harness.sweep(), (3, 0));
    idle();
    harness.aggregate();
    idle();
}

pub fn settled_family_is_not_visited_again(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(4);
    for child in &children {
        harness.succeed(*child);
    }
    let (_, roots) = harness.submit_tasks([TaskDraft::new("Q").input(json!({"fanout": 2}))]);
    harness.fan_out();
    let _ = harness.cancel_task(roots[0]);
    let step = harness.bounded_step(Scope::All, 2);
    let done = harness.sweep_step(&step);
    assert_eq!((done.tasks, done.parents), (2, 0));
    harness.writes_nothing(|| {
        assert!(!harness.sweep_step(&step).more, "{parent} and {run} are not being cancelled");
    });
}

pub fn settled_siblings_are_not_changed(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, parent, children) =
        harness.family_of(TaskDraft::new("P").kind("A").input(json!({"fanout": 5})));
    let claimed = engine.claim("A", 1);
    engine.settle_one(&claimed[0], success_with(json_of("[1]")));
    harness.fail_permanently(children[1]);
    harness.report_cancelled(children[2]);
    let before: Vec<_> = children[..3].iter().map(|child| harness.task(*child)).collect();
    harness.advance_ms(1000);
    let _ = harness.cancel_run(run);
    assert!(drain(|| harness.sweep_step(&harness.bounded_step(Scope::All, 1))).len() <= 20);
    let after: Vec<_> = children[..3].iter().map(|child| harness.task(*child)).collect();
    assert_eq!(before, after);
    assert_eq!(harness.states(&children[3..]), [State::Cancelled; 2]);
    harness.aggregate();
    assert_eq!((harness.child_counts(parent).failed, harness.child_counts(parent).cancelled), (1, 3));
}

pub fn swept_claim_is_stale(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, _) = harness.submit_tasks([TaskDraft::new("A"), TaskDraft::new("A")]);
    let (_, other) = harness.submit_leaf();
    let claimed = engine.claim("A", 3);
    let _ = harness.cancel_run(run);
    assert_eq!(harness.sweep(), (2, 0));
    for task in &claimed {
        let row = harness.task(task.fence.task);
        if task.run == run {
            assert_eq!((row.state, row.lease_until, row.attempt), (State::Cancelled, None, 1));
            engine.assert_stale(task.fence);
        } else {
            assert_eq!((row.id, row.state), (other, State::Running));
            assert_eq!(engine.renew(&[task.fence]), [FenceOutcome::Applied]);
        }
    }
    drop(engine);
    assert_eq!(harness.rescue(), 1, "only the remaining claim is rescued");
}

pub fn scope_of_one_run_excludes_others(harness: &Harness<'_>) {
    let families = [harness.family(2), harness.family(2)];
    for (run, _, _) in &families {
        let _ = harness.cancel_run(*run);
    }
    let scope = harness.bounded_step(Scope::Run(families[0].0), 100);
    while harness.sweep_step(&scope).more {}
    assert_eq!(harness.states(&families[0].2), [State::Cancelled; 2]);
    assert_eq!(harness.states(&families[1].2), [State::Pending; 2]);
    assert_eq!(harness.sweep(), (2, 1));
}

pub fn unknown_run_is_rejected_by_sweep_and_expire(harness: &Harness<'_>) {
    let run = RunId::from_u128(1);
    let step = harness.bounded_step(Scope::Run(run), 100);
    for refusal in [harness.store().sweep(&step).map(|_| ()), harness.store().expire(&step).map(|_| ())] {
        assert!(matches!(refusal, Err(StoreError::RunNotFound(id)) if id == run), "{refusal:?}");
    }
}

pub fn one_event_per_parent_lists_swept_children(harness: &Harness<'_>) {
    let items = json!({"fanout": [0, {"fanout": 1}, 0, 0, 0]});
    let (run, parent, children) = harness.family_of(TaskDraft::new("P").input(items));
    harness.succeed(children[2]);
    harness.start(children[3]);
    let _ = harness.cancel_run(run);
    let seen = harness.events().len();
    while harness.sweep_step(&harness.bounded_step(Scope::All, 1000)).more {}
    let events: Vec<_> =
        harness.events()[seen..].iter().map(|event| (event.task, event.body.clone())).collect();
    let swept = |children: &[(u32, u32)]| EventBody::TaskSwept { children: children.to_vec() };
    let expected = [
        (None, EventBody::RunSwept { children: vec![(1, 1)] }),
        (Some(parent), swept(&[(1, 2), (4, 5)])),
        (Some(children[1]), swept(&[(1, 1)])),
    ];
    assert_eq!(events, expected);
    assert_eq!(harness.task(children[1]).cancel_cause, Some(CancelCause::Ancestor));
}

pub fn one_step_sweeps_several_families(harness: &Harness<'_>) {
    let (run, roots) =
        harness.submit_tasks(["P", "Q", "R"].map(|name| TaskDraft::new(name).input(json!({"fanout": 2}))));
    harness.fan_out();
    for root in &roots {
        let _ = harness.cancel_task(*root);
    }
    let done = harness.sweep_step(&harness.bounded_step(Scope::All, 6));
    assert_eq!((done.tasks, done.parents), (6, 0));
    assert_eq!(harness.aggregate(), (3, 1));
    assert_eq!(harness.run_state(run), State::Cancelled);
}

pub fn wide_family_is_swept_whole(harness: &Harness<'_>) {
    let engine = harness.engine();
    let (run, _, _) = harness.family_of(TaskDraft::new("P").kind("A").input(json!({"fanout": 1500})));
    let claimed = engine.claim("A", 300);
    let _ = harness.cancel_run(run);
    for task in claimed.iter().step_by(3) {
        engine.settle_one(task, success());
    }
    let outcomes = drain(|| harness.sweep_step(&harness.bounded_step(Scope::All, 400)));
    assert_eq!(outcomes.iter().map(|done| done.tasks).sum::<u32>(), 1400);
    engine.assert_nothing_to_claim();
    harness.aggregate();
    assert_eq!((harness.run_state(run), harness.run(run).state_counts.succeeded), (State::Cancelled, 100));
}
