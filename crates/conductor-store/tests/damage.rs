//! What another program may do to the rows: the tables refuse most of it, and what they cannot refuse stops no step.
#![cfg(feature = "sqlite")]

use conductor_model::{RunDraft, State, Task, TaskDraft, Timestamp};
use conductor_store::{
    FanOut, Query, Report, Reports, Scope, Source, SqliteStore, Step, Store, Submit, TaskFilter,
};
use rusqlite::Connection;
use serde_json::json;
use std::path::PathBuf;

struct Desk {
    _folder: tempfile::TempDir,
    path: PathBuf,
    store: SqliteStore,
    source: Source,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damage.db");
        let store = SqliteStore::open(&path).unwrap();
        let source = Source::seeded(Timestamp::from_millis(1_767_225_600_000).unwrap(), 1);
        Self { _folder: folder, path, store, source }
    }

    fn submit(&self, task: TaskDraft) -> Task {
        let run = RunDraft::new().task(task).check().unwrap();
        let run = self.store.submit(&Submit::new(run, &self.source)).unwrap().run;
        self.store.tasks(run, TaskFilter::default(), None, 1).unwrap().items.remove(0)
    }

    fn damage(&self, sql: &str) -> rusqlite::Result<()> {
        Connection::open(&self.path).unwrap().execute_batch(sql)
    }

    fn fan_out(&self) -> u32 {
        let step = FanOut { scope: Scope::All, now: self.source.now(), ids: self.source.ids(100) };
        self.store.fan_out(&step).unwrap().children
    }

    fn task(&self, task: &Task) -> Task {
        self.store.task(task.id).unwrap().unwrap()
    }
}

#[test]
fn the_tables_refuse_what_no_store_writes() {
    let desk = Desk::new();
    desk.submit(TaskDraft::new("A").input(json!({"fanout": 2})));
    for nonsense in [
        "UPDATE conductor_tasks SET id = x'00'",
        "UPDATE conductor_tasks SET state = 9",
        "UPDATE conductor_tasks SET attempt = -1",
        "UPDATE conductor_tasks SET retry_count = -1",
        "UPDATE conductor_tasks SET max_retries = 1001",
        "UPDATE conductor_tasks SET fanout = 99999999999",
        "UPDATE conductor_tasks SET open_children = -1",
        "UPDATE conductor_tasks SET name = ''",
        "UPDATE conductor_tasks SET state = 2, due_at = 1",
        "UPDATE conductor_tasks SET created_at = 'yesterday'",
        "UPDATE conductor_runs SET id = 'no id'",
        "UPDATE conductor_runs SET pending = -1",
        "UPDATE conductor_runs SET children = -1",
        "UPDATE conductor_runs SET sealed = 0",
    ] {
        let refused = desk.damage(nonsense).unwrap_err().to_string();
        assert!(
            refused.contains("constraint failed") || refused.contains("cannot store"),
            "{nonsense}: {refused}"
        );
    }
}

#[test]
fn a_parent_whose_row_or_input_was_damaged_fails_and_its_neighbour_fans_out() {
    for damage in [
        "UPDATE conductor_inputs SET input = '{' WHERE task = 1",
        "UPDATE conductor_inputs SET input = '{\"fanout\": 3}' WHERE task = 1",
        "DELETE FROM conductor_inputs WHERE task = 1",
        "UPDATE conductor_tasks SET name = char(7) WHERE key = 1",
    ] {
        let desk = Desk::new();
        let hurt = desk.submit(TaskDraft::new("hurt").input(json!({"fanout": 2})));
        let well = desk.submit(TaskDraft::new("well").input(json!({"fanout": 2})));
        desk.damage(damage).unwrap();
        assert_eq!(desk.fan_out(), 2, "{damage}");
        assert_eq!(desk.task(&well).state, State::Running);
        assert_eq!(desk.fan_out(), 0, "{damage}");
        desk.damage("UPDATE conductor_tasks SET name = 'hurt' WHERE key = 1; DELETE FROM conductor_inputs")
            .unwrap();
        let hurt = desk.task(&hurt);
        assert_eq!(hurt.state, State::Failed, "{damage}");
        assert!(hurt.last_error.is_some(), "{damage}");
    }
}

#[test]
fn a_retry_whose_time_or_backoff_cannot_be_read_is_due_or_has_none() {
    let desk = Desk::new();
    let task = desk.submit(TaskDraft::new("A"));
    let failed = || desk.store.report(&Reports::new([Report::failed(task.id, "no")], &desk.source)).unwrap();
    let step = Step { scope: Scope::All, now: desk.source.now(), limit: 10 };
    for damage in [
        "UPDATE conductor_tasks SET due_at = -99999999999999999",
        "UPDATE conductor_tasks SET due_at = 99999999999999999",
        "UPDATE conductor_tasks SET backoff = '{'",
    ] {
        let _ = failed();
        desk.damage(damage).unwrap();
        assert_eq!(desk.store.retry(&step).unwrap().tasks, 1, "{damage}");
    }
}
