//! A file of the TypeScript version is imported with all its rows.

use crate::import_continues::assert_continues;
use crate::import_helpers::{assert_events_match_rows, finish, large, open, run_state, state, task_of};
use crate::legacy_file::{self, THEN, task};
use conductor_model::{ChildCounts, EventBody, State, TaskId};
use conductor_store::{EventFilter, Query, Scope, SqliteStore};
use std::time::Instant;

#[test]
fn every_row_is_imported_unchanged() {
    let mut file = legacy_file::file(3);
    let run = file.run("RUNNING");
    let parent = file.task(run, &task("PARENT", "RUNNING").input(r#"{"fanout": 3, "width": 80}"#));
    let first = file.task(run, &task("PARENT#1", "SUCCEEDED").below(parent));
    let second =
        file.task(run, &task("PARENT#2", "RUNNING").below(parent).input(r#"{"own": 1.50}"#).retries(1, 5));
    let alone = file.task(run, &task("ALONE", "PENDING"));
    file.sql("UPDATE tasks SET output = '{\"n\": 0}' WHERE name = 'PARENT#1'");
    let created = file.event(run, None, "RUN_CREATED", None);
    let moved = file.event(run, Some(first), "TASK_STATE", Some(r#"{"to": "SUCCEEDED"}"#));
    let folder = file.close();

    let store = open(&folder);
    let row = store.run(run).unwrap().unwrap();
    assert_eq!(
        (row.state, row.created_at.to_string(), row.updated_at.to_string()),
        (State::Running, THEN.into(), THEN.into())
    );
    assert_eq!(row.meta.unwrap().as_str(), r#"{"by": "original"}"#);
    assert_eq!(
        row.child_counts,
        ChildCounts { total: Some(2), created: 2, open: 2, failed: 0, cancelled: 0 }
    );
    assert_eq!(
        (
            row.state_counts.pending,
            row.state_counts.running,
            row.state_counts.succeeded,
            row.state_counts.total()
        ),
        (1, 2, 1, 4)
    );

    let row = task_of(&store, parent);
    assert_eq!(
        row.child_counts,
        Some(ChildCounts { total: Some(3), created: 2, open: 1, failed: 0, cancelled: 0 })
    );
    assert_eq!((row.index, row.name.as_str(), row.kind.as_str()), (1, "PARENT", "PARENT"));
    let row = task_of(&store, first);
    assert_eq!((row.index, row.name.as_str(), row.kind.as_str(), row.attempt), (1, "PARENT#1", "PARENT", 1));
    assert_eq!((row.input.unwrap().as_str(), row.output.unwrap().as_str()), ("null", r#"{"n": 0}"#));
    let row = task_of(&store, second);
    assert_eq!((row.state, row.attempt, row.retry_count, row.max_retries.get()), (State::Running, 2, 1, 5));
    assert_eq!((row.input.unwrap().as_str(), row.last_error.unwrap().as_str()), (r#"{"own": 1.50}"#, "over"));
    assert_eq!((row.created_at.to_string(), row.updated_at.to_string()), (THEN.into(), THEN.into()));
    let row = task_of(&store, alone);
    assert_eq!((row.index, row.state, row.attempt, row.input), (2, State::Pending, 0, None));

    assert_events(&store, &created, (first, &moved));
    let shown =
        "SELECT group_concat(id || name || coalesce(payload, '')) FROM (SELECT * FROM events LIMIT 2)";
    assert_eq!(
        folder.ask::<String>(shown),
        format!("{created}RUN_CREATED,{moved}TASK_STATE{}", r#"{"to": "SUCCEEDED"}"#)
    );
    assert_events_match_rows(&store);
}

/// Asserts that two legacy events come first: the creation of the run, and the move of a task.
#[track_caller]
fn assert_events(store: &SqliteStore, created: &str, (task, moved): (TaskId, &str)) {
    let events = store.events(EventFilter::default(), 0, 1000).unwrap().items;
    let legacy = |id: &str, name: &str, payload: Option<&str>| EventBody::Legacy {
        id: id.into(),
        name: name.into(),
        payload: payload.map(Into::into),
    };
    assert_eq!((events[0].task, &events[0].body), (None, &legacy(created, "RUN_CREATED", None)));
    let move_event = legacy(moved, "TASK_STATE", Some(r#"{"to": "SUCCEEDED"}"#));
    assert_eq!((events[1].task, &events[1].body), (Some(task), &move_event));
    assert_eq!(events[1].at.to_string(), THEN);
    let names: Vec<_> = events[2..].iter().map(|event| event.body.name()).collect();
    assert_eq!(names, ["run.adopted", "task.adopted", "task.adopted", "task.adopted", "task.adopted"]);
}

#[test]
fn imported_file_has_only_current_layout() {
    let mut file = legacy_file::file(3);
    file.sql("CREATE INDEX idx_tasks_run_id ON tasks (run_id); CREATE TABLE migrations (name TEXT)");
    file.run("PENDING");
    let folder = file.close();
    drop(open(&folder));
    assert_eq!(folder.ask::<String>("PRAGMA journal_mode"), "wal");
    assert_eq!(folder.ask::<i64>("PRAGMA auto_vacuum"), 2);
    assert_eq!(folder.ask::<i64>("PRAGMA freelist_count"), 0);
    assert_eq!(folder.ask::<String>("PRAGMA integrity_check"), "ok");
    let left = "SELECT coalesce(group_concat(name), '') FROM sqlite_master WHERE type != 'view' \
        AND name NOT LIKE 'conductor%' AND name NOT LIKE 'sqlite%'";
    assert_eq!(folder.ask::<String>(left), "migrations");
    assert_eq!(
        folder.ask::<i64>("SELECT count(*) FROM sqlite_master WHERE name LIKE 'conductor_original%'"),
        0
    );
    assert_eq!(folder.names(), ["conductor.db", "conductor.db-conductor.lock"]);
}

#[test]
fn file_without_third_migration_is_imported() {
    let mut file = legacy_file::file(2);
    let run = file.run("RUNNING");
    let failed = file.task(run, &task("A", "FAILED"));
    let folder = file.close();
    let store = open(&folder);
    let row = task_of(&store, failed);
    assert_eq!((row.retry_count, row.max_retries.get(), row.last_error), (0, 3, None));
    assert_eq!(state(&store, failed), (State::Failed, true));
}

#[test]
fn wal_file_and_empty_file_are_imported() {
    let mut file = legacy_file::file(3);
    file.sql("PRAGMA journal_mode = WAL");
    let run = file.run("PENDING");
    let folder = file.close();
    let store = open(&folder);
    assert_eq!(run_state(&store, run), State::Pending);

    let folder = legacy_file::file(3).close();
    let store = open(&folder);
    assert!(store.runs(None, 10).unwrap().items.is_empty());
}

#[test]
fn run_without_tasks_is_sealed_and_succeeds() {
    let mut file = legacy_file::file(3);
    let run = file.run("RUNNING");
    let folder = file.close();
    let store = open(&folder);
    assert_eq!(store.run(run).unwrap().unwrap().child_counts, ChildCounts::sealed(0));
    finish(&store);
    assert_eq!(run_state(&store, run), State::Succeeded);
}

#[test]
fn lower_case_ids_are_recognized() {
    let mut file = legacy_file::file(3);
    let run = file.run("RUNNING");
    let parent = file.task(run, &task("P", "RUNNING"));
    let child = file.task(run, &task("P#1", "RUNNING").below(parent));
    file.sql(
        "UPDATE tasks SET run_id = lower(run_id), parent_task_id = lower(parent_task_id), id = lower(id)",
    );
    let folder = file.close();
    let store = open(&folder);
    assert_eq!(task_of(&store, child).parent, Some(parent));
}

#[test]
fn ten_thousand_tasks_are_imported_quickly() {
    let folder = large(500);
    assert_continues(&folder);
    let began = Instant::now();
    let store = SqliteStore::open(folder.db()).unwrap();
    let took = began.elapsed();
    println!("imported in {took:?}");
    assert!(took.as_secs() < 20, "{took:?}");
    assert_eq!(store.state_counts(Scope::All).unwrap().total(), 20 * 501);
    assert_eq!(folder.ask::<i64>("PRAGMA freelist_count"), 0, "the pages of the old tables were released");
    assert_events_match_rows(&store);
    finish(&store);
    assert_events_match_rows(&store);
    let open: i64 = folder.ask("SELECT count(*) FROM conductor_runs WHERE state IN (0, 1)");
    assert_eq!(open, 0);
}
