//! Rows of parents, runs and joins that another program changed or deleted.

use crate::helpers::{FAILED, PENDING, SUCCEEDED, assert_claimed_only, fences};
use crate::support::TestStore;
use conductor_model::{ErrorText, Policy, RunDraft, State, TaskDraft};
use conductor_store::{
    Admin, Cancel, EventFilter, FenceOutcome, NodeId, Query, Release, Renew, Report, Rescue, Seal, Step,
    Store, StoreError,
};
use serde_json::json;

#[test]
fn task_without_run_or_parent_fails_at_claim() {
    for (change, error) in [
        ("DELETE FROM conductor_runs WHERE key = 1", "the run with row key 1: its row is missing"),
        ("DELETE FROM conductor_parents WHERE task = 1024", "the task with row key 1024: its row is missing"),
    ] {
        let test = TestStore::new();
        test.submit_task(TaskDraft::new("P").kind("A").input(json!({"fanout": 3})));
        let intact = test.submit_task(TaskDraft::new("A"));
        assert_eq!(test.fan_out(), 3);
        test.execute(change).unwrap();
        // The corrupt rows use up the limit, and the outcome says that there is more.
        let claimed = test.claim_up_to(1);
        assert!(claimed.tasks().is_empty() && claimed.more && claimed.rejected == 1, "{claimed:?}");
        let claimed = test.claim();
        assert_claimed_only(&claimed, &intact, change);
        for child in 3072..=3074 {
            assert_eq!(test.raw(child), (FAILED, Some(error.into())), "{change}");
        }
        assert_eq!(test.claim_up_to(10).rejected, 0, "each row is rejected once");
        test.run_steps_until_idle();
    }
}

#[test]
fn claims_below_corrupt_parent_work_as_usual() {
    for change in [
        "DELETE FROM conductor_runs WHERE key = 1",
        "DELETE FROM conductor_blocks WHERE block = 1",
        "DELETE FROM conductor_parents WHERE task = 1024",
        "UPDATE conductor_blocks SET is_parent = 0 WHERE block = 1",
        "UPDATE conductor_parents SET sealed = 0 WHERE task = 1024",
        "UPDATE conductor_parents SET open_children = 99999999999 WHERE task = 1024",
        "UPDATE conductor_parents SET failed_children = 4294967295 WHERE task = 1024",
        "UPDATE conductor_parents SET children = 4 WHERE task = 1024",
        "UPDATE conductor_runs SET running = 9223372036854775807 WHERE key = 1",
        "UPDATE conductor_runs SET open_children = 4294967295 WHERE key = 1",
    ] {
        let test = TestStore::new();
        test.submit_task(TaskDraft::new("P").kind("A").input(json!({"fanout": 3})).max_retries(0));
        let intact = test.submit_task(TaskDraft::new("A"));
        assert_eq!(test.fan_out(), 3);
        let fences = fences(&test.claim());
        assert_eq!(fences.len(), 4);
        test.execute(change).unwrap();
        let (now, jitter) = (test.env.now(), test.env.jitter());
        let renew = Renew { fences: fences.clone(), lease_ms: 1000, now };
        assert_eq!(test.store.renew(&renew).unwrap(), [FenceOutcome::Applied; 4], "{change}");
        assert_eq!(test.settle_succeeded([fences[0], fences[3]]), [FenceOutcome::Applied; 2], "{change}");
        let release = Release { fences: vec![fences[1]], now };
        assert_eq!(test.store.release(&release).unwrap(), [FenceOutcome::Applied], "{change}");
        let states = [3072, 3073, 2048].map(|key| test.raw(key).0);
        assert_eq!(states, [SUCCEEDED, PENDING, SUCCEEDED], "{change}");
        let rescue = Rescue { now: now.plus_millis(2000), limit: 10, jitter };
        assert_eq!(test.store.rescue(&rescue).unwrap().changed, 1, "{change}");
        assert_eq!(test.raw(3074), (FAILED, Some("lease expired".into())), "{change}");
        test.run_steps_until_idle();
        test.assert_run_state(&intact, State::Succeeded, change);
    }
}

#[test]
fn parent_with_changed_counts_fails() {
    for change in [
        "UPDATE conductor_parents SET open_children = 99999999999 WHERE task = 1024",
        "UPDATE conductor_parents SET failed_children = 4294967295 WHERE task = 1024",
        "UPDATE conductor_parents SET children = 4 WHERE task = 1024",
        "UPDATE conductor_parents SET children = 99999999999, open_children = 0 WHERE task = 1024",
        // Too few: the next fan-out would create a child twice.
        "UPDATE conductor_parents SET children = 1 WHERE task = 1024",
    ] {
        let test = TestStore::new();
        let corrupt = test.submit_task(TaskDraft::new("P").kind("A").input(json!({"fanout": 3})));
        assert_eq!(test.fan_out(), 3);
        test.execute(change).unwrap();
        test.run_steps_until_idle();
        for task in test.claim() {
            test.settle_succeeded([task.fence]);
        }
        test.run_steps_until_idle();
        let (state, error) = test.raw(1024);
        assert_eq!(state, FAILED, "{change}");
        assert!(error.unwrap().starts_with("its numbers were changed: "), "{change}");
        test.assert_run_state(&corrupt, State::Failed, change);
    }
}

#[test]
fn parent_of_deleted_run_creates_no_children() {
    let test = TestStore::new();
    test.submit_task(TaskDraft::new("corrupt").input(json!({"fanout": 2})));
    let intact = test.submit_task(TaskDraft::new("intact").input(json!({"fanout": 2})));
    test.execute("DELETE FROM conductor_runs WHERE key = 1").unwrap();
    assert_eq!(test.fan_out(), 2);
    assert_eq!(test.reload(&intact).state, State::Running);
    assert_eq!(test.raw(1024), (FAILED, Some("its run cannot be read".into())));
}

#[test]
fn run_with_changed_counts_fails() {
    let test = TestStore::new();
    let corrupt = test.submit_task(TaskDraft::new("A"));
    let intact = test.submit_task(TaskDraft::new("A"));
    test.report([Report::succeeded(corrupt.id)]);
    test.execute("UPDATE conductor_runs SET children = 99999999999, fanout = 99999999999 WHERE key = 1")
        .unwrap();
    test.report([Report::succeeded(intact.id)]);
    test.run_steps_until_idle();
    assert_eq!(test.run(intact.run).state, State::Succeeded);
    let error = test.store.run(corrupt.run).unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
    test.execute("UPDATE conductor_runs SET children = 1, fanout = 1 WHERE key = 1").unwrap();
    assert_eq!(test.run(corrupt.run).state, State::Failed);
}

#[test]
fn parent_with_retry_due_is_not_retried() {
    let test = TestStore::new();
    let corrupt = test.submit_task(TaskDraft::new("P").input(json!({"fanout": 1})));
    let intact = test.submit_task(TaskDraft::new("A"));
    assert_eq!(test.fan_out(), 1);
    test.report([Report::failed(intact.id, "no")]);
    test.change("UPDATE conductor_parents SET state = 3, due_at = 1 WHERE task = 1024");
    let step = test.step(10);
    assert_eq!(test.store.retry(&step).unwrap().changed, 1);
    assert_eq!(test.reload(&intact).state, State::Pending);
    // The time of a parent is that of a delayed start.
    let _ = test.store.promote(&step).unwrap();
    assert_eq!((test.reload(&corrupt).state, test.reload(&corrupt).due_at), (State::Failed, None));
    for changed in [test.store.retry(&step).unwrap().changed, test.store.promote(&step).unwrap().changed] {
        assert_eq!(changed, 0, "the parent is read once");
    }
}

#[test]
fn unreadable_policy_counts_as_default() {
    let test = TestStore::new();
    let draft = TaskDraft::new("A").input(json!({"fanout": 2})).policy(Policy::Ignore);
    let parent = test.submit_task(draft);
    assert_eq!(test.fan_out(), 2);
    for policy in ["{", "never", "{\"tolerate_percent\": 101}"] {
        test.execute(&format!("UPDATE conductor_parents SET policy = '{policy}'")).unwrap();
        assert!(matches!(test.store.task(parent.id), Err(StoreError::CorruptRow { .. })), "{policy}");
    }
    let children = test.store.children(parent.id, 0, 2).unwrap().items;
    let reports = [Report::succeeded(children[0].id), Report::failed_permanently(children[1].id, "no")];
    test.report(reports);
    test.aggregate_all();
    assert_eq!(test.run(parent.run).state, State::Failed);
}

#[test]
fn parent_contradicting_its_join_blocks_no_decision() {
    let changes = [
        "UPDATE conductor_runs SET state = 1 WHERE key = 1",
        "UPDATE conductor_runs SET state = 0 WHERE key = 1",
        "UPDATE conductor_parents SET state = 1 WHERE run = 1",
        // The joins are parents.
        "UPDATE conductor_parents SET state = 1 WHERE run = 1;
         INSERT INTO conductor_parents (task, run, state, updated_at, sealed, fanout, children, open_children,
             failed_children, cancelled_children)
         SELECT 1024 * block, run, 3, 0, 1, 0, 0, 0, 0, 0 FROM conductor_blocks WHERE child_index = 0 AND run = 1;
         DELETE FROM conductor_ended WHERE task IN (SELECT task FROM conductor_parents);
         UPDATE conductor_blocks SET is_parent = 1 WHERE child_index = 0 AND run = 1",
        // The join of the run is cancelled.
        "UPDATE conductor_runs SET state = 1 WHERE key = 1;
         INSERT INTO conductor_ranges (block, first, last, state, attempt, retry_count, since, run, parent, kind, priority)
         SELECT block, 0, 0, 4, 1, 0, 0, run, parent, kind, priority FROM conductor_blocks
             WHERE child_index = 0 AND run = 1 AND parent = 0;
         DELETE FROM conductor_ended WHERE task IN (SELECT 1024 * block FROM conductor_ranges WHERE state = 4)",
    ];
    for change in changes {
        let test = TestStore::new();
        let draft = RunDraft::new().task(TaskDraft::new("a").fan_out([1, 2]).join("j")).join("j");
        let corrupt = test.submit(&draft);
        test.finish();
        assert_eq!(test.run(corrupt).state, State::Succeeded);
        test.execute(change).unwrap();
        let intact = test.submit(&draft);
        test.finish();
        assert_eq!(test.run(intact).state, State::Succeeded, "{change}");
        assert!(test.run(corrupt).state.is_terminal(), "{change}");
        assert!(!test.store.aggregate(&test.step(10)).unwrap().more, "{change}");
    }
}

#[test]
fn open_join_of_changed_parent_is_still_settled() {
    for (change, final_state) in [
        ("UPDATE conductor_runs SET join_open = 0 WHERE key = 1", State::Succeeded),
        ("UPDATE conductor_parents SET join_open = 0 WHERE run = 1", State::Succeeded),
        ("UPDATE conductor_runs SET state = 3 WHERE key = 1", State::Failed),
        ("UPDATE conductor_parents SET state = 2 WHERE run = 1", State::Running),
    ] {
        for is_claimed_before in [false, true] {
            let test = TestStore::new();
            let task = TaskDraft::new("a").kind("A").fan_out([1]);
            let (task, run) = if change.contains("parents") {
                (task.join("A"), RunDraft::new())
            } else {
                (task, RunDraft::new().join("A"))
            };
            let corrupt = test.submit(&run.task(task));
            assert_eq!(test.fan_out(), 1);
            assert_eq!(test.settle_succeeded(fences(&test.claim())), [FenceOutcome::Applied]);
            test.run_steps_until_idle();
            let intact = test.submit_task(TaskDraft::new("A"));
            let earlier = if is_claimed_before { test.claim() } else { Vec::new() };
            test.execute(change).unwrap();
            for _ in 0..3 {
                let _ = test.store.aggregate(&test.step(10)).unwrap();
            }
            let claimed = if is_claimed_before { earlier } else { test.claim() };
            assert_eq!(claimed.len(), 2, "the join and the neighbour: {change}");
            assert_eq!(test.settle_succeeded(fences(&claimed)), [FenceOutcome::Applied; 2]);
            test.run_steps_until_idle();
            assert_eq!(test.reload(&intact).state, State::Succeeded, "{change}");
            test.assert_run_state(&intact, State::Succeeded, change);
            assert_eq!(test.run(corrupt).state, final_state, "{change}");
        }
    }
}

#[test]
fn corrupt_row_blocks_no_sweep_or_deadline() {
    for change in [
        "UPDATE conductor_runs SET children = 99999999999, fanout = 99999999999 WHERE key = 1",
        "UPDATE conductor_parents SET children = 99999999999 WHERE task = 1024",
        "PRAGMA ignore_check_constraints = ON; UPDATE conductor_blocks SET prefix = 'no id' WHERE block = 3",
    ] {
        for by_deadline in [false, true] {
            let test = TestStore::new();
            let parent = TaskDraft::new("P").kind("A").input(json!({"fanout": 2}));
            let draft = RunDraft::new().task(parent).deadline_ms(1000);
            let runs = [test.submit(&draft), test.submit(&draft)];
            assert_eq!(test.fan_out(), 4);
            if !by_deadline {
                for run in runs {
                    let _ = test.store.cancel(&Cancel::run(run, test.env.now())).unwrap();
                }
            }
            test.execute(change).unwrap();
            let step = Step { now: test.env.now().plus_millis(1000), ..test.step(100) };
            let expired = test.store.expire(&step).unwrap();
            assert!(!expired.more, "{change}");
            let mut steps = 0;
            while test.store.sweep(&step).unwrap().more {
                steps += 1;
                assert!(steps < 10, "the sweep does not end: {change}");
            }
            while test.store.aggregate(&step).unwrap().more {}
            let other = test.run(runs[1]);
            assert_eq!(other.state, State::Cancelled, "{change}");
            assert_eq!(other.state_counts.cancelled, 3, "{change}");
        }
    }
}

/// The parent has no children, so that it is still PENDING when its join would start.
#[test]
fn parent_without_plan_of_its_join_fails_once() {
    let test = TestStore::new();
    let parent = test.submit_task(TaskDraft::new("P").open().join("J"));
    test.store.seal(&Seal::new(NodeId::Task(parent.id), 0, &test.env)).unwrap();
    test.execute("DELETE FROM conductor_joins").unwrap();
    test.run_steps_until_idle();
    let parent = test.reload(&parent);
    assert_eq!(parent.state, State::Failed);
    let error = parent.last_error.as_ref().map(ErrorText::as_str);
    assert_eq!(error, Some("its join was changed: the plan of a join is missing"));
    test.assert_run_state(&parent, State::Failed, "no plan of the join");
    let filter = EventFilter { task: Some(parent.id), ..EventFilter::default() };
    let events = test.store.events(filter, 0, 100).unwrap().items;
    assert_eq!(events.iter().filter(|event| event.body.name() == "task.failed").count(), 1);
    assert!(!test.store.aggregate(&test.step(10)).unwrap().more);
}
