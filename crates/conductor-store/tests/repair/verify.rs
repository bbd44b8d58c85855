//! Divergences between the events and the rows are found by kind, and repaired where the events have the value.

use crate::support::TestStore;
use conductor_conformance::assert_replays;
use conductor_model::{RunDraft, TaskDraft};
use conductor_store::{
    Admin, DivergenceKind,
    DivergenceKind::{
        Attempt, CancelCause, ChildCounts, DueAt, Events, Id, Input, JoinPlan, JoinStatus, Kind, Lease,
        Policy, Position, RetryCount, Row, StateCounts,
    },
    RepairReport, SqliteStore, Verify,
};
use serde_json::json;

/// Changes of the rows of the example, each with the kinds of divergence that it causes.
const REPAIRABLE: &[(&str, &[DivergenceKind])] = &[
    ("UPDATE conductor_tasks SET state = 0 WHERE key = 1", &[DivergenceKind::State]),
    ("UPDATE conductor_tasks SET state = 2 WHERE key = 8", &[DivergenceKind::State]),
    ("UPDATE conductor_tasks SET state = 1 WHERE key = 7", &[DivergenceKind::State]),
    ("UPDATE conductor_tasks SET state = 0 WHERE key = 3", &[DivergenceKind::State]),
    ("UPDATE conductor_tasks SET state = 4, due_at = NULL WHERE key = 2", &[DivergenceKind::State, DueAt]),
    ("UPDATE conductor_tasks SET due_at = due_at + 1 WHERE key = 2", &[DueAt]),
    ("UPDATE conductor_tasks SET due_at = NULL WHERE key = 2", &[DueAt]),
    ("UPDATE conductor_tasks SET due_at = 5 WHERE key = 7", &[DueAt]),
    ("UPDATE conductor_tasks SET due_at = 99999999999999 WHERE key = 9", &[DueAt]),
    ("UPDATE conductor_tasks SET retry_count = 1 WHERE key = 2", &[RetryCount]),
    ("UPDATE conductor_tasks SET attempt = 0 WHERE key = 5", &[Attempt]),
    ("UPDATE conductor_tasks SET lease_until = 5, holder = 1 WHERE key = 8", &[Lease]),
    ("UPDATE conductor_tasks SET open_children = 0 WHERE key = 3", &[ChildCounts]),
    ("UPDATE conductor_tasks SET fanout = 4 WHERE key = 3", &[ChildCounts]),
    ("UPDATE conductor_tasks SET children = 2 WHERE key = 3", &[ChildCounts]),
    ("UPDATE conductor_tasks SET sealed = NULL WHERE key = 3", &[ChildCounts]),
    (
        "UPDATE conductor_tasks SET sealed = 1, fanout = 1, children = 0, open_children = 0, failed_children = 0, \
         cancelled_children = 0 WHERE key = 8",
        &[ChildCounts],
    ),
    ("UPDATE conductor_tasks SET policy = '\"ignore\"' WHERE key = 3", &[Policy]),
    ("UPDATE conductor_tasks SET policy = '{' WHERE key = 3", &[Policy]),
    ("UPDATE conductor_tasks SET mark = 1 WHERE key = 3", &[CancelCause]),
    ("UPDATE conductor_tasks SET joining = 1 WHERE key = 4", &[JoinStatus]),
    ("UPDATE conductor_tasks SET joining = 0 WHERE key = 3", &[JoinStatus]),
    ("UPDATE conductor_tasks SET ordinal = 9 WHERE key = 8", &[Position]),
    ("UPDATE conductor_tasks SET parent = 4, ordinal = 9 WHERE key = 8", &[Position]),
    (
        "UPDATE conductor_tasks SET ordinal = 99 WHERE key = 7; UPDATE conductor_tasks SET ordinal = 2 WHERE key = 8;
         UPDATE conductor_tasks SET ordinal = 3 WHERE key = 7",
        &[Position],
    ),
    ("UPDATE conductor_tasks SET id = randomblob(16) WHERE key = 8", &[Id]),
    ("DELETE FROM conductor_tasks WHERE key = 7", &[Row]),
    ("DELETE FROM conductor_tasks WHERE key = 8", &[Row]),
    ("DELETE FROM conductor_tasks WHERE key IN (6, 7, 8)", &[Row]),
    ("DELETE FROM conductor_tasks WHERE key = 10", &[Input, Row]),
    ("DELETE FROM conductor_tasks WHERE key = 9; DELETE FROM conductor_inputs WHERE task = 9", &[Row]),
    (
        "INSERT INTO conductor_tasks (id, run, parent, ordinal, state, kind, priority, created_at, updated_at, attempt, \
         retry_count, max_retries) VALUES (randomblob(16), 1, 3, 4, 0, 1, 0, 0, 0, 0, 0, 0)",
        &[Row],
    ),
    ("INSERT INTO conductor_inputs VALUES (77, '1')", &[Input]),
    ("DELETE FROM conductor_inputs WHERE task = 9", &[Input]),
    ("DELETE FROM conductor_inputs WHERE task IN (9, 10)", &[Input]),
    ("UPDATE conductor_inputs SET task = 78 WHERE task = 10", &[Input]),
    ("INSERT INTO conductor_joins VALUES (1, 3, randomblob(16), 1, 0, NULL, NULL)", &[JoinPlan]),
    ("UPDATE conductor_runs SET state = 2", &[DivergenceKind::State]),
    ("UPDATE conductor_runs SET open_children = 1", &[ChildCounts]),
    ("UPDATE conductor_runs SET fanout = NULL, sealed = 0", &[ChildCounts]),
    ("UPDATE conductor_runs SET running = 0, succeeded = 100", &[StateCounts]),
    ("UPDATE conductor_runs SET mark = 2", &[CancelCause]),
    ("UPDATE conductor_runs SET policy = '\"fail_fast\"'", &[Policy]),
    ("UPDATE conductor_runs SET joining = 1", &[JoinStatus]),
];

#[test]
fn divergence_from_events_is_named_and_repaired() {
    for (change, kinds) in REPAIRABLE {
        let test = TestStore::new();
        let run = test.submit_example();
        let before = test.rows();
        test.change(change);
        let mut expected = kinds.to_vec();
        expected.sort_unstable();
        assert_eq!(test.divergence_kinds(), expected, "{change}");
        let report = test.repair();
        assert_eq!(report.unrepairable, [], "{change}");
        assert!(!report.repaired.is_empty(), "{change}");
        assert!(report.repaired.iter().all(|repaired| !repaired.action.is_empty()), "{change}");
        assert_eq!(test.divergence_kinds(), [], "{change}");
        assert_eq!(test.rows(), before, "{change}: {report:#?}");
        assert_replays(&test.store);
        assert_eq!(test.repair(), RepairReport { runs: 1, ..RepairReport::default() }, "{change}");
        test.finish(run);
    }
}

#[test]
fn unrepairable_divergence_is_reported() {
    for (change, kind) in [
        ("DELETE FROM conductor_tasks WHERE key = 1", Row),
        ("DELETE FROM conductor_joins", JoinPlan),
        ("UPDATE conductor_joins SET kind = 99", Kind),
        ("DELETE FROM conductor_inputs WHERE task = 3", Input),
        ("DELETE FROM conductor_inputs", Input),
        ("UPDATE conductor_tasks SET kind = 99 WHERE key = 1", Kind),
        ("DELETE FROM conductor_events WHERE task = 1 AND name = 9", Events),
        ("UPDATE conductor_events SET payload = '{' WHERE name = 7", Events),
        // Without events, the rows are not at fault.
        ("DELETE FROM conductor_events", Events),
    ] {
        let test = TestStore::new();
        test.submit_example();
        test.change(change);
        assert_eq!(test.divergence_kinds(), [kind], "{change}");
        let report = test.repair();
        assert_eq!(report.repaired, [], "{change}");
        assert!(!report.unrepairable.is_empty(), "{change}");
        assert!(report.unrepairable.iter().all(|item| !item.reason.is_empty()), "{change}");
        assert_eq!(test.divergence_kinds(), [kind], "{change}");
    }
}

#[test]
fn bad_value_affects_only_its_row() {
    const MAX: i64 = i64::MAX;
    const MIN: i64 = i64::MIN;
    for (change, kind, remaining) in [
        ("UPDATE conductor_events SET name = -1 WHERE seq = 9".into(), Events, vec![Events]),
        (format!("UPDATE conductor_events SET name = {MAX} WHERE seq = 9"), Events, vec![Events]),
        (format!("UPDATE conductor_events SET task = {MAX} WHERE seq = 9"), Events, vec![Events]),
        (format!("UPDATE conductor_events SET task = {MIN} WHERE seq = 9"), Events, vec![Events]),
        (format!("UPDATE conductor_events SET task = {MAX} WHERE seq = 3"), Events, vec![Events]),
        (
            "UPDATE conductor_events SET payload = CAST(x'22FF22' AS TEXT) WHERE seq = 9".into(),
            Events,
            vec![Events],
        ),
        (format!("UPDATE conductor_runs SET pending = {MAX} WHERE key = 1"), StateCounts, vec![]),
        ("UPDATE conductor_runs SET failed = -1 WHERE key = 1".into(), StateCounts, vec![]),
        ("UPDATE conductor_runs SET policy = CAST(x'22FF22' AS TEXT) WHERE key = 1".into(), Policy, vec![]),
        (format!("UPDATE conductor_runs SET mark = {MIN} WHERE key = 1"), CancelCause, vec![]),
        (format!("UPDATE conductor_tasks SET mark = {MIN} WHERE key = 3"), CancelCause, vec![]),
        ("UPDATE conductor_runs SET id = x'00' WHERE key = 1".into(), Id, vec![Id]),
        ("UPDATE conductor_tasks SET id = x'00' WHERE key = 7".into(), Id, vec![]),
        ("UPDATE conductor_tasks SET id = x'00' WHERE key = 1".into(), Id, vec![Id]),
        (format!("UPDATE conductor_tasks SET key = {MAX} WHERE key = 7"), Row, vec![]),
        (format!("UPDATE conductor_tasks SET key = {MIN} WHERE key = 7"), Row, vec![]),
    ] {
        let test = TestStore::new();
        test.submit_example();
        test.submit(&RunDraft::new().task(TaskDraft::new("A")));
        test.change(&change);
        test.change("UPDATE conductor_tasks SET attempt = 7 WHERE run = 2");
        let mut expected = [kind, Attempt];
        expected.sort_unstable();
        assert_eq!(test.divergence_kinds(), expected, "{change}");
        let _ = test.repair();
        assert_eq!(test.divergence_kinds(), remaining, "{change}");
    }
}

#[test]
fn counts_at_maximum_in_event_do_not_overflow() {
    let test = TestStore::new();
    test.submit_example();
    let child_counts = json!({"total": 5, "created": 0, "open": u32::MAX, "failed": 0, "cancelled": 0});
    let state_counts =
        json!({"pending": u64::MAX, "running": 0, "succeeded": 0, "failed": 0, "cancelled": 0});
    let imported = json!({"state": "PENDING", "child_counts": child_counts, "state_counts": state_counts});
    test.change(&format!(
        "UPDATE conductor_events SET name = 18, payload = '{imported}' WHERE seq = 1;
         DELETE FROM conductor_events WHERE seq = 2"
    ));
    assert_eq!(test.divergence_kinds(), [ChildCounts, StateCounts]);
}

#[test]
fn divergences_beyond_limit_are_counted() {
    let test = TestStore::new();
    test.submit(&RunDraft::new().task(TaskDraft::new("P").input(json!({"fanout": 50}))));
    test.run_steps();
    test.change("UPDATE conductor_tasks SET attempt = 7 WHERE parent > 0");
    let report = test.store.verify(&Verify { max_divergences: 10, ..Verify::all() }).unwrap();
    assert_eq!((report.divergences.len(), report.found), (10, 50));
    let shown = report.divergences[0].to_string();
    assert!(shown.ends_with(": attempt: found 7; expected 0"), "{shown}");
    assert_eq!(test.repair().repaired.len(), 50);
    assert_eq!(test.divergence_kinds(), []);
}

#[test]
fn corrupt_index_is_found_by_integrity_check() {
    let test = TestStore::new();
    test.submit_example();
    test.change(
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_master SET sql = 'CREATE INDEX conductor_tasks_retried ON conductor_tasks (run, attempt) WHERE attempt > 0'
            WHERE name = 'conductor_tasks_retried';",
    );
    let again = SqliteStore::open(test.path()).unwrap();
    let report = again.verify(&Verify { integrity: true, ..Verify::all() }).unwrap();
    assert!(report.found > 0, "{report:?}");
    assert!(report.divergences.iter().all(|item| item.kind == DivergenceKind::Integrity), "{report:?}");
}
