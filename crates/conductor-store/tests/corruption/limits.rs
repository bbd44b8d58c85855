//! Numbers at the end of what a column can have.

use crate::damaged::Damaged;
use conductor_model::State;
use conductor_store::{Admin as _, Revive};

#[test]
fn largest_attempt_stops_no_claim() {
    let test = Damaged::new();
    test.change("UPDATE conductor_ranges SET attempt = 2000000000 WHERE block = 3 AND state = 0");
    let claimed = test.claim();
    assert_eq!(claimed.tasks().len(), 2, "those of the other run");
    assert_eq!(test.failed(), ["3074", "3075"]);
}

#[test]
fn largest_retry_count_stops_no_retry() {
    let test = Damaged::new();
    test.change("UPDATE conductor_ranges SET retry_count = 2000000000 WHERE block = 3 AND state = 3");
    test.steps();
    assert_eq!(test.children(test.run)[1].state, State::Pending);
}

#[test]
fn time_out_of_range_stops_no_retry() {
    for time in [i64::MIN, i64::MIN + 1, 253_402_300_800_000, i64::MAX] {
        let test = Damaged::new();
        test.change(&format!("UPDATE conductor_ranges SET due_at = {time} WHERE block = 3 AND state = 3"));
        test.steps();
        assert_eq!(test.children(test.run)[1].state, State::Pending, "{time}");
    }
}

#[test]
fn parent_with_larger_count_is_listed_once() {
    let test = Damaged::untouched();
    test.change("UPDATE conductor_blocks SET count = 2 WHERE block = 1");
    assert_eq!(test.tasks(test.run).len(), 5);
}

/// The fence of an earlier claim does not become valid again.
#[test]
fn failed_leaf_keeps_its_attempt() {
    let test = Damaged::untouched();
    let claimed = test.claim().tasks();
    let first = &claimed[0];
    test.change(
        "INSERT INTO conductor_ranges (block, first, last, state, attempt, retry_count, since, run, parent, kind, priority)
         SELECT block, 0, 0, 0, 0, 0, since, run, parent, kind, priority FROM conductor_ranges WHERE block = 3 LIMIT 1",
    );
    assert_eq!(test.claim().tasks().len(), 0);
    assert_eq!(test.failed(), ["3072"]);
    let _ = test.store.revive(&Revive::leaf(first.fence.task, test.env.now())).unwrap();
    let again = test.claim().tasks();
    assert_eq!((again.len(), again[0].fence.task), (1, first.fence.task));
    assert_ne!(again[0].fence, first.fence);
    test.settle(std::slice::from_ref(first));
    assert_eq!(test.children(test.run)[0].state, State::Running);
}

/// Claims and steps look for rows by these values.
#[test]
fn values_repeated_from_block_are_repaired() {
    for change in [
        "UPDATE conductor_ranges SET kind = 99 WHERE block = 3",
        "UPDATE conductor_ranges SET run = 99 WHERE block = 3",
        "UPDATE conductor_ranges SET parent = 99 WHERE block = 3",
        "UPDATE conductor_ranges SET priority = 9 WHERE block = 3",
        "UPDATE conductor_parents SET run = 99 WHERE task = 1024",
    ] {
        let test = Damaged::new();
        test.change(change);
        assert_ne!(test.divergence_kinds(), [], "{change}");
        let _ = test.repair();
        assert_eq!(test.divergence_kinds(), [], "{change}");
        test.finish();
        assert_eq!(test.state(test.run), State::Succeeded, "{change}");
    }
}
