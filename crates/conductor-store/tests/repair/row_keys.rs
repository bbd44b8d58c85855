//! Rows whose keys were changed, or that were moved.

use crate::support::TestStore;
use conductor_model::{RunDraft, Task, TaskDraft};
use conductor_store::{DivergenceKind, Report};
use serde_json::json;

#[test]
fn row_with_changed_key_is_repaired() {
    let outputs =
        |test: &TestStore| test.texts("SELECT json_array(key, output) FROM conductor_tasks ORDER BY key");
    for key in 1..=12 {
        for (new_key, more, is_input_moved) in
            [(9000, "", false), (-3, ", state = 1, retry_count = 5, ordinal = 77", false), (9000, "", true)]
        {
            // The index of a root task is stored only in its row, so a change of it cannot be found.
            let more = if key <= 5 { more.trim_end_matches(", ordinal = 77") } else { more };
            let test = TestStore::new();
            let run = test.submit_example();
            test.change("UPDATE conductor_tasks SET output = '\"made in ' || key || '\"'");
            let before = (test.rows(), outputs(&test));
            test.change(&format!("UPDATE conductor_tasks SET key = {new_key}{more} WHERE key = {key}"));
            if is_input_moved {
                test.change(&format!("UPDATE conductor_inputs SET task = {new_key} WHERE task = {key}"));
            }
            assert!(test.divergence_kinds().contains(&DivergenceKind::Row), "{key} {new_key}{more}");
            let report = test.repair();
            assert_eq!(report.unrepairable, [], "{key} {new_key}{more}");
            assert_eq!(test.divergence_kinds(), [], "{key} {new_key}{more}");
            if more.is_empty() {
                assert_eq!(report.repaired[0].action, "restored its row key");
            }
            assert_eq!((test.rows(), outputs(&test)), before, "{key} {new_key}{more}");
            test.finish(run);
        }
    }
}

#[test]
fn only_child_and_join_regain_their_keys() {
    for change in ["parent > 0 AND ordinal = 1", "ordinal = 0"] {
        let test = TestStore::new();
        let run = test.submit(&RunDraft::new().task(TaskDraft::new("P").fan_out([1]).join("J")));
        test.run_steps();
        test.report([Report::succeeded(test.id_of(run, "P#1"))]);
        test.run_steps();
        test.report([Report::started(test.id_of(run, "P#0"))]);
        let before = test.rows();
        test.change(&format!("UPDATE conductor_tasks SET key = 9000 WHERE {change}"));
        assert!(test.divergence_kinds().contains(&DivergenceKind::Row), "{change}");
        assert_eq!(test.repair().unrepairable, [], "{change}");
        assert_eq!(test.rows(), before, "{change}");
        assert_eq!(test.divergence_kinds(), [], "{change}");
    }
}

#[test]
fn children_without_events_get_new_row_keys() {
    let test = TestStore::new();
    let run = test.submit_example();
    let before = test.tasks(run);
    test.change("DELETE FROM conductor_tasks WHERE key IN (11, 12)");
    assert_eq!(test.divergence_kinds(), [DivergenceKind::Row]);
    assert_eq!(test.repair().repaired.len(), 2);
    assert_eq!(test.divergence_kinds(), []);
    let same = |task: &Task| (task.id, task.name.clone(), task.state, task.input.clone(), task.parent);
    assert_eq!(
        test.tasks(run).iter().map(same).collect::<Vec<_>>(),
        before.iter().map(same).collect::<Vec<_>>()
    );
    test.finish(run);
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
        test.change(&format!(
            "UPDATE conductor_tasks SET run = {second}, parent = {second}, ordinal = 3 WHERE run = {first} AND parent > 0 \
             AND ordinal = 2"
        ));
        assert_eq!(test.divergence_kinds(), [DivergenceKind::Row]);
        let report = test.repair();
        assert_eq!(report.unrepairable, []);
        assert_eq!(test.divergence_kinds(), []);
        assert_eq!(test.rows(), before, "{report:#?}");
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
        "UPDATE conductor_tasks SET id = x'00000000000000000000000000000000' WHERE key = 12",
        "UPDATE conductor_tasks SET key = 0 WHERE key = 11",
    ]);
}

#[test]
fn missing_free_key_stops_only_its_row() {
    assert_repaired_after(&[
        "DELETE FROM conductor_events WHERE seq = 3",
        "DELETE FROM conductor_tasks WHERE key = 14",
        "UPDATE conductor_tasks SET key = 9223372036854775807 WHERE key = 1",
    ]);
}
