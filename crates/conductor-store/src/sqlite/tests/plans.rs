//! The plans of what is done now and then: cancels, revivals, prunes, verifications, and what is decided of damage.

use super::{GIVEN_KEYS, plan};
use crate::sqlite::{
    SqliteStore, audit, below, damage, expire, fan_out, given_up, prune, retry, sweep, task_row, verify,
};

#[test]
fn cancel_and_revive_statements_use_index_without_sorting() {
    let store = SqliteStore::open_in_memory().unwrap();
    let writer = store.lock_writer();
    let connection = writer.as_ref().unwrap();
    let statements = [
        (
            "runs to sweep",
            sweep::NEXT_RUN,
            "SEARCH conductor_runs USING INDEX conductor_runs_wants (wants=? AND rowid>? AND rowid<?)",
        ),
        (
            "runs to sweep in",
            sweep::NEXT_RUN,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_wants (wants=? AND run>? AND run<?)",
        ),
        (
            "parents to sweep",
            sweep::FAMILIES_TO_SWEEP,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_wants (wants=? AND run=?)",
        ),
        (
            "children to sweep",
            task_row::SELECT_CHILDREN,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_place (run=? AND parent=? AND ordinal>?)",
        ),
        (
            "what is to be revived",
            task_row::SELECT_NEXT,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_place (run=? AND (parent,ordinal)>(?,?))",
        ),
        (
            "runs whose deadline passed",
            expire::EXPIRED,
            "SEARCH conductor_runs USING INDEX conductor_runs_deadline (deadline>? AND deadline<?)",
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
fn corrupt_row_statements_use_index() {
    let store = SqliteStore::open_in_memory().unwrap();
    let writer = store.lock_writer();
    let by_key = "USING INTEGER PRIMARY KEY (rowid=?)";
    let place = "INDEX conductor_tasks_place (run=? AND parent=? AND ordinal>? AND ordinal<?)";
    for (sql, expected) in [
        (damage::SET_ASIDE, by_key),
        (damage::FAIL_RUN, by_key),
        (retry::NOTHING_DUE, by_key),
        (fan_out::TAKEN, place),
    ] {
        let plan = plan(writer.as_ref().unwrap(), sql);
        assert!(plan.len() == 1 && plan[0].ends_with(expected), "{sql}: {plan:#?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of statements")]
fn prune_and_verify_statements_use_index_without_sorting() {
    let store = SqliteStore::open_in_memory().unwrap();
    let writer = store.lock_writer();
    let connection = writer.as_ref().unwrap();
    let tasks = verify::tasks_sql();
    let statements = [
        (
            "runs that ended",
            prune::ENDED,
            "SEARCH conductor_runs USING INDEX conductor_runs_ended (updated_at<?)",
        ),
        ("tasks of a run", prune::TASKS, "SEARCH conductor_tasks USING INDEX conductor_tasks_place (run=?)"),
        (
            "events of a run",
            prune::EVENTS,
            "SEARCH conductor_events USING INDEX conductor_events_run (run=?)",
        ),
        (
            "joins of a run",
            prune::JOINS,
            "SEARCH conductor_joins USING INDEX sqlite_autoindex_conductor_joins_1 (run=?)",
        ),
        ("removing tasks", prune::DELETE_TASKS, "SEARCH conductor_tasks USING INTEGER PRIMARY KEY (rowid=?)"),
        (
            "removing events",
            prune::DELETE_EVENTS,
            "SEARCH conductor_events USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        (
            "events in their order",
            audit::EVENTS,
            "SEARCH conductor_events USING INDEX conductor_events_run (run=? AND rowid>? AND rowid<?)",
        ),
        (
            "events as they lie",
            audit::EVENTS_AS_THEY_LIE,
            "SEARCH conductor_events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        ),
        (
            "a page of events",
            audit::PAGE,
            "SEARCH conductor_events USING INDEX conductor_events_run (run=? AND rowid>?)",
        ),
        (
            "rows in their order",
            &tasks,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_place (run=? AND (parent,ordinal)>(?,?))",
        ),
        (
            "the next run",
            verify::NEXT_RUN,
            "SEARCH conductor_events USING INDEX conductor_events_run (run>?)",
        ),
        ("inputs", verify::INPUTS, "SEARCH i USING INTEGER PRIMARY KEY (rowid>?)"),
    ];
    for (what, sql, expected) in statements {
        let plan = plan(connection, sql);
        assert!(plan.iter().any(|line| line.contains(expected)), "{what}: {plan:#?}");
        let scans = |line: &&String| {
            line.contains("SCAN") && !line.starts_with(GIVEN_KEYS) && !line.contains("SCAN (subquery")
        };
        let bad = plan.iter().find(|line| scans(line) || line.contains("TEMP B-TREE"));
        assert_eq!(bad, None, "{what}: {plan:#?}");
    }
}

#[test]
fn explain_statements_use_index_without_sorting() {
    let store = SqliteStore::open_in_memory().unwrap();
    let writer = store.lock_writer();
    let place = "SEARCH conductor_tasks USING INDEX conductor_tasks_place (run=? AND parent=? AND ordinal>?)";
    let running = "SEARCH conductor_tasks USING INDEX conductor_tasks_running (lease_until";
    let ready = "SEARCH conductor_tasks USING INDEX conductor_tasks_ready (kind";
    let alone = "SEARCH conductor_tasks USING INDEX conductor_tasks_alone (kind";
    let mut statements = vec![
        (
            below::LAST_OF_THE_FIRST,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_place (run=? AND parent=? AND ordinal=?)",
        ),
        (below::RUNNING_OUTSIDE, running),
        (below::CLAIMED, running),
        (below::DUE, "SEARCH conductor_tasks USING INDEX conductor_tasks_due_of_run (run=? AND rowid>?)"),
        (
            below::WANTING,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_wants (wants=? AND run=? AND rowid>?)",
        ),
        (
            below::FAILED_IN,
            "SEARCH conductor_tasks USING INDEX conductor_tasks_due (state=? AND due_at=? AND run=? AND rowid>?)",
        ),
    ];
    let last = "SEARCH conductor_events USING INDEX conductor_events_name (run=? AND name=?)";
    let behind = "SEARCH conductor_events USING INDEX conductor_events_name (run=? AND name=? AND rowid>?)";
    statements.extend([
        (below::LAST_CANCELS, last),
        (given_up::SELECT_LAST_EVENT, last),
        (given_up::SELECT_LAST_MARK, last),
        (given_up::SELECT_LAST_CANCEL, last),
        (given_up::SELECT_CANCEL_SINCE, behind),
        (given_up::SELECT_NEXT_EVENT, behind),
    ]);
    for sought in [below::OPEN, below::FAILED, below::CANCELLED] {
        let by_key = "SEARCH p USING INTEGER PRIMARY KEY (rowid=?)";
        statements.extend([(sought.first, place), (sought.above, by_key), (sought.last, place)]);
    }
    for (lanes, index) in [(below::READY, ready), (below::ALONE, alone)] {
        statements.extend([(lanes.kind, index), (lanes.priority, index), (lanes.keys, index)]);
    }
    for (sql, expected) in statements {
        let plan = plan(writer.as_ref().unwrap(), sql);
        assert!(plan.iter().any(|line| line.contains(expected)), "{sql}: {plan:#?}");
        // What a part of an index gave, and the ancestors of that.
        let few = ["SCAN (subquery", "SCAN above", GIVEN_KEYS];
        let scans = |line: &&String| line.contains("SCAN") && !few.iter().any(|few| line.contains(few));
        let bad = plan.iter().find(|line| scans(line) || line.contains("TEMP B-TREE"));
        assert_eq!(bad, None, "{sql}: {plan:#?}");
    }
}
