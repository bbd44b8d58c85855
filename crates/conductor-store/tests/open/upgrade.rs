//! A file of an earlier version is upgraded, keeps its rows and continues.

use crate::test_folder::TestFolder;
use conductor_conformance::assert_replays;
use conductor_model::{Event, Run, RunDraft, State, Task, TaskDraft, Timestamp};
use conductor_store::{
    Append, AttemptResult, Claim, Environment, EventFilter, FanOut, FenceOutcome, KindQuota, NodeId, Query,
    RegisterEngine, Report, ReportBatch, Scope, Seal, Settle, SqliteStore, Step, Store, Submit, TaskFilter,
};
use rusqlite::Connection;
use serde_json::json;

/// The tables of the first version.
const V1: &str = include_str!("../../migrations/V1__tables.sql");

fn env() -> Environment {
    Environment::seeded("2026-03-01T12:00:00Z".parse::<Timestamp>().unwrap(), 7)
}

/// Creates tasks in every state and parents of every kind, with the features of the first version only.
fn fill(store: &SqliteStore) {
    let (env, scope) = (env(), Scope::All);
    let now = env.now();
    let leaf = || TaskDraft::new("A").max_retries(1);
    let parent = TaskDraft::new("P").kind("A").input(json!({"fanout": [1, {"fanout": 2}], "width": 8}));
    let delayed = leaf().due_at(now.plus_millis(1000));
    let roots = [leaf(), leaf(), leaf(), leaf(), leaf(), leaf(), delayed, parent];
    let run = RunDraft::new()
        .meta("m")
        .idempotency_key("k")
        .tasks(roots)
        .task(TaskDraft::new("O").kind("A").open());
    let run = store.submit(&Submit::new(run.validate().unwrap(), &env)).unwrap().run;
    while store.fan_out(&FanOut::new(scope, 100, &env)).unwrap().more {}
    let roots = store.tasks(run, TaskFilter::default(), None, 9).unwrap().items;
    let open = roots[8].id;
    store.append(&Append::items(open, 1, vec!["7".parse().unwrap()], &env)).unwrap();
    store.seal(&Seal { parent: NodeId::Task(open), children: 1, now }).unwrap();
    let reports = [
        Report::started(roots[1].id),
        Report::succeeded_with(roots[2].id, "[1]".parse().unwrap()),
        Report::failed(roots[3].id, "it broke"),
        Report::failed_permanently(roots[4].id, "it is broken"),
        Report::cancelled(roots[5].id),
    ];
    store.report(&ReportBatch::new(reports, &env)).unwrap();
    store.submit(&Submit::new(RunDraft::new().validate().unwrap(), &env)).unwrap();
    assert_eq!(store.aggregate(&Step { scope, now, limit: 10 }).unwrap().runs, 1);
}

/// Creates a file with the tables of the first version and the rows of another file.
fn file_of_v1(rows: &TestFolder) -> TestFolder {
    let folder = TestFolder::new();
    let old = Connection::open(folder.db()).unwrap();
    old.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;").unwrap();
    old.execute_batch(V1).unwrap();
    old.execute("ATTACH ?1 AS later", [rows.db().to_str()]).unwrap();
    let one = |sql: &str| old.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    let history = one("SELECT sql FROM later.sqlite_schema WHERE name = 'conductor_migrations'");
    old.execute_batch(&history).unwrap();
    old.execute_batch(
        "INSERT INTO conductor_migrations SELECT * FROM later.conductor_migrations WHERE version = 1",
    )
    .unwrap();
    for table in ["kinds", "runs", "submissions", "tasks", "inputs", "events"] {
        let columns =
            one(&format!("SELECT group_concat(name) FROM pragma_table_info('conductor_{table}', 'main')"));
        let copy = "INSERT INTO main.conductor_TABLE (COLUMNS) SELECT COLUMNS FROM later.conductor_TABLE";
        old.execute_batch(&copy.replace("TABLE", table).replace("COLUMNS", &columns)).unwrap();
    }
    folder
}

fn everything(store: &SqliteStore) -> (Vec<Run>, Vec<Task>, Vec<Event>) {
    let runs = store.runs(None, 1000).unwrap().items;
    let tasks =
        runs.iter().flat_map(|run| store.tasks(run.id, TaskFilter::default(), None, 1000).unwrap().items);
    let tasks = tasks.collect();
    (runs, tasks, store.events(EventFilter::default(), 0, 1000).unwrap().items)
}

/// Claims and settles until nothing is left to do.
fn finish(store: &SqliteStore, file: u64) {
    let env = Environment::seeded(env().now().plus_millis(1000), file);
    let (scope, now) = (Scope::All, env.now());
    let registration = store.register_engine(&RegisterEngine::new(&env)).unwrap();
    let step = Step { scope, now, limit: 100 };
    loop {
        while store.promote(&step).unwrap().more || store.retry(&step).unwrap().more {}
        let quota = KindQuota::new("A".parse().unwrap(), 10);
        let claim = Claim::new(registration.key(), vec![quota], 1000, &env).allow_isolated(true);
        let claimed = store.claim(&claim).unwrap().tasks;
        let results: Vec<_> =
            claimed.iter().map(|task| (task.fence, AttemptResult::Succeeded { output: None })).collect();
        if results.is_empty() {
            break;
        }
        let settled = store.settle(&Settle::new(results, &env)).unwrap();
        assert!(settled.results.iter().all(|answer| *answer == FenceOutcome::Applied));
    }
    while store.aggregate(&step).unwrap().more {}
}

#[test]
fn first_version_file_keeps_rows_and_continues() {
    let later = TestFolder::new();
    let store = SqliteStore::open(later.db()).unwrap();
    fill(&store);
    let expected = everything(&store);
    drop(store);
    let folder = file_of_v1(&later);
    assert_eq!(folder.ask::<i64>("SELECT count(*) FROM conductor_migrations"), 1);
    assert_eq!(
        folder.ask::<i64>("SELECT count(*) FROM pragma_table_info('conductor_tasks') WHERE name = 'lost'"),
        0
    );
    let store = SqliteStore::open(folder.db()).unwrap();
    assert_eq!(everything(&store), expected);
    assert_replays(&store);
    finish(&store, 8);
    assert_replays(&store);
    let (runs, tasks, _) = everything(&store);
    let running: Vec<_> = tasks.iter().filter(|task| task.state == State::Running).collect();
    // The task that was reported as started is still running, and its run waits for it.
    assert_eq!((running.len(), running[0].child_counts, running[0].lease_until), (1, None, None));
    store.report(&ReportBatch::new([Report::succeeded(running[0].id)], &env())).unwrap();
    finish(&store, 9);
    let states: Vec<_> = everything(&store).0.iter().map(|run| run.state).collect();
    assert_eq!((runs.len(), states), (2, vec![State::Failed, State::Succeeded]));
    drop(store);
    assert_eq!(folder.ask::<String>("PRAGMA integrity_check"), "ok");
}

#[test]
fn upgraded_schema_equals_new_schema() {
    let new = TestFolder::new();
    drop(SqliteStore::open(new.db()).unwrap());
    let old = file_of_v1(&new);
    drop(SqliteStore::open(old.db()).unwrap());
    let schema = "SELECT group_concat(type || ' ' || name || ' ' || coalesce(sql, ''), ';' ORDER BY name) \
        FROM sqlite_schema";
    assert_eq!(old.ask::<String>(schema), new.ask::<String>(schema));
    for applied in ["SELECT max(version) FROM conductor_migrations", "PRAGMA auto_vacuum"] {
        assert_eq!(old.ask::<i64>(applied), new.ask::<i64>(applied));
    }
}
