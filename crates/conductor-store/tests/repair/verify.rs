//! Divergences between the events and the rows are found by kind, and repaired where the events have the value.

use crate::helpers::{ended_to_range, range_to_ended};
use crate::support::TestStore;
use conductor_conformance::assert_replays;
use conductor_model::{RunDraft, TaskDraft};
use conductor_store::{
    Admin, DivergenceKind,
    DivergenceKind::{
        Attempt, CancelCause, ChildCounts, DueAt, Events, Id, Input, JoinPlan, JoinStatus, Kind, Lease,
        Policy, Position, RetryCount, Row, State, StateCounts,
    },
    RepairReport, SqliteStore, Verify,
};
use serde_json::json;

/// Changes of the rows of the example, each with the kinds of divergence that it causes.
const REPAIRABLE: &[(&str, &[DivergenceKind])] = &[
    (ended_to_range!("1024", "0", "NULL"), &[State]),
    (range_to_ended!("6", "2"), &[State]),
    (ended_to_range!("6145", "1", "NULL"), &[State]),
    ("UPDATE conductor_parents SET state = 0 WHERE task = 3072", &[State]),
    ("UPDATE conductor_ranges SET state = 4, due_at = NULL WHERE block = 2", &[State, DueAt]),
    ("UPDATE conductor_ranges SET due_at = due_at + 1 WHERE block = 2", &[DueAt]),
    ("UPDATE conductor_ranges SET due_at = NULL WHERE block = 2", &[DueAt]),
    (ended_to_range!("6145", "3", "5"), &[DueAt]),
    ("UPDATE conductor_ranges SET due_at = 99999999999999 WHERE block = 7", &[DueAt]),
    ("UPDATE conductor_ranges SET retry_count = 1 WHERE block = 2", &[RetryCount]),
    ("UPDATE conductor_ranges SET attempt = 0 WHERE block = 5", &[Attempt]),
    ("UPDATE conductor_ranges SET lease_until = 5, engine = 1 WHERE block = 6", &[Lease]),
    ("UPDATE conductor_parents SET open_children = 0 WHERE task = 3072", &[ChildCounts]),
    ("UPDATE conductor_parents SET fanout = 4 WHERE task = 3072", &[ChildCounts]),
    ("UPDATE conductor_parents SET children = 2 WHERE task = 3072", &[ChildCounts]),
    ("UPDATE conductor_parents SET sealed = 0 WHERE task = 3072", &[ChildCounts]),
    (
        "DELETE FROM conductor_ranges WHERE block = 7; UPDATE conductor_blocks SET is_parent = 1 WHERE block = 7;
         INSERT INTO conductor_parents (task, run, state, updated_at, sealed, fanout, children, open_children, \
         failed_children, cancelled_children) VALUES (7168, 1, 0, 0, 1, 1, 0, 0, 0, 0)",
        &[ChildCounts],
    ),
    ("UPDATE conductor_parents SET policy = '\"ignore\"' WHERE task = 3072", &[Policy]),
    ("UPDATE conductor_parents SET policy = '{' WHERE task = 3072", &[Policy]),
    ("UPDATE conductor_parents SET cancel_cause = 1 WHERE task = 3072", &[CancelCause]),
    ("UPDATE conductor_parents SET join_open = 1 WHERE task = 4096", &[JoinStatus]),
    ("UPDATE conductor_parents SET join_open = 0 WHERE task = 3072", &[JoinStatus]),
    ("UPDATE conductor_blocks SET child_index = 9 WHERE block = 9", &[Position]),
    ("UPDATE conductor_blocks SET parent = 4096, child_index = 9 WHERE block = 9", &[Position, State]),
    (
        "UPDATE conductor_blocks SET child_index = 99 WHERE block = 7;
         UPDATE conductor_blocks SET child_index = 1 WHERE block = 8;
         UPDATE conductor_blocks SET child_index = 2 WHERE block = 7",
        &[Position],
    ),
    ("UPDATE conductor_blocks SET prefix = '01ARZ3NDEKTSV4RRFFQ69G5F' WHERE block = 6", &[Id]),
    ("DELETE FROM conductor_ended WHERE task = 6145", &[State, Attempt]),
    ("DELETE FROM conductor_ranges WHERE block = 6", &[State]),
    ("DELETE FROM conductor_blocks WHERE block = 6", &[Row]),
    (
        "DELETE FROM conductor_blocks WHERE block = 6; DELETE FROM conductor_ranges WHERE block = 6;
         DELETE FROM conductor_ended WHERE task / 1024 = 6",
        &[Row],
    ),
    (
        "DELETE FROM conductor_blocks WHERE block = 8; DELETE FROM conductor_parents WHERE task = 8192",
        &[Input, Row],
    ),
    (
        "DELETE FROM conductor_blocks WHERE block = 7; DELETE FROM conductor_inputs WHERE task = 7168",
        &[Row],
    ),
    (
        "INSERT INTO conductor_blocks (prefix, low, count, run, parent, child_index, is_parent, kind, priority, \
         max_retries, created_at, has_inputs) VALUES ('01ARZ3NDEKTSV4RRFFQ69G5F', 0, 1, 1, 3072, 4, 0, 1, 0, 0, 0, 0);
         INSERT INTO conductor_ranges (block, first, last, state, attempt, retry_count, since, run, parent, kind, priority) \
         SELECT max(block), 0, 0, 0, 0, 0, 0, 1, 3072, 1, 0 FROM conductor_blocks",
        &[Row],
    ),
    ("INSERT INTO conductor_inputs VALUES (77000, 1, '[1]')", &[Input]),
    ("DELETE FROM conductor_inputs WHERE task = 7168", &[Input]),
    ("DELETE FROM conductor_inputs WHERE task IN (7168, 8192)", &[Input]),
    ("UPDATE conductor_inputs SET task = 78000 WHERE task = 8192", &[Input]),
    (
        "INSERT INTO conductor_joins VALUES (1, 3072, '01ARZ3NDEKTSV4RRFFQ69G5FAV', 1, 0, NULL, NULL)",
        &[JoinPlan],
    ),
    ("UPDATE conductor_runs SET state = 2", &[State]),
    ("UPDATE conductor_runs SET open_children = 1", &[ChildCounts]),
    ("UPDATE conductor_runs SET fanout = NULL, sealed = 0", &[ChildCounts]),
    ("UPDATE conductor_runs SET running = 0, succeeded = 100", &[StateCounts]),
    ("UPDATE conductor_runs SET cancel_cause = 2", &[CancelCause]),
    ("UPDATE conductor_runs SET policy = '\"fail_fast\"'", &[Policy]),
    ("UPDATE conductor_runs SET join_open = 1", &[JoinStatus]),
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
        test.assert_rows(&before, (change, &report));
        assert_replays(&test.store);
        assert_eq!(test.repair(), RepairReport { runs: 1, ..RepairReport::default() }, "{change}");
        test.finish(run);
    }
}

#[test]
fn unrepairable_divergence_is_reported() {
    for (change, kind) in [
        ("DELETE FROM conductor_blocks WHERE block = 1", Row),
        ("DELETE FROM conductor_blocks WHERE block = 1; DELETE FROM conductor_ended WHERE task = 1024", Row),
        ("DELETE FROM conductor_joins", JoinPlan),
        ("UPDATE conductor_joins SET kind = 99", Kind),
        ("DELETE FROM conductor_inputs WHERE task = 3072", Input),
        ("DELETE FROM conductor_inputs", Input),
        ("UPDATE conductor_blocks SET kind = 99 WHERE block = 1", Kind),
        ("DELETE FROM conductor_events WHERE task = 1024 AND name = 9", Events),
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
        ("UPDATE conductor_events SET name = -1 WHERE key = 9".into(), Events, vec![Events]),
        (format!("UPDATE conductor_events SET name = {MAX} WHERE key = 9"), Events, vec![Events]),
        (format!("UPDATE conductor_events SET task = {MAX} WHERE key = 9"), Events, vec![Events]),
        (format!("UPDATE conductor_events SET task = {MIN} WHERE key = 9"), Events, vec![Events]),
        (format!("UPDATE conductor_events SET task = {MAX} WHERE key = 3"), Events, vec![Events]),
        ("UPDATE conductor_events SET tasks = '[[1,0,0,1]]' WHERE key = 9".into(), Events, vec![Events]),
        (
            "UPDATE conductor_events SET payload = CAST(x'22FF22' AS TEXT) WHERE key = 9".into(),
            Events,
            vec![Events],
        ),
        (format!("UPDATE conductor_runs SET pending = {MAX} WHERE key = 1"), StateCounts, vec![]),
        ("UPDATE conductor_runs SET failed = -1 WHERE key = 1".into(), StateCounts, vec![]),
        ("UPDATE conductor_runs SET policy = CAST(x'22FF22' AS TEXT) WHERE key = 1".into(), Policy, vec![]),
        (format!("UPDATE conductor_runs SET cancel_cause = {MIN} WHERE key = 1"), CancelCause, vec![]),
        (format!("UPDATE conductor_parents SET cancel_cause = {MIN} WHERE task = 3072"), CancelCause, vec![]),
        ("UPDATE conductor_runs SET id = 'no id' WHERE key = 1".into(), Id, vec![Id]),
        ("UPDATE conductor_blocks SET prefix = 'no id' WHERE block = 6".into(), Row, vec![]),
        ("UPDATE conductor_blocks SET prefix = 'no id' WHERE block = 1".into(), Row, vec![Row]),
        (format!("UPDATE conductor_ended SET task = {MAX} WHERE task = 6145"), State, vec![]),
        (format!("UPDATE conductor_ended SET task = {MIN} WHERE task = 6145"), State, vec![]),
        (format!("UPDATE conductor_ranges SET block = {MAX} WHERE block = 6"), State, vec![]),
        (format!("UPDATE conductor_ranges SET block = {MIN} WHERE block = 6"), State, vec![]),
        (format!("UPDATE conductor_blocks SET block = {MAX} WHERE block = 6"), Row, vec![]),
        (format!("UPDATE conductor_blocks SET block = {MIN} WHERE block = 6"), Row, vec![]),
    ] {
        let test = TestStore::new();
        test.submit_example();
        test.submit(&RunDraft::new().task(TaskDraft::new("A")));
        test.change(&change);
        test.change("UPDATE conductor_ranges SET attempt = 7 WHERE run = 2");
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
        "UPDATE conductor_events SET name = 18, payload = '{imported}' WHERE key = 1;
         DELETE FROM conductor_events WHERE key = 2"
    ));
    assert_eq!(test.divergence_kinds(), [ChildCounts, StateCounts]);
}

#[test]
fn divergences_beyond_limit_are_counted() {
    let test = TestStore::new();
    test.submit(&RunDraft::new().task(TaskDraft::new("P").input(json!({"fanout": 50}))));
    test.run_steps();
    test.change("UPDATE conductor_ranges SET attempt = 7");
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
         UPDATE sqlite_master SET sql = 'CREATE INDEX conductor_ranges_retried ON conductor_ranges (run) WHERE attempt > 0'
            WHERE name = 'conductor_ranges_retried';",
    );
    let again = SqliteStore::open(test.path()).unwrap();
    let report = again.verify(&Verify { integrity: true, ..Verify::all() }).unwrap();
    assert!(report.found > 0, "{report:?}");
    assert!(report.divergences.iter().all(|item| item.kind == DivergenceKind::Integrity), "{report:?}");
}
