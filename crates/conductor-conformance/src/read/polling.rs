//! What an engine polls: the change token, the next due time, and the blockers of a run.

use crate::Harness;
use crate::harness::test_engine::{failure, success};
use conductor_model::{Backoff, RunDraft, TaskDraft};
use conductor_store::{Fence, FenceOutcome, RunBlockers};
use serde_json::json;

pub fn change_token_changes_with_every_write(harness: &Harness<'_>) {
    let mut last = harness.change_token();
    let mut assert_changed = |by: &str| {
        let change_token = harness.change_token();
        assert_ne!(change_token, last, "{by}");
        last = change_token;
    };
    let (_, parent) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 4})).max_retries(1));
    assert_changed("a submission");
    harness.fan_out();
    assert_changed("a fan-out");
    let children: Vec<_> = harness.children(parent).iter().map(|child| child.id).collect();
    harness.fail(children[0]);
    assert_changed("a report");
    harness.retry();
    assert_changed("a retry");
    let engine = harness.engine();
    assert_changed("a registration");
    let claimed = engine.claim("P", 3);
    assert_changed("a claim");
    harness.advance_ms(1);
    let _ = engine.renew(&[claimed[0].fence]);
    assert_changed("a renewal");
    let _ = engine.release(&[claimed[0].fence]);
    assert_changed("a release");
    engine.settle_one(&claimed[1], success());
    assert_changed("a settlement");
    drop(engine);
    harness.rescue();
    assert_changed("a rescue");
    harness.run_all_steps();
    assert_changed("a step");
}

pub fn change_token_stays_without_writes(harness: &Harness<'_>) {
    let (run, _, children) = harness.family(3);
    harness.succeed(children[0]);
    let engine = harness.engine();
    let claimed = engine.claim("P", 1);
    harness.aggregate();
    let change_token = || harness.change_token();
    let before = change_token();
    harness.run(run);
    harness.tasks(run);
    harness.rows();
    assert_eq!(
        harness.fan_out() + harness.retry() + harness.promote() + harness.aggregate().0 + harness.rescue(),
        0
    );
    assert!(engine.claim("Q", 10).is_empty());
    let stale = Fence { attempt: 9, ..claimed[0].fence };
    assert_eq!(engine.renew(&[stale]), [FenceOutcome::Stale]);
    assert_eq!(change_token(), before);
}

pub fn next_due_is_earliest_waiting_time(harness: &Harness<'_>) {
    let next = || harness.store().next_due().expect("query succeeds");
    assert_eq!(next(), None);
    let engine = harness.engine();
    let start = harness.now();
    let (_, task) =
        harness.submit_task(TaskDraft::new("A").backoff(Backoff::fixed(20_000).expect("backoff is valid")));
    harness.start(harness.submit_leaf().1);
    assert_eq!(next(), None, "ready tasks and external tasks have no due time");
    let delayed = start.plus_millis(60_000);
    harness.submit_task(TaskDraft::new("B").due_at(delayed));
    assert_eq!(next(), Some(delayed), "a delayed start");
    let claimed = engine.claim_one();
    assert_eq!((claimed.fence.task, next()), (task, Some(start.plus_millis(30_000))), "a lease");
    harness.advance_ms(5000);
    assert_eq!(engine.renew(&[claimed.fence]), [FenceOutcome::Applied]);
    assert_eq!(next(), Some(start.plus_millis(35_000)), "a renewed lease");
    engine.settle_one(&claimed, failure("it broke"));
    assert_eq!(next(), Some(start.plus_millis(25_000)), "a retry");
    harness.advance_ms(20_000);
    assert_eq!(harness.retry(), 1);
    assert_eq!(next(), Some(delayed));
    harness.advance_ms(60_000);
    assert_eq!(next(), Some(delayed), "an overdue task stays due");
    assert_eq!(harness.promote(), 1);
    assert_eq!(next(), None);
}

pub fn run_blockers_name_kinds_and_external_tasks(harness: &Harness<'_>) {
    let blockers = |run| harness.store().run_blockers(run, 10).expect("query succeeds");
    let nothing = RunBlockers::default();
    let engine = harness.engine();
    let (run, task) = harness.submit_task(TaskDraft::new("A").max_retries(1));
    assert_eq!(
        blockers(run),
        RunBlockers { ready: vec!["A".parse().expect("kind is valid")], ..RunBlockers::default() }
    );
    let claimed = engine.claim_one();
    assert_eq!(blockers(run), RunBlockers { claimed: true, ..nothing.clone() });
    engine.settle_one(&claimed, failure("no"));
    assert_eq!(blockers(run), RunBlockers { other_work: true, ..nothing.clone() }, "a retry is due");
    harness.retry();
    harness.start(task);
    assert_eq!(blockers(run), RunBlockers { external_tasks: vec![task], ..nothing.clone() });
    harness.succeed(task);
    assert_eq!(blockers(run), RunBlockers { other_work: true, ..nothing.clone() }, "the run can be decided");
    harness.aggregate();
    assert!(blockers(run).is_nothing());
    let (of_items, _) = harness.submit_open_parent();
    let of_tasks = harness.submit(&RunDraft::new().open());
    for open in [of_items, of_tasks] {
        assert_eq!(blockers(open), RunBlockers { open: true, ..nothing.clone() });
    }
    let (wide, _) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 2})));
    assert_eq!(blockers(wide), RunBlockers { other_work: true, ..nothing }, "children are missing");
    let late = harness.submit(&RunDraft::new().deadline_ms(1000).task(TaskDraft::new("A")));
    assert!(blockers(late).other_work, "a deadline is pending");
    harness.advance_ms(1000);
    assert_eq!(harness.store().expire(&harness.step()).expect("step succeeds").changed, 1);
    harness.run_all_steps();
    assert!(blockers(late).is_nothing());
}
