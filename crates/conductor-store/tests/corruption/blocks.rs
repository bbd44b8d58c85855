//! Rows of blocks.

use crate::damaged::{Damage, Damaged, assert_each};
use conductor_model::State;
use conductor_store::{Admin, DivergenceKind, Prune};

const BROKEN: [&str; 5] = [
    "UPDATE conductor_blocks SET prefix = 'no id' WHERE block = 3",
    "UPDATE conductor_blocks SET low = 99999 WHERE block = 3",
    "UPDATE conductor_blocks SET count = 0 WHERE block = 3",
    "UPDATE conductor_blocks SET count = 5000 WHERE block = 3",
    "UPDATE conductor_blocks SET child_index = 99999999999 WHERE block = 3",
];

/// One leaf of the block had succeeded, and stays so.
#[test]
fn unreadable_block_fails_only_its_open_leaves() {
    let damage =
        |change| Damage { change, failed: &[3073, 3074, 3075], error: "its row was changed: its block: " };
    assert_each(&BROKEN.map(damage));
}

#[test]
fn lost_block_fails_only_its_open_leaves() {
    assert_each(&[Damage {
        change: "DELETE FROM conductor_blocks WHERE block = 3",
        failed: &[3073, 3074, 3075],
        error: "its row was changed: the row of its block is missing",
    }]);
}

/// The timeout is stored nowhere else, so that no repair has it.
#[test]
fn leaves_with_broken_timeout_fail_at_claim() {
    let test = Damaged::new();
    test.change("UPDATE conductor_blocks SET timeout_ms = -1 WHERE block = 3");
    test.assert_other_succeeds("timeout");
    assert_eq!(test.failed(), ["3073", "3074", "3075"]);
    assert!(test.error(3074).unwrap().starts_with("its row was changed: its block: "));
}

/// The row of leaves repeats these values of its block.
#[test]
fn leaves_of_other_run_parent_or_kind_fail() {
    for column in ["run", "parent", "kind"] {
        let test = Damaged::new();
        test.change(&format!("UPDATE conductor_blocks SET {column} = 99 WHERE block = 3"));
        test.assert_other_succeeds(column);
        assert_eq!(test.failed(), ["3073", "3074", "3075"], "{column}");
        let error = test.error(3074).unwrap();
        assert!(error.ends_with("its block: it has another run, parent or kind than its tasks"), "{error}");
    }
}

/// They would be counted at their run, which would settle while most of its tasks are open.
#[test]
fn leaves_of_another_parent_are_repaired() {
    let test = Damaged::untouched();
    test.change("UPDATE conductor_blocks SET parent = 0, child_index = 9 WHERE block = 3");
    test.assert_other_succeeds("parent");
    assert!(!test.state(test.run).is_terminal());
    assert_eq!(test.failed(), ["3072", "3073", "3074", "3075"]);
    test.assert_mended("parent");
    test.assert_ends("parent");
    assert_eq!(test.state(test.run), State::Succeeded);
}

#[test]
fn leaf_behind_its_block_fails_alone() {
    assert_each(&[Damage {
        change: "UPDATE conductor_blocks SET count = 3 WHERE block = 3",
        failed: &[3075],
        error: "its row was changed: its block has only 3 tasks",
    }]);
}

#[test]
fn too_large_block_fails_no_leaf() {
    let change = "UPDATE conductor_blocks SET count = 6 WHERE block = 3";
    assert_each(&[Damage { change, failed: &[], error: "" }]);
    let test = Damaged::new();
    test.change(change);
    assert_eq!(test.divergence_kinds(), [DivergenceKind::Row]);
    assert!(test.repair().repaired.iter().all(|item| item.action.starts_with("removed")));
    assert_eq!(test.children(test.run).len(), 4);
}

#[test]
fn block_with_another_id_or_position_is_repaired() {
    for change in [
        "UPDATE conductor_blocks SET child_index = 7 WHERE block = 3",
        "UPDATE conductor_blocks SET low = low + 9 WHERE block = 3",
        "UPDATE conductor_blocks SET prefix = '01ARZ3NDEKTSV4RRFFQ69G5F' WHERE block = 3",
    ] {
        let test = Damaged::new();
        let before = test.children(test.run);
        test.change(change);
        test.assert_mended(change);
        assert_eq!(test.children(test.run), before, "{change}");
        test.assert_ends(change);
    }
}

/// No event names the key of a leaf that never started.
#[test]
fn block_without_events_of_its_leaves_is_repaired() {
    for change in BROKEN.into_iter().chain(["DELETE FROM conductor_blocks WHERE block = 3"]) {
        let test = Damaged::untouched();
        let before = test.children(test.run);
        test.change(change);
        test.assert_mended(change);
        let after = test.children(test.run);
        assert_eq!(after.len(), 4, "{change}");
        for (before, after) in before.iter().zip(&after) {
            assert_eq!((before.id, before.index, &before.input), (after.id, after.index, &after.input));
        }
        test.assert_ends(change);
        assert_eq!(test.state(test.run), State::Succeeded, "{change}");
    }
}

#[test]
fn prune_removes_a_run_with_an_unreadable_block() {
    for change in BROKEN {
        let test = Damaged::new();
        test.work();
        test.change(change);
        let prune = Prune::before(test.env.now().plus_millis(200_000_000));
        for _ in 0..100 {
            if !test.store.prune(&prune).unwrap().more {
                break;
            }
        }
        assert!(test.texts("SELECT prefix FROM conductor_blocks").is_empty(), "{change}");
    }
}
