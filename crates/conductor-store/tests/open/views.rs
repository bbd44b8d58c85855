//! The views show what the queries return.

use crate::test_folder::TestFolder;
use conductor_model::{Json, RunDraft, RunId, State, Task, TaskDraft, Timestamp};
use conductor_store::{
    Append, Environment, EventFilter, FanOut, Query, Report, ReportBatch, Scope, SqliteStore, Step, Store,
    Submit, TaskFilter,
};
use rusqlite::Connection;
use serde_json::{Value, json};

/// A run with two levels of children, an open fan-out, a delayed task, and tasks in every state.
fn tree(store: &SqliteStore) -> RunId {
    let now: Timestamp = "2026-03-01T12:00:00.007Z".parse().unwrap();
    let env = Environment::seeded(now, 7);
    let later: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
    let nested = json!({"fanout": ["a", {"fanout": 2, "width": 1.50, "x": null}, 0, false, ""], "meta": 1});
    let run = RunDraft::new()
        .meta(json!({"who": "Ünïcode ' \" \\ 🦀"}))
        .task(
            TaskDraft::new("COUNTED")
                .input(json!({"fanout": 6, "b": [1, 2], "a": {"fanout": 3}}))
                .max_retries(1),
        )
        .task(TaskDraft::new("ITEMS").input(nested))
        .task(TaskDraft::new("OPEN").input(json!({"kept": true})).open())
        .task(TaskDraft::new("LATER").due_at(later))
        .task(TaskDraft::new("PLAIN").input(json!("text")))
        .validate()
        .unwrap();
    let run = store.submit(&Submit::new(run, &env)).unwrap().run;
    let scope = Scope::Run(run);
    let tasks = all_tasks(store, run);
    let open = tasks.iter().find(|task| task.name.as_str() == "OPEN").unwrap().id;
    let items = ["[1]", r#"{"fanout": 9}"#].map(|text| text.parse::<Json>().unwrap()).to_vec();
    store.append(&Append::items(open, 1, items, &env)).unwrap();
    while store.fan_out(&FanOut::new(scope, 3, &env)).unwrap().more {}
    let counted = tasks.iter().find(|task| task.name.as_str() == "COUNTED").unwrap().id;
    let children = store.children(counted, 0, 10).unwrap().items;
    let reports = [
        Report::started(children[0].id),
        Report::succeeded_with(children[1].id, "0".parse().unwrap()),
        Report::failed(children[2].id, "it's \"over\""),
        Report::failed_permanently(children[3].id, "over"),
        Report::cancelled(children[4].id),
    ];
    store.report(&ReportBatch::new(reports, &env)).unwrap();
    let step = Step { scope, now, limit: 100 };
    assert_eq!(store.retry(&step).unwrap().changed, 1);
    assert!(!store.aggregate(&step).unwrap().more);
    run
}

fn all_tasks(store: &SqliteStore, run: RunId) -> Vec<Task> {
    store.tasks(run, TaskFilter::default(), None, 1000).unwrap().items
}

/// Reads the rows of a view. JSON is parsed, because a number can be written in two ways.
fn rows(folder: &TestFolder, sql: &str, json_columns: &[usize]) -> Vec<Vec<Value>> {
    let connection = Connection::open(folder.db()).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let read = statement.query_map([], |row| {
        (0..columns)
            .map(|column| {
                let value = match row.get_ref(column)? {
                    rusqlite::types::ValueRef::Null => Value::Null,
                    rusqlite::types::ValueRef::Integer(number) => number.into(),
                    other => other.as_str()?.into(),
                };
                Ok(match &value {
                    Value::String(text) if json_columns.contains(&column) => read_json(text),
                    _ => value,
                })
            })
            .collect()
    });
    read.unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

/// Parses JSON into a value that is never NULL.
fn read_json(text: &str) -> Value {
    json!({ "json": serde_json::from_str::<Value>(text).unwrap() })
}

fn as_json(json: Option<&Json>) -> Value {
    json.map_or(Value::Null, |json| read_json(json.as_str()))
}

#[test]
fn tasks_match_query() {
    let folder = TestFolder::new();
    let store = SqliteStore::open(folder.db()).unwrap();
    let run = tree(&store);
    let tasks = all_tasks(&store, run);
    for state in State::ALL {
        assert!(tasks.iter().any(|task| task.state == state), "{state} is missing");
    }
    let expected: Vec<Vec<Value>> = tasks
        .iter()
        .map(|task| {
            vec![
                task.id.to_string().into(),
                task.run.to_string().into(),
                task.parent.map(|id| id.to_string()).into(),
                task.name.as_str().into(),
                task.state.as_str().into(),
                task.created_at.to_string().into(),
                task.updated_at.to_string().into(),
                as_json(task.input.as_ref()),
                as_json(task.output.as_ref()),
                task.retry_count.into(),
                task.max_retries.get().into(),
                task.last_error.as_ref().map(conductor_model::ErrorText::as_str).into(),
            ]
        })
        .collect();
    let mut shown = rows(&folder, "SELECT * FROM tasks", &[7, 8]);
    let position = |row: &Vec<Value>| expected.iter().position(|task| task[0] == row[0]);
    shown.sort_by_key(position);
    assert_eq!(shown, expected);
    assert_eq!(shown.len(), 5 + 6 + 5 + 2 + 2);
}

#[test]
fn runs_and_events_match_query() {
    let folder = TestFolder::new();
    let store = SqliteStore::open(folder.db()).unwrap();
    let run = tree(&store);
    let row = store.run(run).unwrap().unwrap();
    let expected = vec![vec![
        Value::from(run.to_string()),
        row.created_at.to_string().into(),
        row.updated_at.to_string().into(),
        row.state.as_str().into(),
        as_json(row.meta.as_ref()),
    ]];
    assert_eq!(rows(&folder, "SELECT * FROM runs", &[4]), expected);

    let events = store.events(EventFilter::default(), 0, 1000).unwrap().items;
    let expected: Vec<Vec<Value>> = events
        .iter()
        .map(|event| {
            // An empty payload is not stored.
            let payload = serde_json::to_value(&event.body).unwrap().get("payload").cloned();
            let payload = payload.filter(|payload| *payload != json!({}));
            vec![
                format!("{:026}", event.seq).into(),
                event.run.to_string().into(),
                event.task.map(|id| id.to_string()).into(),
                event.body.name().into(),
                event.at.to_string().into(),
                payload.map_or(Value::Null, |payload| json!({ "json": payload })),
            ]
        })
        .collect();
    assert_eq!(rows(&folder, "SELECT * FROM events ORDER BY id", &[5]), expected);
}

#[test]
fn columns_match_legacy_tables() {
    let folder = TestFolder::new();
    drop(SqliteStore::open(folder.db()).unwrap());
    let legacy = Connection::open_in_memory().unwrap();
    legacy.execute_batch(include_str!("../fixtures/seed/001_initial_schema.sql")).unwrap();
    legacy.execute_batch(include_str!("../fixtures/seed/002_tasks_and_events.sql")).unwrap();
    legacy.execute_batch(include_str!("../fixtures/seed/003_add_retry_fields.sql")).unwrap();
    let columns = |connection: &Connection, table: &str| -> Vec<String> {
        let statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        statement.column_names().map(String::from).collect()
    };
    let ours = Connection::open(folder.db()).unwrap();
    for table in ["runs", "tasks", "events"] {
        assert_eq!(columns(&ours, table), columns(&legacy, table));
    }
}

#[test]
fn corrupt_row_is_still_listed() {
    let folder = TestFolder::new();
    tree(&SqliteStore::open(folder.db()).unwrap());
    let tasks = folder.ask::<i64>("SELECT count(*) FROM tasks");
    folder.run(
        "PRAGMA ignore_check_constraints = ON; UPDATE conductor_inputs SET input = '{broken'; UPDATE conductor_events SET payload = '{', name = 20; \
         UPDATE conductor_tasks SET id = x'00', created_at = 9223372036854775807 WHERE key = 1",
    );
    assert_eq!(rows(&folder, "SELECT * FROM tasks", &[]).len(), usize::try_from(tasks).unwrap());
    assert!(!rows(&folder, "SELECT * FROM events", &[]).is_empty());
}

#[test]
fn outdated_view_is_recreated() {
    let folder = TestFolder::new();
    tree(&SqliteStore::open(folder.db()).unwrap());
    let before: String = folder.ask("SELECT group_concat(sql) FROM sqlite_master WHERE type = 'view'");
    folder.run("DROP VIEW runs; CREATE VIEW runs AS SELECT 1 AS id; DROP VIEW events");
    drop(SqliteStore::open(folder.db()).unwrap());
    let after: String = folder
        .ask("SELECT group_concat(sql) FROM (SELECT sql FROM sqlite_master WHERE type = 'view' ORDER BY name != 'runs', name = 'events')");
    assert_eq!(before.len(), after.len());
    assert_eq!(folder.ask::<i64>("SELECT count(*) FROM runs WHERE state = 'RUNNING'"), 1);
}

#[test]
fn views_are_read_only() {
    let folder = TestFolder::new();
    drop(SqliteStore::open(folder.db()).unwrap());
    let legacy = Connection::open(folder.db()).unwrap();
    let insert = "INSERT INTO runs VALUES ('01ARZ3NDEKTSV4RRFFQ69G5FAV', '', '', 'RUNNING', NULL)";
    assert!(legacy.execute_batch(insert).is_err());
    assert!(legacy.execute_batch("UPDATE tasks SET state = 'FAILED'").is_err());
}
