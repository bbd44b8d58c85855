//! The lean layout beside the original's shape: insert rate, claim-and-settle rate, bytes per finished task.
//!
//! Both sides are raw statements over many rows, with the same pragmas, all events and the indexes that the steps need;
//! what differs is the layout alone. What stands as the floor is the original's.

use crate::Outcome;
use crate::measure::Bench;
use crate::place::{Place, time};
use conductor_model::TaskId;
use conductor_store::{Source, Synchronous};
use rusqlite::{Connection, TransactionBehavior, params};
use std::time::Duration;

const INSERTS_PER_TRANSACTION: usize = 10_000;
const ROWS_PER_STATEMENT: usize = 256;

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    let (n, sync) = (bench.size(100_000), Synchronous::Full);
    let both = bench.both(5, sync, |place| inserted(&Lean, place, n), |place| inserted(&Seed, place, n))?;
    bench.tell(&both.rate("layout/insert", n, sync, "tasks/s"))?;
    for batch in [100, 1000] {
        let drained = |layout: &dyn Layout, place: &Place| drained(layout, place, n, batch);
        let both = bench.both(5, sync, |place| drained(&Lean, place), |place| drained(&Seed, place))?;
        bench.tell(&both.rate(&format!("layout/drain by {batch}"), n, sync, "tasks/s"))?;
    }
    Ok(())
}

fn inserted(layout: &dyn Layout, place: &Place, n: u32) -> Outcome<Duration> {
    let mut connection = layout.open(place)?;
    time(|| insert(layout, &mut connection, &ids(n)))
}

fn drained(layout: &dyn Layout, place: &Place, n: u32, batch: usize) -> Outcome<Duration> {
    let (mut connection, ids) = (layout.open(place)?, ids(n));
    insert(layout, &mut connection, &ids)?;
    time(|| drain(layout, &mut connection, &ids, batch))
}

fn ids(count: u32) -> Vec<TaskId> {
    let mut block = Source::system().ids(count);
    std::iter::from_fn(|| block.take_task()).collect()
}

/// The ordinal of the task at that place in the list.
fn row(place: usize) -> Outcome<i64> {
    Ok(i64::try_from(place)? + 1)
}

fn insert(layout: &dyn Layout, connection: &mut Connection, ids: &[TaskId]) -> Outcome<()> {
    for (nth, chunk) in ids.chunks(INSERTS_PER_TRANSACTION).enumerate() {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (part, group) in chunk.chunks(ROWS_PER_STATEMENT).enumerate() {
            let first = row(nth * INSERTS_PER_TRANSACTION + part * ROWS_PER_STATEMENT)?;
            layout.insert(&tx, group, first)?;
        }
        tx.commit()?;
    }
    Ok(())
}

/// Settles the tasks of one claim and makes the next claim in the same transaction, to the end.
fn drain(layout: &dyn Layout, connection: &mut Connection, ids: &[TaskId], batch: usize) -> Outcome<()> {
    for nth in 0..=ids.len().div_ceil(batch) {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Some(claimed) = nth.checked_sub(1).and_then(|before| ids.chunks(batch).nth(before)) {
            layout.settle(&tx, claimed, row((nth - 1) * batch)?)?;
        }
        if let Some(next) = ids.chunks(batch).nth(nth) {
            let claimed = layout.claim(&tx, next, row(nth * batch)?)?;
            assert_eq!(claimed, next.len(), "the index of ready tasks finds them");
        }
        tx.commit()?;
    }
    Ok(())
}

/// One way to store tasks. `first` is the ordinal of the first of the given tasks; the others follow it.
trait Layout {
    fn open(&self, place: &Place) -> Outcome<Connection>;
    fn insert(&self, tx: &Connection, ids: &[TaskId], first: i64) -> Outcome<()>;
    /// Claims as many ready tasks, and leaves an event for each; how many there were.
    fn claim(&self, tx: &Connection, ids: &[TaskId], first: i64) -> Outcome<usize>;
    /// Settles these tasks, leaves an event for each, and counts them.
    fn settle(&self, tx: &Connection, ids: &[TaskId], first: i64) -> Outcome<()>;
}

const NOW: i64 = 1_767_225_600_000;

/// `rows` times the same placeholders, `?` for each column that differs.
fn values(rows: usize, columns: impl Fn(usize) -> String) -> String {
    (0..rows).map(|nth| format!("({})", columns(nth))).collect::<Vec<_>>().join(", ")
}

/// Ours: the migrations.
struct Lean;

impl Layout for Lean {
    fn open(&self, place: &Place) -> Outcome<Connection> {
        // The first run, parent and kind have row key 1; the children's keys begin with 2.
        place.raw_with_parent(1)
    }

    fn insert(&self, tx: &Connection, ids: &[TaskId], first: i64) -> Outcome<()> {
        let values = values(ids.len(), |nth| {
            format!("?{}, 1, 1, {nth} + ?1, 0, 1, 0, {NOW}, {NOW}, 0, 0, 3", nth + 2)
        });
        let sql = format!(
            "INSERT INTO conductor_tasks (id, run, parent, ordinal, state, kind, priority, created_at, updated_at, \
             attempt, retry_count, max_retries) VALUES {values}"
        );
        let mut statement = tx.prepare_cached(&sql)?;
        statement.raw_bind_parameter(1, first)?;
        for (nth, id) in ids.iter().enumerate() {
            statement.raw_bind_parameter(nth + 2, id.as_u128().to_be_bytes())?;
        }
        statement.raw_execute()?;
        Ok(())
    }

    fn claim(&self, tx: &Connection, ids: &[TaskId], first: i64) -> Outcome<usize> {
        let sql = "UPDATE conductor_tasks SET state = 1, attempt = attempt + 1, lease_until = ?2, updated_at = ?3 \
            WHERE key IN (SELECT key FROM conductor_tasks WHERE kind = 1 AND run = 1 AND state = 0 \
            AND due_at IS NULL AND sealed IS NULL AND coalesce(lost, 0) < 2 ORDER BY priority DESC, key LIMIT ?1)";
        let count = i64::try_from(ids.len())?;
        let claimed = tx.prepare_cached(sql)?.execute(params![count, NOW + 30_000, NOW])?;
        lean_events(tx, first, count, 9)?;
        Ok(claimed)
    }

    fn settle(&self, tx: &Connection, ids: &[TaskId], first: i64) -> Outcome<()> {
        let sql = "UPDATE conductor_tasks SET state = 2, lease_until = NULL, updated_at = ?3 \
            WHERE key BETWEEN ?1 AND ?2 AND attempt = 1 AND state = 1";
        let count = i64::try_from(ids.len())?;
        tx.prepare_cached(sql)?.execute(params![first + 1, first + count, NOW])?;
        lean_events(tx, first, count, 10)?;
        let parent = "UPDATE conductor_tasks SET open_children = open_children + ?1 WHERE key = 1";
        tx.prepare_cached(parent)?.execute([count])?;
        let run = "UPDATE conductor_runs SET succeeded = succeeded + ?1 WHERE key = 1";
        tx.prepare_cached(run)?.execute([count])?;
        Ok(())
    }
}

fn lean_events(tx: &Connection, first: i64, count: i64, name: u8) -> Outcome<()> {
    let sql = "INSERT INTO conductor_events (run, task, name, at) \
        SELECT 1, key, ?3, ?4 FROM conductor_tasks WHERE key BETWEEN ?1 AND ?2";
    tx.prepare_cached(sql)?.execute(params![first + 1, first + count, name, NOW])?;
    Ok(())
}

/// The original's: text ids, text states, text times, one row per child with its name and input; events narrow.
struct Seed;

const SEED_TABLES: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE tasks (
        id TEXT PRIMARY KEY, run_id TEXT NOT NULL, parent_task_id TEXT, name TEXT NOT NULL, state TEXT NOT NULL,
        created_at TEXT NOT NULL, updated_at TEXT NOT NULL, input TEXT, output TEXT,
        retry_count INTEGER DEFAULT 0, max_retries INTEGER DEFAULT 3, last_error TEXT,
        attempt INTEGER DEFAULT 0, lease_until TEXT
    );
    CREATE UNIQUE INDEX tasks_place ON tasks (run_id, parent_task_id, name);
    CREATE INDEX tasks_ready ON tasks (run_id) WHERE state = 'PENDING';
    CREATE INDEX tasks_running ON tasks (lease_until) WHERE state = 'RUNNING';
    CREATE INDEX tasks_failed ON tasks (updated_at) WHERE state = 'FAILED';
    CREATE TABLE parents (id TEXT PRIMARY KEY, open INTEGER NOT NULL);
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, task_id TEXT, name TEXT NOT NULL, at TEXT NOT NULL
    );
    CREATE INDEX events_run ON events (run_id);
";
const RUN: &str = "01JZZZZZZZZZZZZZZZZZZZZZZR";
const PARENT: &str = "01JZZZZZZZZZZZZZZZZZZZZZZP";
const NOW_TEXT: &str = "2026-01-01T00:00:00.000Z";

impl Layout for Seed {
    fn open(&self, place: &Place) -> Outcome<Connection> {
        let connection = place.raw()?;
        connection.execute_batch(SEED_TABLES)?;
        connection.execute("INSERT INTO parents VALUES (?1, 1000000)", [PARENT])?;
        Ok(connection)
    }

    fn insert(&self, tx: &Connection, ids: &[TaskId], first: i64) -> Outcome<()> {
        let values = values(ids.len(), |nth| {
            let id = nth + 2;
            format!(
                "?{id}, '{RUN}', '{PARENT}', 'parent#' || (?1 + {nth}), 'PENDING', '{NOW_TEXT}', '{NOW_TEXT}', '{{}}'"
            )
        });
        let sql = format!(
            "INSERT INTO tasks (id, run_id, parent_task_id, name, state, created_at, updated_at, input) VALUES {values}"
        );
        let mut statement = tx.prepare_cached(&sql)?;
        statement.raw_bind_parameter(1, first)?;
        for (nth, id) in ids.iter().enumerate() {
            statement.raw_bind_parameter(nth + 2, id.to_string())?;
        }
        statement.raw_execute()?;
        Ok(())
    }

    fn claim(&self, tx: &Connection, ids: &[TaskId], _: i64) -> Outcome<usize> {
        let sql = "UPDATE tasks SET state = 'RUNNING', attempt = attempt + 1, lease_until = ?3, updated_at = ?3 \
            WHERE id IN (SELECT id FROM tasks WHERE run_id = ?1 AND state = 'PENDING' LIMIT ?2)";
        let count = i64::try_from(ids.len())?;
        let claimed = tx.prepare_cached(sql)?.execute(params![RUN, count, NOW_TEXT])?;
        seed_events(tx, ids, "task.started")?;
        Ok(claimed)
    }

    fn settle(&self, tx: &Connection, ids: &[TaskId], _: i64) -> Outcome<()> {
        let sql = "UPDATE tasks SET state = 'SUCCEEDED', lease_until = NULL, updated_at = ?3 \
            WHERE id BETWEEN ?1 AND ?2 AND attempt = 1 AND state = 'RUNNING'";
        let (first, last) = (ids[0].to_string(), ids[ids.len() - 1].to_string());
        tx.prepare_cached(sql)?.execute(params![first, last, NOW_TEXT])?;
        seed_events(tx, ids, "task.succeeded")?;
        let count = i64::try_from(ids.len())?;
        tx.prepare_cached("UPDATE parents SET open = open - ?2 WHERE id = ?1")?
            .execute(params![PARENT, count])?;
        Ok(())
    }
}

fn seed_events(tx: &Connection, ids: &[TaskId], name: &str) -> Outcome<()> {
    let sql = "INSERT INTO events (run_id, task_id, name, at) SELECT run_id, id, ?3, ?4 FROM tasks WHERE id BETWEEN ?1 AND ?2";
    let (first, last) = (ids[0].to_string(), ids[ids.len() - 1].to_string());
    tx.prepare_cached(sql)?.execute(params![first, last, name, NOW_TEXT])?;
    Ok(())
}
