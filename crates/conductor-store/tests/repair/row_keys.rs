//! Rows whose keys were changed, or that were moved.

use crate::support::TestStore;
use conductor_model::{RunDraft, Task, TaskDraft};
use conductor_store::{DivergenceKind, Report};
use serde_json::json;

/// Gives a block another number, and its tasks other keys. Their inputs may keep the old ones.
fn move_block(from: i64, to: i64, with_inputs: bool) -> String {
    let mut sql = format!(
        "UPDATE conductor_blocks SET block = {to} WHERE block = {from};
         UPDATE conductor_ranges SET block = {to} WHERE block = {from};"
    );
    for table in ["ended", "parents", "outputs", "errors", "inputs"] {
        if table != "inputs" || with_inputs {
            let change = format!(
                "UPDATE conductor_{table} SET task = task + 1024 * ({to} - {from}) \
                 WHERE task BETWEEN 1024 * {from} AND 1024 * {from} + 1023;"
            );
            sql.push_str(&change);
        }
    }
    sql
}

#[test]
fn row_with_changed_key_is_repaired() {
    // No event names the keys of the blocks 7 and 9.
    for block in [1, 2, 3, 4, 5, 6, 8] {
        for (number, with_inputs) in [(9000, false), (-3, false), (9000, true)] {
            let test = TestStore::new();
            let run = test.submit_example();
            let before = test.rows();
            test.change(&move_block(block, number, with_inputs));
            assert!(test.divergence_kinds().contains(&DivergenceKind::Row), "{block} {number}");
            let report = test.repair();
            assert_eq!(report.unrepairable, [], "{block} {number}");
            assert_eq!(test.divergence_kinds(), [], "{block} {number}");
            test.assert_rows(&before, (block, number, &report));
            test.finish(run);
        }
    }
}

#[test]
fn only_child_and_join_regain_their_keys() {
    for change in ["parent > 0 AND child_index = 1", "child_index = 0"] {
        let test = TestStore::new();
        let run = test.submit(&RunDraft::new().task(TaskDraft::new("P").fan_out([1]).join("J")));
        test.run_steps();
        test.report([Report::succeeded(test.id_of(run, "P#1"))]);
        test.run_steps();
        test.report([Report::started(test.id_of(run, "P#0"))]);
        let before = test.rows();
        let sql = format!("SELECT CAST(block AS TEXT) FROM conductor_blocks WHERE {change}");
        let block: i64 = test.texts(&sql)[0].parse().unwrap();
        test.change(&move_block(block, 9000, false));
        assert!(test.divergence_kinds().contains(&DivergenceKind::Row), "{change}");
        assert_eq!(test.repair().unrepairable, [], "{change}");
        test.assert_rows(&before, change);
        assert_eq!(test.divergence_kinds(), [], "{change}");
    }
}

#[test]
fn children_without_events_get_new_row_keys() {
    for (block, lost) in [(9, 2), (7, 1)] {
        let test = TestStore::new();
        let run = test.submit_example();
        let before = test.tasks(run);
        test.change(&format!(
            "DELETE FROM conductor_blocks WHERE block = {block}; DELETE FROM conductor_ranges WHERE block = {block};
             DELETE FROM conductor_inputs WHERE task / 1024 = {block}"
        ));
        assert_eq!(test.divergence_kinds(), [DivergenceKind::Row]);
        assert_eq!(test.repair().repaired.len(), lost);
        assert_same_tasks(&test, &before);
        test.finish(run);
    }
}

#[test]
fn children_without_events_keep_other_row_keys() {
    for block in [7, 9] {
        for (number, with_inputs) in [(9000, false), (9000, true)] {
            let test = TestStore::new();
            let run = test.submit_example();
            let before = test.tasks(run);
            test.change(&move_block(block, number, with_inputs));
            assert_eq!(test.repair().unrepairable, [], "{block} {number}");
            assert_same_tasks(&test, &before);
            test.finish(run);
        }
    }
}

/// Asserts that nothing diverges, and that the run has the same tasks. Their rows may have other keys.
#[track_caller]
fn assert_same_tasks(test: &TestStore, before: &[Task]) {
    assert_eq!(test.divergence_kinds(), []);
    let same = |task: &Task| (task.id, task.name.clone(), task.state, task.input.clone(), task.parent);
    assert_eq!(
        test.tasks(before[0].run).iter().map(same).collect::<Vec<_>>(),
        before.iter().map(same).collect::<Vec<_>>()
    );
}

#[test]
fn row_moved_to_other_run_is_restored() {
    for (first, second) in [(1, 2), (2, 1)] {
        let test = TestStore::new();
        let draft = RunDraft::new().task(TaskDraft::new("P").input(json!({"fanout": 2})));
        let runs = [test.submit(&draft), test.submit(&draft)];
        test.run_steps();
        test.report([Report::started(test.id_of(runs[first - 1], "P#2"))]);
        let before = test.rows();
        // The key of each parent is 1,024 times that of its run.
        test.change(&format!(
            "UPDATE conductor_blocks SET run = {second}, parent = 1024 * {second}, child_index = 3 \
             WHERE run = {first} AND parent > 0; UPDATE conductor_ranges SET run = {second} WHERE run = {first}"
        ));
        assert_eq!(test.divergence_kinds(), [DivergenceKind::Row]);
        let report = test.repair();
        assert_eq!(report.unrepairable, []);
        assert_eq!(test.divergence_kinds(), []);
        test.assert_rows(&before, &report);
    }
}

/// Asserts that two repairs after these changes repair all that is repairable.
fn assert_repaired_after(changes: &[&str]) {
    let test = TestStore::new();
    test.submit_example();
    test.submit(&RunDraft::new().task(TaskDraft::new("P").fan_out([1])));
    test.run_steps();
    test.change(&changes.join(";"));
    assert_ne!(test.divergence_kinds(), []);
    let _ = (test.repair(), test.repair());
    let last = test.repair();
    assert_eq!(last.repaired, []);
    assert_eq!(test.divergence_kinds().len(), last.unrepairable.len());
}

#[test]
fn row_with_lowest_key_displaces_no_other() {
    assert_repaired_after(&[
        "UPDATE conductor_blocks SET prefix = '000000000000000000000000', low = 0 WHERE block = 9",
        "UPDATE conductor_blocks SET block = 0 WHERE block = 7",
    ]);
}

#[test]
fn missing_free_key_stops_only_its_row() {
    assert_repaired_after(&[
        "DELETE FROM conductor_events WHERE key = 3",
        "DELETE FROM conductor_blocks WHERE block = 11",
        "UPDATE conductor_blocks SET block = 9223372036854775807 WHERE block = 1",
    ]);
}
