//! The plans of the statements that run often: each one finds what it wants through an index.

use super::{
    SqliteStore, aggregate, children, create, event_log, fan_out, ledger, monitor, promote, query, report,
    retry, submit, task_row, transit,
};
use rusqlite::Connection;

/// The lines of EXPLAIN QUERY PLAN.
fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let unbound = rusqlite::params_from_iter((0..statement.parameter_count()).map(|_| rusqlite::types::Null));
    let lines = statement.query_map(unbound, |row| row.get(3)).unwrap();
    lines.map(|line: rusqlite::Result<String>| line.unwrap().replace("COVERING ", "")).collect()
}

#[test]
fn every_hot_statement_searches_an_index_and_sorts_nothing() {
    let store = SqliteStore::open_in_memory().unwrap();
    let writer = store.lock_writer();
    let connection = writer.as_ref().unwrap();
    let (tasks, children) = (query::tasks_sql(), query::children_sql());
    let (events, events_of_run) = (query::events_sql(false), query::events_sql(true));
    let statements = [
        (
            "fan-out candidates",
            fan_out::TO_FAN_OUT,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_wants (wants=? AND run>? AND run<?)",
        ),
        (
            "parents to decide",
            aggregate::PARENTS_TO_DECIDE,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_wants (wants=? AND run>? AND run<?)",
        ),
        (
            "runs to decide",
            aggregate::RUNS_TO_DECIDE,
            "SEARCH conductor_runs USING INDEX conductor_runs_to_decide (key>? AND key<?)",
        ),
        (
            "retries that are due",
            retry::RETRY_DUE,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_due (state=? AND due_at<?)",
        ),
        (
            "retries of a clock that jumped",
            retry::RETRY_JUMPED,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_due (state=? AND due_at>?)",
        ),
        (
            "starts that are due",
            promote::START_DUE,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_due (state=? AND due_at<?)",
        ),
        (
            "a task by its id",
            task_row::SELECT_BY_ID,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_id (id=?)",
        ),
        (
            "a task by its key",
            task_row::SELECT_BY_KEY,
            "SEARCH conductor_tasks USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        ("a transition", transit::UPDATE, "SEARCH conductor_tasks USING INTEGER PRIMARY KEY (rowid=?)"),
        ("a promotion", promote::PROMOTE, "SEARCH conductor_tasks USING INTEGER PRIMARY KEY (rowid=?)"),
        ("a sign of life", report::TOUCH, "SEARCH conductor_tasks USING INTEGER PRIMARY KEY (rowid=?)"),
        (
            "a parent's numbers",
            ledger::SELECT_PARENT,
            "SEARCH conductor_tasks USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        (
            "writing a parent's numbers",
            ledger::UPDATE_PARENT,
            "SEARCH conductor_tasks USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        ("a run's numbers", ledger::SELECT_RUN, "SEARCH conductor_runs USING INTEGER PRIMARY KEY (rowid=?)"),
        (
            "writing a run's numbers",
            ledger::UPDATE_RUN,
            "SEARCH conductor_runs USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        ("an idempotency key", submit::SELECT_BY_IDEMPOTENCY_KEY, "(idempotency_key=?)"),
        (
            "the tasks of a run",
            &tasks,
            "SEARCH t USING INDEX conductor_tasks_place (run=? AND (parent,ordinal)>(?,?))",
        ),
        (
            "the children of a parent",
            &children,
            "SEARCH t USING INDEX conductor_tasks_place (run=? AND parent=? AND ordinal>?)",
        ),
        ("events", &events, "SEARCH e USING INTEGER PRIMARY KEY (rowid>?)"),
        (
            "the events of a run",
            &events_of_run,
            "SEARCH e USING INDEX conductor_events_run (run=? AND rowid>?)",
        ),
    ];
    for (what, sql, expected) in statements {
        let plan = plan(connection, sql);
        assert!(plan.iter().any(|line| line.contains(expected)), "{what}: {plan:#?}");
        let bad = plan.iter().find(|line| line.contains("SCAN") || line.contains("TEMP B-TREE"));
        assert_eq!(bad, None, "{what}: {plan:#?}");
    }
}

#[test]
fn an_insert_reads_nothing_but_its_values() {
    let store = SqliteStore::open_in_memory().unwrap();
    let writer = store.lock_writer();
    let connection = writer.as_ref().unwrap();
    for insert in [create::INSERT_TASK, create::INSERT_INPUT, event_log::INSERT] {
        assert_eq!(plan(connection, insert), Vec::<String>::new());
    }
    for insert in [children::insert_tasks_sql(256), children::insert_inputs_sql(256)] {
        assert_eq!(plan(connection, &insert), ["SCAN 256-ROW VALUES CLAUSE"]);
    }
}

#[test]
fn monitoring_reads_whole_only_what_is_few() {
    let store = SqliteStore::open_in_memory().unwrap();
    let writer = store.lock_writer();
    let connection = writer.as_ref().unwrap();
    for sql in [monitor::stuck_sql(), monitor::count_stuck_sql(), monitor::COUNT_EVENTS.into()] {
        let plan = plan(connection, &sql);
        // What was found to be stuck (s), and the runs that are open.
        let few = ["SCAN s", "SCAN CONSTANT ROW", "SCAN (subquery", "USING INDEX conductor_runs_"];
        let bad = plan.iter().find(|line| line.contains("SCAN") && !few.iter().any(|few| line.contains(few)));
        assert_eq!(bad, None, "{plan:#?}");
    }
}
