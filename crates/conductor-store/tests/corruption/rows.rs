//! Rows of leaves that another program changed.

use crate::helpers::{FAILED, assert_claimed_only, fences};
use crate::support::TestStore;
use conductor_model::{State, TaskDraft};
use conductor_store::{FenceOutcome, Query, Release, Renew, Report, Rescue, Store};
use serde_json::json;

#[test]
fn tables_reject_invalid_values() {
    let test = TestStore::new();
    test.submit_task(TaskDraft::new("A").input(json!({"fanout": 2})));
    let ended = test.submit_task(TaskDraft::new("A"));
    assert_eq!(test.fan_out(), 2);
    test.report([Report::succeeded(ended.id)]);
    for change in [
        "UPDATE conductor_runs SET id = 'no id'",
        "UPDATE conductor_runs SET pending = -1",
        "UPDATE conductor_runs SET children = -1",
        "UPDATE conductor_runs SET sealed = 0",
        "UPDATE conductor_blocks SET prefix = 'no id'",
        "UPDATE conductor_blocks SET low = 1024",
        "UPDATE conductor_blocks SET count = 0",
        "UPDATE conductor_blocks SET count = 1025",
        "UPDATE conductor_blocks SET low = 1023 WHERE count = 2",
        "UPDATE conductor_blocks SET child_index = -1",
        "UPDATE conductor_blocks SET is_parent = 1 WHERE count = 2",
        "UPDATE conductor_blocks SET max_retries = 1001",
        "UPDATE conductor_blocks SET timeout_ms = 0",
        "UPDATE conductor_blocks SET created_at = 'yesterday'",
        "UPDATE conductor_ranges SET state = 2, due_at = NULL",
        "UPDATE conductor_ranges SET state = 3",
        "UPDATE conductor_ranges SET state = 1, due_at = 1",
        "UPDATE conductor_ranges SET last = 1024",
        "UPDATE conductor_ranges SET first = 2",
        "UPDATE conductor_ranges SET attempt = -1",
        "UPDATE conductor_ranges SET retry_count = -1",
        "UPDATE conductor_ranges SET lease_losses = 3",
        "UPDATE conductor_ended SET state = 4",
        "UPDATE conductor_ended SET attempt = -1",
        "UPDATE conductor_ended SET retry_count = 2000000001",
        "UPDATE conductor_parents SET state = 9",
        "UPDATE conductor_parents SET state = 2, due_at = 1",
        "UPDATE conductor_parents SET fanout = 99999999999",
        "UPDATE conductor_parents SET open_children = -1",
        "UPDATE conductor_parents SET cancel_cause = 5",
        "UPDATE conductor_inputs SET count = 0",
        "UPDATE conductor_events SET count = 1025",
    ] {
        let error = test.execute(change).unwrap_err().to_string();
        let is_rejected = error.contains("constraint failed") || error.contains("cannot store");
        assert!(is_rejected, "{change}: {error}");
    }
}

#[test]
fn retry_with_corrupt_schedule_is_due() {
    let test = TestStore::new();
    let task = test.submit_task(TaskDraft::new("A"));
    let step = test.step(10);
    for change in [
        "UPDATE conductor_ranges SET due_at = -99999999999999999",
        "UPDATE conductor_ranges SET due_at = 99999999999999999",
        "UPDATE conductor_blocks SET backoff = '{'",
    ] {
        test.report([Report::failed(task.id, "no")]);
        test.execute(change).unwrap();
        assert_eq!(test.store.retry(&step).unwrap().changed, 1, "{change}");
    }
}

#[test]
fn corrupt_position_or_kind_blocks_no_claim() {
    for change in [
        "UPDATE conductor_blocks SET child_index = -1 WHERE block = 1",
        "UPDATE conductor_blocks SET child_index = 99999999999 WHERE block = 1",
        "UPDATE conductor_blocks SET priority = 99999999999 WHERE block = 1",
        "UPDATE conductor_ranges SET priority = 99999999999 WHERE block = 1",
        "UPDATE conductor_blocks SET backoff = '{' WHERE block = 1",
        "UPDATE conductor_blocks SET kind = 77 WHERE block = 1",
        "UPDATE conductor_ranges SET kind = 77 WHERE block = 1",
        "UPDATE conductor_blocks SET names = json_array(char(7)) WHERE block = 1",
        "UPDATE conductor_blocks SET created_at = -99999999999999999 WHERE block = 1",
    ] {
        let test = TestStore::new();
        test.submit_task(TaskDraft::new("A"));
        let intact = test.submit_task(TaskDraft::new("A"));
        test.change(change);
        assert!(test.claim().iter().any(|task| task.fence.task == intact.id), "{change}");
    }
}

#[test]
fn corrupt_lease_blocks_no_rescue_or_settlement() {
    for change in [
        "UPDATE conductor_ranges SET lease_until = -99999999999999999 WHERE block = 1",
        "UPDATE conductor_ranges SET lease_until = 9223372036854775807 WHERE block = 1",
        "UPDATE conductor_ranges SET engine = 77 WHERE block = 1",
        "UPDATE conductor_ranges SET engine = NULL WHERE block = 1",
        "UPDATE conductor_ranges SET since = 9223372036854775807 WHERE block = 1",
        "UPDATE conductor_ranges SET since = -9223372036854775807 WHERE block = 1",
        "UPDATE conductor_blocks SET backoff = '{' WHERE block = 1; UPDATE conductor_ranges SET lease_losses = 2 WHERE block = 1",
        "DELETE FROM conductor_engines",
    ] {
        let test = TestStore::new();
        test.submit_task(TaskDraft::new("A"));
        let intact = test.submit_task(TaskDraft::new("A"));
        let claimed = test.claim();
        test.execute(change).unwrap();
        let (now, jitter) = (test.env.now(), test.env.jitter());
        let release = Release { fences: vec![claimed[1].fence], now };
        assert_eq!(test.store.release(&release).unwrap(), [FenceOutcome::Applied], "{change}");
        let claimed = test.claim();
        test.store.next_due().unwrap();
        assert_eq!(test.settle_succeeded([claimed[0].fence]), [FenceOutcome::Applied], "{change}");
        assert_eq!(test.reload(&intact).state, State::Succeeded, "{change}");
        let rescue = Rescue { now: now.plus_millis(2000), limit: 10, jitter };
        assert_eq!(test.store.rescue(&rescue).unwrap().changed, 1, "{change}");
    }
}

#[test]
fn claim_turned_into_parent_is_stale() {
    for change in [
        "UPDATE conductor_blocks SET is_parent = 1 WHERE block = 1",
        "UPDATE conductor_blocks SET is_parent = 1 WHERE block = 1;
         INSERT INTO conductor_parents (task, run, state, updated_at, sealed, fanout, children, open_children,
             failed_children, cancelled_children) VALUES (1024, 1, 0, 0, 1, 1, 0, 0, 0, 0)",
    ] {
        let test = TestStore::new();
        test.submit_task(TaskDraft::new("A"));
        test.submit_task(TaskDraft::new("A"));
        let fences = fences(&test.claim());
        test.execute(change).unwrap();
        let release = Release { fences, now: test.env.now() };
        assert_eq!(test.store.release(&release).unwrap(), [FenceOutcome::Stale, FenceOutcome::Applied]);
    }
}

#[test]
fn attempt_at_maximum_fails_task_at_claim() {
    let test = TestStore::new();
    let corrupt = test.submit_task(TaskDraft::new("A"));
    let intact = test.submit_task(TaskDraft::new("A"));
    test.report([corrupt.id, intact.id].map(|task| Report::failed(task, "no")));
    test.execute(
        "UPDATE conductor_ranges SET attempt = 2000000000, retry_count = 2000000000 WHERE block = 1",
    )
    .unwrap();
    assert_eq!(test.store.retry(&test.step(10)).unwrap().changed, 2);
    assert_claimed_only(&test.claim(), &intact, "the neighbour");
    let corrupt = test.reload(&corrupt);
    assert_eq!(corrupt.last_error.unwrap().as_str(), "its attempt was changed, and cannot increase");
    test.run_steps_until_idle();
    assert_eq!(test.run(corrupt.run).state, State::Failed);
}

#[test]
fn unreadable_task_row_fails_where_it_is_found() {
    for (table, change) in [
        ("blocks", "prefix = 'no id'"),
        ("ranges", "attempt = -1"),
        ("ranges", "retry_count = -1"),
        ("blocks", "timeout_ms = -1"),
    ] {
        // Without the pragma, the tables reject these values.
        let change = format!(
            "PRAGMA ignore_check_constraints = ON; UPDATE conductor_{table} SET {change} WHERE block = 1"
        );
        for found_by in ["claim", "retry", "rescue"] {
            let test = TestStore::new();
            let (corrupt, intact) =
                (test.submit_task(TaskDraft::new("A")), test.submit_task(TaskDraft::new("A")));
            let now = test.env.now();
            let is_read = !change.contains("timeout") || found_by == "claim";
            match found_by {
                "claim" => {
                    test.execute(&change).unwrap();
                    assert_eq!(test.claim_up_to(10).rejected, 1, "{change}");
                }
                "retry" => {
                    test.report([corrupt.id, intact.id].map(|task| Report::failed(task, "no")));
                    test.execute(&change).unwrap();
                    let _ = test.store.retry(&test.step(10)).unwrap();
                    assert_eq!(test.reload(&intact).state, State::Pending, "{change}");
                }
                _ => {
                    let fences = fences(&test.claim());
                    test.execute(&change).unwrap();
                    let renew = Renew { fences: fences.clone(), lease_ms: 1000, now };
                    assert_eq!(test.store.renew(&renew).unwrap()[1], FenceOutcome::Applied, "{change}");
                    assert_eq!(test.settle_succeeded(fences)[1], FenceOutcome::Applied, "{change}");
                    let rescue = Rescue { now: now.plus_millis(2000), ..Rescue::new(10, &test.env) };
                    assert_eq!(test.store.rescue(&rescue).unwrap().changed, u32::from(is_read), "{change}");
                }
            }
            if is_read {
                let (state, error) = test.raw(1024);
                assert_eq!(state, FAILED, "{change}, {found_by}");
                assert!(error.unwrap().starts_with("its row was changed: "), "{change}, {found_by}");
            }
            test.run_steps_until_idle();
        }
    }
}
