//! Query plans of frequent statements: each must find its rows through an index.

mod cost;
mod cost_of_cancels;
mod plans;
#[path = "../../tests/support/workload.rs"]
mod workload;

use super::connection::sql::{Result, SEEN};
use super::rows::{events, parents, tasks};
use super::work::{candidates, existing, ready};
use super::writes::{insert, leaves, prune};
use super::{SqliteStore, reads, submit_in};
use crate::ops::monitor;
use crate::{Environment, Submit};
use conductor_model::{RunDraft, Timestamp};
use rusqlite::Connection;
use std::collections::BTreeSet;
use workload::{claim_of, use_cancels, use_claims, use_everything};

/// The lines of EXPLAIN QUERY PLAN.
fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let unbound = rusqlite::params_from_iter((0..statement.parameter_count()).map(|_| rusqlite::types::Null));
    let lines = statement.query_map(unbound, |row| row.get(3)).unwrap();
    lines.map(|line: rusqlite::Result<String>| normalize(&line.unwrap())).collect()
}

/// A line of a plan without the alias of the table, and without whether the index covers the statement.
fn normalize(line: &str) -> String {
    line.replace("COVERING ", "").replace(" t USING", " conductor_tasks USING")
}

/// Asserts that a statement searches as expected, sorts nothing, and scans nothing but these.
fn assert_searches(connection: &Connection, sql: &str, expected: &str, may_scan: &[&str]) {
    let plan = plan(connection, sql);
    assert!(plan.iter().any(|line| line.contains(expected)), "{sql}: {plan:#?}");
    let scans = |line: &&String| line.contains("SCAN") && !may_scan.iter().any(|scan| line.contains(scan));
    let bad = plan.iter().find(|line| scans(line) || line.contains("TEMP B-TREE"));
    assert_eq!(bad, None, "{sql}: {plan:#?}");
}

const TASK_BY_KEY: &str = "SEARCH conductor_tasks USING INTEGER PRIMARY KEY (rowid=?)";
const RUN_BY_KEY: &str = "SEARCH conductor_runs USING INTEGER PRIMARY KEY (rowid=?)";

#[test]
fn hot_statements_use_index_without_sorting() {
    let store = SqliteStore::open_in_memory().unwrap();
    let writer = store.lock_writer();
    let (all_events, events_of_run) = (reads::events::events_sql(false), reads::events::events_sql(true));
    for (sql, expected) in [
        (candidates::FAN_OUT_RUN, "INDEX conductor_tasks_wants (wants=? AND run>? AND run<?)"),
        (candidates::TO_FAN_OUT, "INDEX conductor_tasks_wants (wants=? AND run=?)"),
        (candidates::SELECT_DECIDABLE, "INDEX conductor_tasks_wants (wants=? AND run>? AND run<?)"),
        (candidates::RUNS_TO_DECIDE, "INDEX conductor_runs_wants (wants=? AND rowid>? AND rowid<?)"),
        (candidates::RETRY_DUE, "INDEX conductor_tasks_due (state=? AND due_at<?)"),
        (candidates::RETRY_JUMPED, "INDEX conductor_tasks_due (state=? AND due_at>?)"),
        (candidates::START_DUE, "INDEX conductor_tasks_due (state=? AND due_at<?)"),
        (tasks::SELECT_BY_ID, "INDEX conductor_tasks_id (id=?)"),
        (leaves::WRITE_LEAF, TASK_BY_KEY),
        (parents::SELECT_PARENT, TASK_BY_KEY),
        (parents::UPDATE_PARENT, TASK_BY_KEY),
        (parents::SELECT_RUN, RUN_BY_KEY),
        (parents::UPDATE_RUN, RUN_BY_KEY),
        (existing::SELECT_BY_IDEMPOTENCY_KEY, "(idempotency_key=?)"),
        (&reads::tasks::tasks_sql(), "INDEX conductor_tasks_place (run=? AND (parent,ordinal)>(?,?))"),
        (&reads::tasks::children_sql(), "INDEX conductor_tasks_place (run=? AND parent=? AND ordinal>?)"),
        (&all_events, "SEARCH e USING INTEGER PRIMARY KEY (rowid>?)"),
        (&events_of_run, "INDEX conductor_events_run (run=? AND rowid>?)"),
    ] {
        assert_searches(writer.as_ref().unwrap(), sql, expected, &[]);
    }
}

/// A statement reads a list of row keys in a parameter as a virtual table.
const GIVEN_KEYS: &str = "SCAN rarray VIRTUAL TABLE";

#[test]
fn claim_statements_use_index_without_sorting() {
    let store = SqliteStore::open_in_memory().unwrap();
    let writer = store.lock_writer();
    let connection = writer.as_ref().unwrap();
    let running = "SEARCH conductor_tasks USING INDEX conductor_tasks_running";
    for (sql, expected) in [
        (ready::NEXT_RUN, "INDEX conductor_tasks_ready (kind=? AND run>?)"),
        (ready::SELECT_READY, "INDEX conductor_tasks_ready (kind=? AND run=?)"),
        (ready::SELECT_ISOLATED, "INDEX conductor_tasks_alone (kind=?)"),
        (tasks::SELECT_LEAVES, TASK_BY_KEY),
        (leaves::WRITE_LEAVES, TASK_BY_KEY),
        (leaves::REFRESH, TASK_BY_KEY),
        (candidates::LEASE_EXPIRED, running),
        (candidates::LEASE_JUMPED, running),
        (candidates::CLAIMS_OF_DEAD_ENGINES, running),
        (reads::claims::CLAIMS_OF_ENGINE, running),
        (reads::work::NEXT_DUE, "USING INDEX conductor_tasks_due (state=?"),
        (reads::work::NEXT_DUE, "USING INDEX conductor_tasks_running (lease_until>?)"),
    ] {
        assert_searches(connection, sql, expected, &[GIVEN_KEYS]);
    }
    let of_leaves = plan(connection, events::INSERT_LEAVES);
    assert!(of_leaves.iter().all(|line| line.starts_with(GIVEN_KEYS)), "{of_leaves:#?}");
}

#[test]
fn insert_reads_only_its_values() {
    let store = SqliteStore::open_in_memory().unwrap();
    let writer = store.lock_writer();
    let connection = writer.as_ref().unwrap();
    for insert in [insert::INSERT_TASK, insert::INSERT_INPUT, events::INSERT] {
        assert_eq!(plan(connection, insert), Vec::<String>::new());
    }
    for insert in [insert::insert_tasks_sql(256), insert::insert_inputs_sql(256)] {
        assert_eq!(plan(connection, &insert), ["SCAN 256-ROW VALUES CLAUSE"]);
    }
}

/// Submits a run in a transaction of the caller, and rolls it back.
fn use_submit_in(store: &SqliteStore) -> Result<(), Box<dyn std::error::Error>> {
    let env = Environment::seeded(Timestamp::from_millis(1_767_225_600_000)?, 4);
    let mut writer = store.lock_writer();
    let tx = writer.as_mut().ok_or("no writer")?.transaction()?;
    submit_in(&tx, &Submit::new(RunDraft::new().validate()?, &env))?;
    Ok(tx.rollback()?)
}

#[test]
fn no_statement_scans_growing_tables() {
    let store = SqliteStore::open_in_memory().unwrap();
    SEEN.with_borrow_mut(BTreeSet::clear);
    use_everything(&store).unwrap();
    use_submit_in(&store).unwrap();
    use_claims(&store).unwrap();
    use_cancels(&store).unwrap();
    let statements = SEEN.with_borrow(Clone::clone);
    assert!(statements.len() > 55, "{} statements", statements.len());
    let writer = store.lock_writer();
    // These may be read completely: stuck rows (s), engines, lists of keys, and indexes with few entries.
    let few = [
        GIVEN_KEYS,
        "SCAN conductor_engines",
        "SCAN conductor_kinds",
        "SCAN conductor_pruned",
        // The progress of running tasks.
        "SCAN reported",
        // Open tasks in a part of an index, and their ancestors.
        "SCAN above",
        // The first thousand of an index.
        "SCAN overdue",
        "SCAN s",
        "SCAN (subquery",
        "SCAN CONSTANT ROW",
        "ROW VALUES CLAUSE",
        "INDEX conductor_runs_",
        "INDEX conductor_tasks_retried",
        "INDEX conductor_tasks_wants",
    ];
    // These read all that they return: the state counts of all runs, and the tasks of a run that is pruned.
    let a_run = "conductor_tasks USING INDEX conductor_tasks_place (run=?)";
    let removed = format!("SEARCH {a_run}");
    let stuck = reads::stuck::stuck_sql(&monitor::CONDITIONS);
    let whole = [(reads::counts::STATE_COUNTS, "SCAN conductor_runs"), (prune::TASKS, &removed)];
    for sql in statements {
        let plan = plan(writer.as_ref().unwrap(), &sql);
        let allowed = whole.iter().find(|(statement, _)| sql == *statement).map(|(_, line)| *line);
        let bad = |line: &&String| {
            let scans = line.contains("SCAN") && !few.iter().any(|few| line.contains(few));
            (scans || line.ends_with(a_run)) && allowed != Some(line.as_str())
        };
        assert_eq!(plan.iter().find(bad), None, "{sql}\n{plan:#?}");
        // Only stuck rows are sorted, the longest first.
        let sorts = plan.iter().any(|line| line.contains("TEMP B-TREE")) && sql != stuck;
        assert!(!sorts, "{sql}\n{plan:#?}");
    }
}
