//! Files as the TypeScript version made them.

use crate::test_folder::TestFolder;
use conductor_model::{RunId, TaskId};
use rusqlite::{Connection, params};

const MIGRATIONS: [&str; 3] = [
    include_str!("../fixtures/seed/001_initial_schema.sql"),
    include_str!("../fixtures/seed/002_tasks_and_events.sql"),
    include_str!("../fixtures/seed/003_add_retry_fields.sql"),
];

/// The time of everything in these files, as `toISOString` of JavaScript writes it.
pub(crate) const THEN: &str = "2025-11-03T09:15:27.042Z";

/// Creates a file with the tables of the first `migrations` of the TypeScript version.
pub(crate) fn file(migrations: usize) -> LegacyFile {
    let folder = TestFolder::new();
    let connection = Connection::open(folder.db()).unwrap();
    // No test cuts the power while the file is written.
    connection.pragma_update(None, "synchronous", "OFF").unwrap();
    for migration in &MIGRATIONS[..migrations] {
        connection.execute_batch(migration).unwrap();
    }
    LegacyFile { folder, connection, next: 0 }
}

/// A file that is being written.
pub(crate) struct LegacyFile {
    pub(crate) folder: TestFolder,
    connection: Connection,
    next: u128,
}

/// A row of a task, with the defaults of the TypeScript version.
pub(crate) struct Row<'a> {
    pub(crate) parent: Option<TaskId>,
    pub(crate) name: &'a str,
    pub(crate) state: &'a str,
    pub(crate) input: Option<&'a str>,
    pub(crate) retries: (u32, u32),
}

pub(crate) fn task<'a>(name: &'a str, state: &'a str) -> Row<'a> {
    Row { parent: None, name, state, input: None, retries: (0, 3) }
}

impl<'a> Row<'a> {
    pub(crate) fn below(self, parent: TaskId) -> Self {
        Self { parent: Some(parent), ..self }
    }

    pub(crate) fn input(self, input: &'a str) -> Self {
        Self { input: Some(input), ..self }
    }

    pub(crate) fn retries(self, count: u32, max: u32) -> Self {
        Self { retries: (count, max), ..self }
    }
}

impl LegacyFile {
    /// Returns the next id; ids ascend.
    fn id(&mut self) -> u128 {
        self.next += 1;
        0x019a_0000_0000_0000_0000_0000_0000_0000 + self.next
    }

    pub(crate) fn run(&mut self, state: &str) -> RunId {
        let id = RunId::from_u128(self.id());
        let sql = "INSERT INTO runs VALUES (?1, ?2, ?2, ?3, ?4)";
        self.connection.execute(sql, params![id.to_string(), THEN, state, r#"{"by": "original"}"#]).unwrap();
        id
    }

    pub(crate) fn task(&mut self, run: RunId, row: &Row<'_>) -> TaskId {
        let id = TaskId::from_u128(self.id());
        let sql = "INSERT INTO tasks (id, run_id, parent_task_id, name, state, created_at, updated_at, input, output) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, NULL)";
        let parent = row.parent.map(|parent| parent.to_string());
        self.connection
            .prepare_cached(sql)
            .unwrap()
            .execute(params![id.to_string(), run.to_string(), parent, row.name, row.state, THEN, row.input])
            .unwrap();
        if row.retries != (0, 3) {
            let sql =
                "UPDATE tasks SET retry_count = ?2, max_retries = ?3, last_error = 'over' WHERE id = ?1";
            self.connection.execute(sql, params![id.to_string(), row.retries.0, row.retries.1]).unwrap();
        }
        id
    }

    pub(crate) fn event(
        &mut self,
        run: RunId,
        task: Option<TaskId>,
        name: &str,
        payload: Option<&str>,
    ) -> String {
        let id = TaskId::from_u128(self.id()).to_string();
        let sql = "INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let task = task.map(|task| task.to_string());
        self.connection.execute(sql, params![id, run.to_string(), task, name, THEN, payload]).unwrap();
        id
    }

    /// Executes statements.
    pub(crate) fn sql(&mut self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }

    /// Makes many changes in one transaction.
    pub(crate) fn together(&mut self, changes: impl FnOnce(&mut Self)) {
        self.sql("BEGIN");
        changes(self);
        self.sql("COMMIT");
    }

    /// Closes the file.
    pub(crate) fn close(self) -> TestFolder {
        self.folder
    }
}
