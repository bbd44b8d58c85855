//! Files of the TypeScript version are imported into the tables that keep children together as into the other tables.
//!
//! Each file that the tests of the import build is imported by both stores first. Both give the same answers, and go on in
//! the same way.

#[path = "support/answers.rs"]
mod answers;
#[path = "open/import.rs"]
mod import;
#[path = "open/import_helpers.rs"]
mod import_helpers;
#[path = "open/import_rejected.rs"]
mod import_rejected;
#[path = "open/import_trees.rs"]
mod import_trees;
#[path = "open/legacy_file.rs"]
mod legacy_file;
#[path = "open/test_folder.rs"]
mod test_folder;

mod before_open {
    pub(crate) use crate::{imported, rejected};
}

use conductor_conformance::{AnyStore, assert_replays, assert_verified};
use conductor_model::{RunId, Task, Timestamp};
use conductor_store::ranges::RangeStore;
use conductor_store::{
    AttemptFailure, AttemptResult, Claim, ClaimedTask, Environment, EventFilter, FanOut, KindQuota,
    OpenError, Prune, RegisterEngine, Report, ReportBatch, Revive, ReviveFilter, Scope, Settle,
    SqliteOptions, SqliteStore, State, Step, Synchronous, TaskFilter,
};
use legacy_file::task;
use std::fs;
use test_folder::TestFolder;

/// When the test goes on after an import.
const LATER: &str = "2100-01-01T00:00:00Z";

/// The largest number of tasks of which each answer is compared. All tasks are compared by their page.
const MOST_TASKS: usize = 30;

/// A file that is imported.
struct Imported {
    store: Box<dyn AnyStore>,
    folder: TestFolder,
}

fn later() -> Timestamp {
    LATER.parse().unwrap()
}

fn copy_of(folder: &TestFolder) -> TestFolder {
    let copy = TestFolder::new();
    fs::copy(folder.db(), copy.db()).unwrap();
    copy
}

fn options() -> SqliteOptions {
    SqliteOptions::default().synchronous(Synchronous::Normal)
}

/// Imports copies of a file into both stores, and compares them until nothing is left to do.
fn imported(folder: &TestFolder) {
    let [rows, ranges] = [Imported::rows(folder), Imported::ranges(folder)];
    assert_same(&rows.answers(), &ranges.answers());
    assert_same(&rows.go_on(), &ranges.go_on());
    assert_same(&rows.answers(), &ranges.answers());
    assert_same(&rows.prune(), &ranges.prune());
    for table in [
        "runs",
        "submissions",
        "blocks",
        "parents",
        "ranges",
        "ended",
        "outputs",
        "errors",
        "inputs",
        "events",
    ] {
        assert_eq!(
            ranges.folder.ask::<i64>(&format!("SELECT count(*) FROM conductor_{table}")),
            0,
            "{table}"
        );
    }
}

/// Asserts that a file is rejected with the same error, and that nothing of it changes.
fn rejected(folder: &TestFolder) {
    let before = folder.content();
    let error = RangeStore::import(folder.db(), options()).unwrap_err();
    assert_eq!(folder.content(), before, "{error}");
    let expected: OpenError = SqliteStore::open(folder.db()).unwrap_err();
    assert_eq!(format!("{error:?}"), format!("{expected:?}"));
}

#[track_caller]
fn assert_same(rows: &[String], ranges: &[String]) {
    for (expected, answer) in rows.iter().zip(ranges) {
        assert_eq!(expected, answer);
    }
    assert_eq!(rows.len(), ranges.len());
}

impl Imported {
    fn rows(folder: &TestFolder) -> Self {
        let copy = copy_of(folder);
        let store = SqliteStore::open_with(copy.db(), options()).unwrap();
        Self { store: Box::new(store), folder: copy }
    }

    fn ranges(folder: &TestFolder) -> Self {
        let copy = copy_of(folder);
        let store = RangeStore::import(copy.db(), options()).unwrap();
        Self { store: Box::new(store), folder: copy }
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

    /// All answers. The time of the import, which differs, is replaced.
    fn answers(&self) -> Vec<String> {
        let store = &*self.store;
        let mut tasks = self.tasks(TaskFilter::default());
        let mut answers: Vec<String> = tasks.iter().map(|task| format!("{task:?}")).collect();
        let every = tasks.len() / MOST_TASKS + 1;
        let mut number = 0;
        tasks.retain(|task| {
            number += 1;
            task.child_counts.is_some() || number % every == 0
        });
        answers.extend(answers::answers(store, later(), &self.runs(), &tasks));
        assert_replays(store);
        assert_verified(store);
        let of_import = EventFilter { name: Some("run.adopted"), ..EventFilter::default() };
        if let Some(event) = store.events(of_import, 0, 1).unwrap().items.first() {
            let at = event.at.to_string();
            for answer in &mut answers {
                *answer = answer.replace(&at, "the import");
            }
        }
        answers
    }

    /// Executes all tasks until nothing is left to do. Returns the claims.
    fn go_on(&self) -> Vec<String> {
        let (store, env) = (&*self.store, Environment::seeded(later(), 7));
        let registration = store.register_engine(&RegisterEngine::new(&env)).unwrap();
        let step = Step { scope: Scope::All, now: later(), limit: 100 };
        let mut claims = Vec::new();
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
            claims.extend(claimed.tasks.iter().map(|task| format!("{:?} {:?}", task.fence.task, task.input)));
            changed += u32::try_from(claimed.tasks.len()).unwrap();
            let results = claimed.tasks.iter().map(|task| (task.fence, result(task))).collect();
            let settled = store.settle(&Settle::new(results, &env)).unwrap();
            assert_eq!(settled.results.len(), claimed.tasks.len());
            let decided = store.aggregate(&step).unwrap();
            if changed + decided.parents + decided.runs == 0 {
                return claims;
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

    /// Removes all runs that ended: how many rows.
    fn prune(&self) -> Vec<String> {
        let mut outcomes = Vec::new();
        loop {
            let pruned = self.store.prune(&Prune { settled_before: Timestamp::MAX, limit: 1000 }).unwrap();
            outcomes.push(format!("{} {} {}", pruned.runs, pruned.tasks, pruned.events));
            if !pruned.more {
                return outcomes;
            }
        }
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
    imported(&folder);
    drop(RangeStore::import(folder.db(), options()).unwrap());
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
        imported(&folder);
    }
}

#[test]
fn revived_tasks_lose_imported_outputs() {
    let folder = wide();
    folder.run("UPDATE tasks SET output = json_quote(printf('%.*c', 300, 'x')), retry_count = 3");
    let [rows, ranges] = [Imported::rows(&folder), Imported::ranges(&folder)].map(|imported| {
        let store = &imported.store;
        let run = store.runs(None, 1).unwrap().items[0].id;
        let revived = store.revive(&Revive::run(run, ReviveFilter::FailedAndCancelled, later())).unwrap();
        assert_ne!(revived.tasks, 0);
        let tasks = store.tasks(run, TaskFilter::default(), None, 1000).unwrap().items;
        tasks.into_iter().map(|task| (task.id, task.state, task.output)).collect::<Vec<_>>()
    });
    assert_eq!(rows, ranges);
}

#[test]
fn interrupted_import_continues() {
    let folder = wide();
    for table in ["runs", "tasks", "events"] {
        folder.run(&format!("ALTER TABLE {table} RENAME TO conductor_original_{table}"));
    }
    imported(&folder);
}

#[test]
fn other_files_are_not_imported() {
    let folder = TestFolder::new();
    let error = RangeStore::import(folder.db(), options()).unwrap_err();
    assert!(error.to_string().contains("it is not a file of the TypeScript version"), "{error}");
    drop(SqliteStore::open(folder.db()).unwrap());
    rejected_as_other(&folder);
    let folder = wide();
    drop(RangeStore::import(folder.db(), options()).unwrap());
    rejected_as_other(&folder);
}

/// Asserts that a file of ours is rejected, and stays unchanged.
#[track_caller]
fn rejected_as_other(folder: &TestFolder) {
    let before = folder.content();
    let error = RangeStore::import(folder.db(), options()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    assert_eq!(folder.content(), before);
}
