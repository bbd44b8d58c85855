//! Trees with joins, nested parents and root tasks that are leaves.

use crate::damaged::Damaged;
use conductor_model::{RunDraft, TaskDraft};
use conductor_store::{DivergenceKind, Report};
use serde_json::json;

/// Submits a run to the store: its root tasks are two leaves and two parents. One parent has a nested one, and a join that
/// runs.
fn tree() -> Damaged {
    let test = Damaged::new();
    let tasks = [
        TaskDraft::new("L").kind("A"),
        TaskDraft::new("M").kind("A").max_retries(2),
        TaskDraft::new("N").kind("A").fan_out(["a", "b", "c"]),
        TaskDraft::new("Q").kind("A").input(json!({"fanout": ["a", {"fanout": 2}]})).join("J"),
        TaskDraft::new("R").kind("A").fan_out([1]).join("J"),
    ];
    let draft = RunDraft::new().tasks(tasks);
    let run = test.submit(&draft);
    test.steps();
    test.steps();
    let id = |name: &str| {
        let tasks = test.tasks(run);
        tasks.into_iter().find(|task| task.name.as_str() == name).unwrap().id
    };
    test.report([Report::succeeded(id("L")), Report::failed(id("M"), "no"), Report::succeeded(id("N#2"))]);
    test.report([Report::succeeded(id("R#1"))]);
    test.steps();
    let join = test.tasks(run).into_iter().find(|task| task.index == 0).unwrap();
    test.report([Report::started(join.id)]);
    assert_eq!(test.divergence_kinds(), []);
    test
}

#[test]
fn lost_rows_of_a_tree_are_restored() {
    for change in [
        "DELETE FROM conductor_blocks WHERE child_index = 0",
        "DELETE FROM conductor_ranges WHERE block IN (SELECT block FROM conductor_blocks WHERE child_index = 0)",
        "DELETE FROM conductor_blocks WHERE parent > 0 AND is_parent = 1",
        "DELETE FROM conductor_parents WHERE task / 1024 IN
            (SELECT block FROM conductor_blocks WHERE parent > 0 AND is_parent = 1);
         DELETE FROM conductor_blocks WHERE parent > 0 AND is_parent = 1",
        "DELETE FROM conductor_blocks WHERE parent > 0 AND is_parent = 0",
        "DELETE FROM conductor_ranges",
        "DELETE FROM conductor_ended",
        "DELETE FROM conductor_parents",
        "UPDATE conductor_blocks SET is_parent = 1 WHERE count = 1 AND is_parent = 0",
        "UPDATE conductor_blocks SET is_parent = 1 WHERE parent > 0",
        "UPDATE conductor_blocks SET is_parent = 0",
        "UPDATE OR IGNORE conductor_blocks SET parent = 7 WHERE parent > 0",
    ] {
        let test = tree();
        test.change(change);
        assert_ne!(test.divergence_kinds(), [], "{change}");
        let report = test.repair();
        assert_eq!(report.unrepairable, [], "{change}");
        assert_eq!(test.repair().repaired, [], "{change}");
        assert_eq!(test.divergence_kinds(), [], "{change}: {report:#?}");
        test.finish();
    }
}

/// Nothing says which of them a key belongs to: two blocks had as many tasks.
#[test]
fn indistinguishable_lost_blocks_are_not_mixed_up() {
    let test = tree();
    test.change("DELETE FROM conductor_blocks WHERE parent > 0");
    assert_ne!(test.repair().unrepairable, []);
    assert_eq!(test.divergence_kinds(), [DivergenceKind::Events]);
    test.assert_other_succeeds("all blocks of children");
}

/// What a root task is stands in its block only.
#[test]
fn lost_root_task_is_reported_as_unrepairable() {
    let test = tree();
    test.change("DELETE FROM conductor_blocks WHERE parent = 0 AND is_parent = 0");
    let _ = test.repair();
    let report = test.repair();
    assert_eq!((report.repaired, report.unrepairable.len()), (vec![], test.divergences()));
    test.assert_other_succeeds("a lost root task");
}
