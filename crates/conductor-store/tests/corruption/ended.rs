//! Rows of `conductor_ended`.

use crate::damaged::{Damage, Damaged, assert_each};
use conductor_model::State;

const SECOND_PLACE: &str = "INSERT INTO conductor_ranges \
    (block, first, last, state, attempt, retry_count, since, run, parent, kind, priority) \
    SELECT block, 0, 0, 0, 0, 0, since, run, parent, kind, priority FROM conductor_ranges WHERE block = 3 AND state = 0";

#[test]
fn ended_leaf_that_is_ready_fails_alone() {
    assert_each(&[Damage {
        change: SECOND_PLACE,
        failed: &[3072],
        error: "its row was changed: it is in two places",
    }]);
}

#[test]
fn leaf_in_two_places_keeps_its_output() {
    let test = Damaged::new();
    test.change(SECOND_PLACE);
    assert_eq!(test.claim().rejected, 1);
    test.assert_mended("a second place");
    let child = test.children(test.run).remove(0);
    assert_eq!((child.state, child.output.unwrap().as_str()), (State::Succeeded, "\"kept\""));
}

/// Nothing is known to be wrong with the leaf while no verification compares it with the events.
#[test]
fn lost_or_unreadable_end_fails_no_leaf() {
    let damage = |change| Damage { change, failed: &[], error: "" };
    assert_each(
        &[
            "DELETE FROM conductor_ended WHERE task = 3072",
            "UPDATE conductor_ended SET state = 9 WHERE task = 3072",
            "UPDATE conductor_ended SET attempt = -1 WHERE task = 3072",
        ]
        .map(damage),
    );
}

#[test]
fn changed_state_of_an_end_is_repaired() {
    let test = Damaged::new();
    test.change("UPDATE conductor_ended SET state = 3 WHERE task = 3072");
    test.assert_mended("state");
    test.assert_ends("state");
    assert_eq!(test.state(test.run), State::Succeeded);
}
