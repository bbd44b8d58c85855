//! The plans of less frequent statements: cancels, revivals, prunes, verifications, explanations, and corrupt rows.

use super::{GIVEN_KEYS, assert_searches, plan};
use crate::sqlite::SqliteStore;
use crate::sqlite::audit::{events, inputs, runs, tasks};
use crate::sqlite::reads::{find_child, latest_events};
use crate::sqlite::rows::{parents, tasks as task_rows};
use crate::sqlite::work::candidates;
use crate::sqlite::writes::{leaves, prune};

/// The result of a subquery that is limited.
const SUBQUERY: &str = "SCAN (subquery";

#[test]
fn cancel_and_revive_statements_use_index_without_sorting() {
    let store = SqliteStore::open_in_memory().unwrap();
    let writer = store.lock_writer();
    for (sql, expected) in [
        (candidates::SWEEP_RUN, "INDEX conductor_runs_wants (wants=? AND rowid>? AND rowid<?)"),
        (candidates::SWEEP_RUN, "INDEX conductor_tasks_wants (wants=? AND run>? AND run<?)"),
        (candidates::PARENTS_TO_SWEEP, "INDEX conductor_tasks_wants (wants=? AND run=?)"),
        (task_rows::SELECT_CHILDREN, "INDEX conductor_tasks_place (run=? AND parent=? AND ordinal>?)"),
        (task_rows::SELECT_FROM, "INDEX conductor_tasks_place (run=? AND (parent,ordinal)>(?,?))"),
        (candidates::EXPIRED, "INDEX conductor_runs_deadline (deadline>? AND deadline<?)"),
    ] {
        assert_searches(writer.as_ref().unwrap(), sql, expected, &[]);
    }
}

#[test]
fn corrupt_row_statements_use_index() {
    let store = SqliteStore::open_in_memory().unwrap();
    let writer = store.lock_writer();
    let by_key = "USING INTEGER PRIMARY KEY (rowid=?)";
    let place = "INDEX conductor_tasks_place (run=? AND parent=? AND ordinal>?)";
    for (sql, expected) in [
        (leaves::FAIL_CORRUPT, by_key),
        (parents::FAIL_RUN, by_key),
        (parents::UPDATE_CORRUPT_PARENT, by_key),
        (candidates::UNCOUNTED_CHILD, place),
    ] {
        let plan = plan(writer.as_ref().unwrap(), sql);
        assert!(plan.len() == 1 && plan[0].ends_with(expected), "{sql}: {plan:#?}");
    }
}

#[test]
fn prune_and_verify_statements_use_index_without_sorting() {
    let store = SqliteStore::open_in_memory().unwrap();
    let writer = store.lock_writer();
    for (sql, expected) in [
        (prune::NEXT_SETTLED, "INDEX conductor_runs_ended (updated_at<?)"),
        (prune::TASKS, "INDEX conductor_tasks_place (run=?)"),
        (prune::EVENTS, "INDEX conductor_events_run (run=?)"),
        (prune::JOINS, "INDEX sqlite_autoindex_conductor_joins_1 (run=?)"),
        (prune::DELETE_TASKS, "SEARCH conductor_tasks USING INTEGER PRIMARY KEY (rowid=?)"),
        (prune::DELETE_EVENTS, "SEARCH conductor_events USING INTEGER PRIMARY KEY (rowid=?)"),
        (events::EVENTS, "INDEX conductor_events_run (run=? AND rowid>? AND rowid<?)"),
        (
            events::EVENTS_IN_TABLE_ORDER,
            "SEARCH conductor_events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        ),
        (events::PAGE, "INDEX conductor_events_run (run=? AND rowid>?)"),
        (tasks::TASKS, "INDEX conductor_tasks_place (run=? AND (parent,ordinal)>(?,?))"),
        (runs::NEXT_RUN, "INDEX conductor_events_run (run>?)"),
        (inputs::INPUTS, "SEARCH i USING INTEGER PRIMARY KEY (rowid>?)"),
    ] {
        assert_searches(writer.as_ref().unwrap(), sql, expected, &[GIVEN_KEYS, SUBQUERY]);
    }
}

#[test]
fn explain_statements_use_index_without_sorting() {
    let store = SqliteStore::open_in_memory().unwrap();
    let writer = store.lock_writer();
    let place = "INDEX conductor_tasks_place (run=? AND parent=? AND ordinal>?)";
    let running = "INDEX conductor_tasks_running (lease_until";
    let last = "INDEX conductor_events_name (run=? AND name=?)";
    let behind = "INDEX conductor_events_name (run=? AND name=? AND rowid>?)";
    let mut statements = vec![
        (find_child::END_OF_FIRST, "INDEX conductor_tasks_place (run=? AND parent=? AND ordinal=?)"),
        (find_child::RUNNING_EXTERNALLY, running),
        (find_child::CLAIMED, running),
        (find_child::DUE, "INDEX conductor_tasks_due_of_run (run=? AND rowid>?)"),
        (find_child::WAITING_FOR_STEP, "INDEX conductor_tasks_wants (wants=? AND run=? AND rowid>?)"),
        (find_child::FAILED_IN, "INDEX conductor_tasks_due (state=? AND due_at=? AND run=? AND rowid>?)"),
        (find_child::LAST_CANCELS, last),
        (latest_events::SELECT_LAST_EVENT, last),
        (latest_events::SELECT_LAST_OF_TASK, last),
        (latest_events::SELECT_LAST_CANCEL, last),
        (latest_events::SELECT_CANCEL_SINCE, behind),
        (latest_events::SELECT_NEXT_EVENT, behind),
    ];
    for children in [find_child::OPEN, find_child::FAILED, find_child::CANCELLED] {
        let by_key = "SEARCH p USING INTEGER PRIMARY KEY (rowid=?)";
        statements.extend([(children.first, place), (children.above, by_key), (children.last, place)]);
    }
    let ready = "INDEX conductor_tasks_ready (kind";
    let isolated = "INDEX conductor_tasks_alone (kind";
    for (leaves, index) in [(find_child::READY, ready), (find_child::ISOLATED, isolated)] {
        statements.extend([(leaves.kind, index), (leaves.priority, index), (leaves.keys, index)]);
    }
    for (sql, expected) in statements {
        // Rows from a part of an index, and their ancestors.
        assert_searches(writer.as_ref().unwrap(), sql, expected, &[SUBQUERY, "SCAN above", GIVEN_KEYS]);
    }
}
