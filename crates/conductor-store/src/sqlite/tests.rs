//! Query plans: each statement must find its rows through an index.

mod cost;
mod cost_of_cancels;
#[path = "../../tests/support/workload.rs"]
mod workload;

use super::connection::sql::{Result, SEEN};
use super::{SqliteStore, submit_in};
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
    lines.map(|line: rusqlite::Result<String>| line.unwrap().replace("COVERING ", "")).collect()
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
    // These may be read completely: engines, lists of keys, and indexes with few entries.
    let few = [
        "SCAN rarray VIRTUAL TABLE",
        "SCAN CONSTANT ROW",
        "-ROW VALUES CLAUSE",
        "SCAN conductor_engines",
        "SCAN conductor_prune_queue",
        "SCAN sqlite_sequence",
        "USING INDEX conductor_ended_failed",
        "USING INDEX conductor_ended_retried",
        "USING INDEX conductor_ranges_retried",
        "USING INDEX conductor_parents_retried",
        // The progress of running tasks.
        "SCAN reported",
        // The first thousand of an index, and other subqueries with a limit.
        "SCAN b",
        "SCAN overdue",
        "SCAN (subquery",
    ];
    for sql in statements {
        let plan = plan(writer.as_ref().unwrap(), &sql);
        // The state counts of all runs.
        let reads_runs = sql.contains("sum(pending)");
        let is_bad = |line: &&String| {
            let scans = line.contains("SCAN") && !few.iter().any(|few| line.contains(few));
            scans && !(reads_runs && line.as_str() == "SCAN conductor_runs") || line.contains("TEMP B-TREE")
        };
        assert_eq!(plan.iter().find(is_bad), None, "{sql}\n{plan:#?}");
        // The blocks of a run are read one by one only for counts of its leaves, each from an index with few entries.
        let reads_run = plan.iter().any(|line| line.ends_with("INDEX conductor_blocks_position (run=?)"));
        let is_count = ["conductor_ended_failed", "conductor_ended_retried", " LIMIT "];
        assert!(!reads_run || is_count.iter().any(|index| sql.contains(index)), "{sql}\n{plan:#?}");
    }
}
