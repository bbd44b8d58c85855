//! What the tables hold, as another program sees them.

use conductor_model::{
    AttemptFailure, EventBody, IdBlock, Jitter, Json, Kind, Progress, RunDraft, RunId, TaskDraft, TaskId,
    Timestamp,
};
use conductor_store::SqliteStore;
use conductor_store::{
    Admin, AttemptResult, Claim, ClaimedTask, Environment, EventFilter, FanOut, Fence, KindQuota, Prune,
    Query, RecordProgress, RegisterEngine, Rescue, Scope, Settle, SqliteOptions, Step, Store, Submit,
    SubmitError, TaskFilter, sqlite::Synchronous,
};
use rusqlite::Connection;
use serde_json::json;

/// A store on a file, and a connection of another program.
struct Tables {
    store: SqliteStore,
    env: Environment,
    other: Connection,
    _folder: tempfile::TempDir,
}

impl Tables {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("conductor.db");
        let options = SqliteOptions::default().synchronous(Synchronous::Normal);
        let store = SqliteStore::open_with(&path, options).unwrap();
        let env = Environment::seeded(Timestamp::from_millis(1_767_225_600_000).unwrap(), 1);
        Self { store, env, other: Connection::open(path).unwrap(), _folder: folder }
    }

    fn submit(&self, draft: &RunDraft) -> Result<RunId, SubmitError> {
        Ok(self.store.submit(&Submit::new(draft.validate().unwrap(), &self.env))?.run)
    }

    /// Settles everything: half of the tasks succeed with an output, one of them with a long one; the others fail.
    fn settle_all(&self) {
        let engine = self.store.register_engine(&RegisterEngine::new(&self.env)).unwrap();
        let kind: Kind = "k".parse().unwrap();
        loop {
            while self.store.fan_out(&FanOut::new(Scope::All, 1000, &self.env)).unwrap().more {}
            let quotas = vec![KindQuota::new(kind.clone(), 100)];
            let claim = Claim::new(engine.key(), quotas, 30_000, &self.env);
            let tasks = self.store.claim(&claim).unwrap().tasks();
            if tasks.is_empty() {
                break;
            }
            let outputs = [json!("x".repeat(200)), json!(1)].map(|output| Json::of(&output).unwrap());
            let result = |place: usize| match outputs.get(place % 4) {
                Some(output) => AttemptResult::Succeeded { output: Some(output.clone()) },
                None => AttemptResult::Failed(AttemptFailure::fatal("no")),
            };
            let results = tasks.iter().enumerate().map(|(place, task)| (task.fence, result(place))).collect();
            let _ = self.store.settle(&Settle::new(results, &self.env)).unwrap();
        }
        while self.store.aggregate(&Step::new(Scope::All, 100, &self.env)).unwrap().more {}
    }

    fn count(&self, table: &str) -> i64 {
        self.other.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    fn largest(&self, column: &str, table: &str) -> i64 {
        let sql = format!("SELECT coalesce(max({column}), 0) FROM {table}");
        self.other.query_row(&sql, [], |row| row.get(0)).unwrap()
    }
}

fn family() -> RunDraft {
    let items = (0..40).map(|item| json!({ "item": item }));
    RunDraft::new()
        .meta(json!({"why": "test"}))
        .task(TaskDraft::new("p").kind("k").fan_out(items).max_retries(0))
}

/// All tables that have rows of runs.
const OF_RUNS: [&str; 12] = [
    "conductor_runs",
    "conductor_submissions",
    "conductor_blocks",
    "conductor_parents",
    "conductor_ranges",
    "conductor_ended",
    "conductor_outputs",
    "conductor_errors",
    "conductor_inputs",
    "conductor_events",
    "conductor_joins",
    "conductor_progress",
];

#[test]
fn pruned_run_leaves_no_row() {
    let tables = Tables::new();
    let run = tables.submit(&family()).unwrap();
    tables.settle_all();
    assert!(tables.store.run(run).unwrap().unwrap().state.is_terminal());
    for table in ["conductor_ended", "conductor_outputs", "conductor_errors", "conductor_inputs"] {
        assert!(tables.count(table) > 0, "{table} is empty: the test prunes too little");
    }
    while tables.store.prune(&Prune::before(Timestamp::MAX)).unwrap().more {}
    for table in OF_RUNS {
        assert_eq!(tables.count(table), 0, "{table}");
    }
}

#[test]
fn number_of_pruned_block_stays_used() {
    let tables = Tables::new();
    tables.submit(&family()).unwrap();
    tables.settle_all();
    let before = tables.largest("block", "conductor_blocks");
    while tables.store.prune(&Prune::before(Timestamp::MAX)).unwrap().more {}
    tables.submit(&RunDraft::new().task(TaskDraft::new("next"))).unwrap();
    let after: i64 =
        tables.other.query_row("SELECT min(block) FROM conductor_blocks", [], |row| row.get(0)).unwrap();
    assert!(after > before, "{after} was used before: up to {before}");
}

#[test]
fn id_inside_block_is_taken() {
    let tables = Tables::new();
    let run = tables.submit(&RunDraft::new().tasks((0..3).map(|_| TaskDraft::new("t")))).unwrap();
    let page = tables.store.tasks(run, TaskFilter::default(), None, 10).unwrap();
    assert_eq!(tables.count("conductor_blocks"), 1, "the tasks share a block");
    for task in &page.items {
        let chosen = RunDraft::new().task(TaskDraft::new("u").id(task.id));
        let refused = tables.submit(&chosen);
        assert!(matches!(refused, Err(SubmitError::TaskIdTaken(id)) if id == task.id), "{refused:?}");
    }
    let free = IdBlock::new(page.items[2].id.as_u128() + 1, 1).unwrap().first_task();
    tables.submit(&RunDraft::new().task(TaskDraft::new("u").id(free))).unwrap();
}

#[test]
fn events_of_siblings_share_row() {
    let tables = Tables::new();
    let run = tables.submit(&RunDraft::new().tasks((0..100).map(|_| TaskDraft::new("t")))).unwrap();
    // One for the run; the ids of its root tasks may have two prefixes.
    assert!(tables.count("conductor_events") <= 3);
    let filter = EventFilter { run: Some(run), ..EventFilter::default() };
    let events = tables.store.events(filter, 0, 1000).unwrap().items;
    let indices: Vec<u32> = events
        .iter()
        .filter_map(|event| match event.body {
            EventBody::TaskCreated { index, .. } => Some(index),
            _ => None,
        })
        .collect();
    assert_eq!(indices, (1..=100).collect::<Vec<_>>());
    let tasks: Vec<TaskId> = events.iter().filter_map(|event| event.task).collect();
    let expected = tables.store.tasks(run, TaskFilter::default(), None, 1000).unwrap();
    assert_eq!(tasks, expected.items.iter().map(|task| task.id).collect::<Vec<_>>());
}

#[test]
fn events_of_failures_share_one_set() {
    let tables = Tables::new();
    let engine = tables.store.register_engine(&RegisterEngine::new(&tables.env)).unwrap();
    let claim = || {
        tables.submit(&RunDraft::new().tasks((0..20).map(|_| TaskDraft::new("k")))).unwrap();
        let quotas = vec![KindQuota::new("k".parse().unwrap(), 20)];
        tables.store.claim(&Claim::new(engine.key(), quotas, 1000, &tables.env)).unwrap().tasks()
    };
    // The last event, and what it is if all leaves of the last block have it.
    let failed = || -> (String, String) {
        let sql = "SELECT tasks, '[[' || max(block) || ',0,0,20]]' FROM conductor_events, conductor_blocks \
            WHERE key = (SELECT max(key) FROM conductor_events WHERE name = ?1)";
        let name = conductor_model::event_code("task.failed");
        tables.other.query_row(sql, [name], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    // A rescue fails each task by itself.
    assert_eq!(claim().len(), 20);
    let now = tables.env.now().plus_millis(2000);
    let _ = tables.store.rescue(&Rescue { now, limit: 100, jitter: Jitter(0) }).unwrap();
    let (tasks, whole) = failed();
    assert_eq!(tasks, whole);
    // The results of a settlement are in any order.
    let result = |task: &ClaimedTask| (task.fence, AttemptResult::Failed(AttemptFailure::fatal("no")));
    let results = claim().iter().rev().map(result).collect();
    let _ = tables.store.settle(&Settle::new(results, &tables.env)).unwrap();
    let (tasks, whole) = failed();
    assert_eq!(tasks, whole);
}

#[test]
fn progress_of_ended_attempts_is_removed() {
    let tables = Tables::new();
    tables.submit(&RunDraft::new().tasks((0..3).map(|_| TaskDraft::new("k")))).unwrap();
    let engine = tables.store.register_engine(&RegisterEngine::new(&tables.env)).unwrap();
    let quotas = vec![KindQuota::new("k".parse().unwrap(), 3)];
    let tasks = tables.store.claim(&Claim::new(engine.key(), quotas, 30_000, &tables.env)).unwrap().tasks();
    let report = |fences: &[Fence]| {
        let progress =
            fences.iter().map(|fence| (*fence, Progress { done: 1, total: None, message: "".into() }));
        let request = RecordProgress { items: progress.collect(), now: tables.env.now() };
        let _ = tables.store.record_progress(&request).unwrap();
        tables.count("conductor_progress")
    };
    let fences: Vec<Fence> = tasks.iter().map(|task| task.fence).collect();
    assert_eq!(report(&fences), 3);
    let results = fences[1..].iter().map(|fence| (*fence, AttemptResult::Succeeded { output: None }));
    let _ = tables.store.settle(&Settle::new(results.collect(), &tables.env)).unwrap();
    assert_eq!(report(&fences[..1]), 1);
}
