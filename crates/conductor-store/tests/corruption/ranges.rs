//! Rows of `conductor_ranges`.

use crate::damaged::{Damage, Damaged, assert_each};
use conductor_model::State;
use conductor_store::DivergenceKind;

#[test]
fn leaf_in_two_ranges_fails_alone() {
    assert_each(&[Damage {
        change: "INSERT INTO conductor_ranges (block, first, last, state, attempt, retry_count, since, run, parent, kind, priority)
            SELECT block, 3, 3, 0, 0, 0, since, run, parent, kind, priority FROM conductor_ranges WHERE block = 3 AND state = 0",
        failed: &[3075],
        error: "its row was changed: it is in two places",
    }]);
}

#[test]
fn leaves_of_unreadable_range_fail_alone() {
    let damage = |change| Damage { change, failed: &[3074, 3075], error: "its row was changed: " };
    assert_each(
        &[
            "UPDATE conductor_ranges SET members = x'01' WHERE block = 3 AND state = 0",
            "UPDATE conductor_ranges SET members = zeroblob(4096) WHERE block = 3 AND state = 0",
            "UPDATE conductor_ranges SET first = 9, last = 5 WHERE block = 3 AND state = 0",
            "UPDATE conductor_ranges SET last = 5000 WHERE block = 3 AND state = 0",
            "UPDATE conductor_ranges SET attempt = -1 WHERE block = 3 AND state = 0",
            "UPDATE conductor_ranges SET retry_count = 99999999999 WHERE block = 3 AND state = 0",
        ]
        .map(damage),
    );
}

/// Nothing is known to be wrong with the leaves while no verification compares them with the events.
#[test]
fn lost_or_changed_range_fails_no_leaf() {
    let damage = |change| Damage { change, failed: &[], error: "" };
    assert_each(
        &[
            "DELETE FROM conductor_ranges WHERE block = 3 AND state = 0",
            "DELETE FROM conductor_ranges WHERE block = 3",
            "UPDATE conductor_ranges SET state = 4 WHERE block = 3 AND state = 0",
            "UPDATE conductor_ranges SET state = 9 WHERE block = 3 AND state = 0",
            "UPDATE conductor_ranges SET state = 4, due_at = NULL WHERE block = 3 AND state = 3",
        ]
        .map(damage),
    );
}

#[test]
fn changed_attempt_of_a_range_is_repaired() {
    let test = Damaged::new();
    test.change("UPDATE conductor_ranges SET attempt = 7 WHERE block = 3 AND state = 0");
    assert_eq!(test.divergence_kinds(), [DivergenceKind::Attempt]);
    test.assert_mended("attempt");
    test.assert_ends("attempt");
    assert_eq!(test.state(test.run), State::Succeeded);
}

#[test]
fn range_without_leaves_stops_no_claim() {
    let test = Damaged::new();
    test.change(
        "INSERT INTO conductor_ranges (block, first, last, members, state, attempt, retry_count, since, run, parent, kind, priority)
            SELECT block, 1, 3, x'01', 0, 0, 0, since, run, parent, kind, priority FROM conductor_ranges
            WHERE block = 3 AND state = 0",
    );
    test.assert_ends("a row without a set");
    assert_eq!(test.state(test.run), State::Succeeded);
}

#[test]
fn running_leaf_that_is_ready_settles_once() {
    let test = Damaged::new();
    let claimed = test.claim();
    assert_eq!(claimed.tasks().len(), 4);
    test.change(
        "INSERT INTO conductor_ranges (block, first, last, state, attempt, retry_count, since, run, parent, kind, priority)
            SELECT block, 2, 2, 0, 0, 0, since, run, parent, kind, priority FROM conductor_ranges WHERE block = 3 AND state = 1",
    );
    test.settle(&claimed.tasks());
    test.assert_other_succeeds("a second place");
    assert_eq!(test.failed(), ["3074"]);
    test.assert_mended("a second place");
    test.assert_ends("a second place");
    assert_eq!(test.state(test.run), State::Succeeded);
}

#[test]
fn damaged_claims_stop_no_rescue_and_no_settlement() {
    for (change, failed) in [
        ("DELETE FROM conductor_ranges WHERE block = 3 AND state = 1", vec![]),
        ("UPDATE conductor_ranges SET attempt = -1 WHERE block = 3 AND state = 1", vec!["3074", "3075"]),
        ("UPDATE conductor_ranges SET members = x'01' WHERE block = 3 AND state = 1", vec!["3074", "3075"]),
        ("DELETE FROM conductor_blocks WHERE block = 3", vec!["3073", "3074", "3075"]),
        (
            "INSERT INTO conductor_ended (task, at, state, attempt, retry_count) VALUES (3074, 0, 2, 1, 0)",
            vec!["3074"],
        ),
    ] {
        let test = Damaged::new();
        let claimed = test.claim();
        assert_eq!(claimed.tasks().len(), 4);
        test.change(change);
        // The engine does not live any more, and its fences hold until a rescue.
        let of_other: Vec<_> =
            claimed.tasks().iter().filter(|task| task.run == test.other).cloned().collect();
        test.settle(&of_other);
        test.assert_other_succeeds(change);
        assert_eq!(test.failed(), failed, "{change}");
        test.assert_mended(change);
        test.assert_ends(change);
    }
}
