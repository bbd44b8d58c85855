//! Imported files continue: all tasks end, each time the rows agree with the events, and a prune removes all rows.

use crate::legacy_file::{self, task};
use crate::test_folder::TestFolder;
use conductor_conformance::{assert_replays, assert_verified};
use conductor_model::{RunId, Task, Timestamp};
use conductor_store::{
    Admin, AttemptFailure, AttemptResult, Claim, ClaimedTask, Environment, FanOut, KindQuota, Prune, Query,
    RegisterEngine, Report, ReportBatch, Revive, ReviveFilter, Scope, Settle, SqliteOptions, SqliteStore,
    State, Step, Store, Synchronous, TaskFilter,
};
use std::fs;

/// When the test goes on after an import.
const LATER: &str = "2100-01-01T00:00:00Z";

/// A file that is imported.
struct Imported {
    store: SqliteStore,
    folder: TestFolder,
}

fn later() -> Timestamp {
    LATER.parse().unwrap()
}

fn options() -> SqliteOptions {
    SqliteOptions::default().synchronous(Synchronous::Normal)
}

/// Imports a copy of a file, and executes its tasks until nothing is left to do.
pub(crate) fn assert_continues(folder: &TestFolder) {
    let imported = Imported::copy_of(folder);
    imported.assert_sound();
    imported.go_on();
    imported.assert_sound();
    imported.prune();
    let tables = "runs submissions blocks parents ranges ended outputs errors inputs events";
    for table in tables.split(' ') {
        let rows = imported.folder.ask::<i64>(&format!("SELECT count(*) FROM conductor_{table}"));
        assert_eq!(rows, 0, "{table}");
    }
}

impl Imported {
    fn copy_of(folder: &TestFolder) -> Self {
        let copy = TestFolder::new();
        fs::copy(folder.db(), copy.db()).unwrap();
        let store = SqliteStore::open_with(copy.db(), options()).unwrap();
        Self { store, folder: copy }
    }

    fn runs(&self) -> Vec<RunId> {
        self.store.runs(None, 1000).unwrap().items.iter().map(|run| run.id).collect()
    }

    fn tasks(&self, filter: TaskFilter) -> Vec<Task> {
        let mut tasks = Vec::new();
        for run in self.runs() {
            let mut cursor = None;
            loop {
                let page = self.store.tasks(run, filter, cursor, 1000).unwrap();
                tasks.extend(page.items);
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        tasks
    }

    fn assert_sound(&self) {
        assert_replays(&self.store);
        assert_verified(&self.store);
    }

    /// Executes all tasks until nothing is left to do.
    fn go_on(&self) {
        let (store, env) = (&self.store, Environment::seeded(later(), 7));
        let registration = store.register_engine(&RegisterEngine::new(&env)).unwrap();
        let step = Step { scope: Scope::All, now: later(), limit: 100 };
        loop {
            // Retries that are due at the same time have no order, so all of them come before the next claim.
            let mut changed = 0;
            while let retried @ 1.. = store.retry(&step).unwrap().changed {
                changed += retried;
            }
            changed += store.fan_out(&FanOut::new(Scope::All, 100, &env)).unwrap().children;
            changed += store.sweep(&step).unwrap().tasks;
            changed += self.report_external(&env);
            let quotas = store.ready_kinds(100).unwrap().into_iter().map(|kind| KindQuota::new(kind, 200));
            let claim = Claim::new(registration.key(), quotas.collect(), 1000, &env).at_most(300);
            let claimed = store.claim(&claim).unwrap();
            assert_eq!(claimed.rejected, 0);
            changed += u32::try_from(claimed.tasks().len()).unwrap();
            let results = claimed.tasks().iter().map(|task| (task.fence, result(task))).collect();
            let settled = store.settle(&Settle::new(results, &env)).unwrap();
            assert_eq!(settled.results.len(), claimed.tasks().len());
            let decided = store.aggregate(&step).unwrap();
            if changed + decided.parents + decided.runs == 0 {
                return;
            }
        }
    }

    /// Reports the attempts that run outside: their number.
    fn report_external(&self, env: &Environment) -> u32 {
        let running = self.tasks(TaskFilter { state: Some(State::Running) });
        let leaves = running.iter().filter(|task| task.child_counts.is_none() && task.lease_until.is_none());
        let reports = leaves.map(|task| match task.index % 3 {
            0 => Report::failed(task.id, "it broke outside"),
            1 => Report::succeeded(task.id),
            _ => Report::succeeded_with(task.id, r#"{"outside": true}"#.parse().unwrap()),
        });
        let reports: Vec<Report> = reports.take(1000).collect();
        let count = u32::try_from(reports.len()).unwrap();
        self.store.report(&ReportBatch::new(reports, env)).unwrap();
        count
    }

    /// Removes all runs that ended.
    fn prune(&self) {
        while self.store.prune(&Prune { settled_before: Timestamp::MAX, limit: 1000 }).unwrap().more {}
    }
}

/// What an attempt gives: it depends on the task only.
fn result(task: &ClaimedTask) -> AttemptResult {
    match (task.fence.task.as_u128() + u128::from(task.fence.attempt)) % 5 {
        0 => AttemptResult::Failed(AttemptFailure::TimedOut),
        1 => AttemptResult::Succeeded { output: None },
        2 => AttemptResult::Succeeded { output: Some(format!("{:?}", "x".repeat(200)).parse().unwrap()) },
        _ => AttemptResult::Succeeded { output: Some("[1]".parse().unwrap()) },
    }
}

/// Creates 1,300 children of one parent, in all states.
fn wide() -> TestFolder {
    let states = ["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"];
    let mut file = legacy_file::file(3);
    file.together(|file| {
        let run = file.run("RUNNING");
        let parent = file.task(run, &task("P", "RUNNING").input(r#"{"fanout": 1300, "a": 1}"#));
        for index in 1..=1300 {
            let row = task("", states[index / 7 % 5]).below(parent);
            let name = format!("P#{index}");
            file.task(run, &legacy_file::Row { name: &name, ..row });
        }
    });
    file.close()
}

#[test]
fn consecutive_children_share_blocks() {
    let folder = wide();
    assert_continues(&folder);
    drop(SqliteStore::open_with(folder.db(), options()).unwrap());
    // The last ten bits of the ids of the children are 3 and so on.
    let counts = "SELECT group_concat(count) FROM (SELECT count FROM conductor_blocks ORDER BY block)";
    assert_eq!(folder.ask::<String>(counts), "1,1021,279");
    let named = "SELECT count(*) FROM conductor_blocks WHERE names IS NOT NULL";
    assert_eq!(folder.ask::<i64>(named), 1);
    // Each block has four of the states, and each failed leaf can be retried.
    assert_eq!(folder.ask::<i64>("SELECT count(*) FROM conductor_ranges"), 2 * 4);
    assert_eq!(folder.ask::<i64>("SELECT count(*) FROM conductor_ended"), 259);
    assert_eq!(folder.ask::<i64>("SELECT count(*) FROM conductor_inputs"), 3);
    assert_eq!(folder.ask::<i64>("PRAGMA freelist_count"), 0);
    assert_eq!(folder.ask::<String>("PRAGMA integrity_check"), "ok");
    let left = "SELECT count(*) FROM sqlite_master WHERE name LIKE 'conductor_original%'";
    assert_eq!(folder.ask::<i64>(left), 0);
}

#[test]
fn children_with_other_options_are_imported() {
    let changes = [
        "UPDATE tasks SET max_retries = 9 WHERE name LIKE 'P#%5'; \
         UPDATE tasks SET created_at = '2025-11-03T09:15:28.000Z' WHERE name LIKE 'P#1_'",
        "UPDATE tasks SET updated_at = '2025-11-03T09:15:29.000Z' WHERE name LIKE 'P#2_'; \
         UPDATE tasks SET retry_count = 2, last_error = 'it broke ' || name WHERE name LIKE 'P#%3_'; \
         UPDATE tasks SET name = 'other ' || name WHERE name LIKE 'P#__9'",
        "UPDATE tasks SET input = '{\"fanout\": 2}' WHERE name LIKE 'P#__6'; \
         UPDATE tasks SET input = ' [1, 2] ' WHERE name LIKE 'P#__3' OR name LIKE 'P#__4'; \
         UPDATE tasks SET input = json_quote(printf('%.*c', 40000, 'x')) WHERE name LIKE 'P#10_'",
        "UPDATE tasks SET output = '[1]' WHERE name LIKE 'P#%2'; \
         UPDATE tasks SET output = json_quote(printf('%.*c', 300, 'x')) WHERE name LIKE 'P#%7'; \
         UPDATE tasks SET output = '7', retry_count = 1, last_error = 'over' WHERE name = 'P'",
        "DELETE FROM tasks WHERE name LIKE 'P#12__' OR name = 'P#1300'",
        "UPDATE tasks SET state = 'SUCCEEDED' WHERE name = 'P'; DELETE FROM tasks WHERE name LIKE 'P#8__'",
        // These children are older than their parent.
        "UPDATE tasks SET id = '0000000000' || substr(id, 11) WHERE name LIKE 'P#__8' AND id LIKE '%2'",
        "UPDATE runs SET state = 'FAILED'; UPDATE tasks SET state = 'FAILED' WHERE name = 'P'",
        "UPDATE tasks SET state = 'CANCELLED' WHERE name = 'P'",
    ];
    let together = changes[..5].join(";");
    for change in changes.into_iter().chain([together.as_str()]) {
        println!("{change}");
        let folder = wide();
        folder.run(change);
        assert_continues(&folder);
    }
}

#[test]
fn revived_tasks_lose_imported_outputs() {
    let folder = wide();
    folder.run("UPDATE tasks SET output = json_quote(printf('%.*c', 300, 'x')), retry_count = 3");
    let imported = Imported::copy_of(&folder);
    let run = imported.runs()[0];
    let revived =
        imported.store.revive(&Revive::run(run, ReviveFilter::FailedAndCancelled, later())).unwrap();
    assert_ne!(revived.tasks, 0);
    let pending = imported.tasks(TaskFilter { state: Some(State::Pending) });
    let without = pending.iter().filter(|task| task.output.is_none()).count();
    // What was PENDING in the file keeps the output that it had.
    assert_eq!((without, pending.len() > without), (revived.tasks as usize, true));
}

#[test]
fn interrupted_import_continues() {
    let folder = wide();
    for table in ["runs", "tasks", "events"] {
        folder.run(&format!("ALTER TABLE {table} RENAME TO conductor_original_{table}"));
    }
    assert_continues(&folder);
}
