//! A store on a file, whose views are compared with its queries.

use conductor_model::{Event, Jitter, Json, RunId, Task, TaskId, Timestamp};
use conductor_store::SqliteStore;
use conductor_store::{
    AttemptResult, Claim, ClaimedTask, EngineRegistration, Environment, EventFilter, FanOut, KindQuota,
    Query, Report, ReportBatch, Scope, Settle, SqliteOptions, Step, Store, TaskFilter, sqlite::Synchronous,
};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::{Value, json};

/// A store on a file. Each stage of a workload has its own moment.
pub(crate) struct World {
    pub(crate) store: SqliteStore,
    pub(crate) env: Environment,
    folder: tempfile::TempDir,
    stage: i64,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // No test cuts the power, so a commit need not wait for the disk.
        let options = SqliteOptions::default().synchronous(Synchronous::Normal);
        let store = SqliteStore::open_with(folder.path().join("conductor.db"), options).unwrap();
        Self { store, env: env_of(0), folder, stage: 0 }
    }

    /// Compares the views with the queries, and begins the next stage.
    pub(crate) fn next_stage(&mut self) {
        self.compare();
        self.stage += 1;
        self.env = env_of(self.stage);
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.folder.path().join("conductor.db")).unwrap()
    }

    pub(crate) fn ask(&self, sql: &str) -> i64 {
        self.connect().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn runs(&self) -> Vec<RunId> {
        self.store.runs(None, 100).unwrap().items.into_iter().map(|run| run.id).collect()
    }

    pub(crate) fn tasks(&self, run: RunId) -> Vec<Task> {
        let (mut tasks, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.tasks(run, TaskFilter::default(), after, 1000).unwrap();
            tasks.extend(page.items);
            after = page.next;
            if after.is_none() {
                return tasks;
            }
        }
    }

    fn events(&self) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        loop {
            let after = events.last().map_or(0, |event| event.seq);
            let page = self.store.events(EventFilter::default(), after, 1000).unwrap().items;
            if page.is_empty() {
                return events;
            }
            events.extend(page);
        }
    }

    pub(crate) fn task(&self, name: &str) -> Task {
        let mut tasks = self.runs().into_iter().flat_map(|run| self.tasks(run));
        tasks.find(|task| task.name.as_str() == name).unwrap()
    }

    pub(crate) fn child(&self, parent: TaskId, index: u32) -> TaskId {
        self.store.children(parent, index - 1, 1).unwrap().items[0].id
    }

    pub(crate) fn step(&self) -> Step {
        Step { scope: Scope::All, now: self.env.now(), limit: 1000 }
    }

    pub(crate) fn report(&self, reports: impl IntoIterator<Item = Report>) {
        let _ = self.store.report(&ReportBatch::new(reports, &self.env)).unwrap();
    }

    pub(crate) fn fan_out(&self) {
        while self.store.fan_out(&FanOut::new(Scope::All, 1000, &self.env)).unwrap().more {}
    }

    pub(crate) fn aggregate(&self) {
        while self.store.aggregate(&self.step()).unwrap().more {}
    }

    pub(crate) fn claim(&self, engine: &EngineRegistration, limit: u32) -> Vec<ClaimedTask> {
        let quotas = vec![KindQuota::new("counted".parse().unwrap(), limit)];
        self.store.claim(&Claim::new(engine.key(), quotas, 1000, &self.env)).unwrap().tasks()
    }

    pub(crate) fn settle(&self, results: Vec<(ClaimedTask, AttemptResult)>) {
        let results = results.into_iter().map(|(task, result)| (task.fence, result)).collect();
        let _ = self
            .store
            .settle(&Settle {
                results,
                succeeded: Vec::new(),
                claim: None,
                now: self.env.now(),
                jitter: Jitter(7),
            })
            .unwrap();
    }

    fn compare(&self) {
        let runs = self.store.runs(None, 100).unwrap().items;
        let run_row = |run: &conductor_model::Run| {
            vec![
                Value::from(run.id.to_string()),
                run.created_at.to_string().into(),
                run.updated_at.to_string().into(),
                run.state.as_str().into(),
                as_json(run.meta.as_ref()),
            ]
        };
        let stage = self.stage;
        assert_eq!(self.rows("runs", &[4]), sorted(runs.iter().map(run_row).collect()), "stage {stage}");
        let tasks = runs.iter().flat_map(|run| self.tasks(run.id));
        assert_same(
            &self.rows("tasks", &[7, 8]),
            &sorted(tasks.map(|task| task_row(&task)).collect()),
            stage,
        );
        let events: Vec<_> = self.events().iter().map(event_row).collect();
        assert_same(&self.rows("events", &[5]), &events, stage);
    }

    /// Reads a view in the order of the ids. JSON is parsed, because a number can be written in two ways.
    pub(crate) fn rows(&self, view: &str, json_columns: &[usize]) -> Vec<Vec<Value>> {
        let connection = self.connect();
        let mut statement = connection.prepare(&format!("SELECT * FROM {view} ORDER BY id")).unwrap();
        let columns = statement.column_count();
        let read = statement.query_map([], |row| {
            let value = |column| {
                Ok(match row.get_ref(column)? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(number) => number.into(),
                    text if json_columns.contains(&column) => read_json(text.as_str()?),
                    text => text.as_str()?.into(),
                })
            };
            (0..columns).map(value).collect()
        });
        read.unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }
}

fn env_of(stage: i64) -> Environment {
    let now = Timestamp::from_millis(1_767_225_600_007 + stage * 3_600_000).unwrap();
    Environment::seeded(now, 7 + stage.cast_unsigned())
}

/// Compares row by row: a difference of all rows cannot be read.
fn assert_same(shown: &[Vec<Value>], expected: &[Vec<Value>], stage: i64) {
    for (shown, expected) in shown.iter().zip(expected) {
        assert_eq!(shown, expected, "stage {stage}");
    }
    assert_eq!(shown.len(), expected.len(), "stage {stage}");
}

fn sorted(mut rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    rows.sort_by_key(|row| row[0].to_string());
    rows
}

/// Parses JSON into a value that is never NULL.
fn read_json(text: &str) -> Value {
    json!({ "json": serde_json::from_str::<Value>(text).unwrap() })
}

fn as_json(json: Option<&Json>) -> Value {
    json.map_or(Value::Null, |json| read_json(json.as_str()))
}

fn task_row(task: &Task) -> Vec<Value> {
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
}

fn event_row(event: &Event) -> Vec<Value> {
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
}
