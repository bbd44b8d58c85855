//! The lean layout beside the original's shape: insert rate, claim-and-settle rate, bytes per finished task.
//! `cargo bench -p conductor-store --bench layout [-- N]`
//!
//! Both sides are raw prepared statements with the same pragmas, all events and the indexes that the steps need;
//! what differs is the layout alone.

mod common;

use common::{Outcome, bytes_used, median, per_second, raw, submit_parent, time};
use conductor_model::{TaskId, Timestamp};
use conductor_store::{Source, SqliteStore};
use rusqlite::{Connection, TransactionBehavior, params};
use std::path::Path;

const ROUNDS: usize = 5;
const INSERTS_PER_TRANSACTION: usize = 10_000;

fn main() -> Outcome<()> {
    let tasks: u32 = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(100_000);
    println!("{tasks} tasks, synchronous=FULL, median of {ROUNDS} rounds");
    println!("  layout   inserts/s  settle-then-claim/s by 100, by 1000  bytes per finished task");
    for (name, layout) in [("lean", &Lean as &dyn Layout), ("seed", &Seed)] {
        let (mut inserts, mut by_100, mut by_1000, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for _ in 0..ROUNDS {
            let folder = tempfile::tempdir()?;
            let ids = ids(tasks);
            for (batch, times) in [(100, &mut by_100), (1000, &mut by_1000)] {
                let mut connection = layout.open(&folder.path().join(format!("{batch}.db")))?;
                let before = bytes_used(&connection)?;
                inserts.push(time(|| insert(layout, &mut connection, &ids))?);
                times.push(time(|| drain(layout, &mut connection, &ids, batch))?);
                bytes = (bytes_used(&connection)? - before) / i64::from(tasks);
            }
        }
        let rate = |times| per_second(tasks, median(times).0);
        let (inserts, by_100, by_1000) = (rate(inserts), rate(by_100), rate(by_1000));
        println!("  {name:<6} {inserts:>10.0}  {by_100:>20.0} {by_1000:>13.0}  {bytes:>22}");
    }
    Ok(())
}

/// The ordinal of the task at that place in the list.
fn row(place: usize) -> Outcome<i64> {
    Ok(i64::try_from(place)? + 1)
}

fn ids(count: u32) -> Vec<TaskId> {
    let mut block = Source::system().ids(count);
    std::iter::from_fn(|| block.take_task()).collect()
}

fn insert(layout: &dyn Layout, connection: &mut Connection, ids: &[TaskId]) -> Outcome<()> {
    for (nth, chunk) in ids.chunks(INSERTS_PER_TRANSACTION).enumerate() {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (i, id) in chunk.iter().enumerate() {
            layout.insert(&tx, *id, row(nth * INSERTS_PER_TRANSACTION + i)?)?;
        }
        tx.commit()?;
    }
    Ok(())
}

/// Settles the tasks of one claim and makes the next claim in the same transaction, to the end.
fn drain(layout: &dyn Layout, connection: &mut Connection, ids: &[TaskId], batch: usize) -> Outcome<()> {
    let mut claimed: &[TaskId] = &[];
    let mut at = 0;
    loop {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (i, id) in claimed.iter().enumerate() {
            layout.settle(&tx, *id, row(at - claimed.len() + i)?)?;
        }
        let ready = layout.ready(&tx, row(batch)? - 1)?;
        assert_eq!(ready, batch.min(ids.len() - at), "the index of ready tasks finds them");
        let next = &ids[at..at + ready];
        for (i, id) in next.iter().enumerate() {
            layout.claim(&tx, *id, row(at + i)?)?;
        }
        layout.count(&tx, i64::try_from(claimed.len())?, i64::try_from(next.len())?)?;
        tx.commit()?;
        at += next.len();
        claimed = next;
        if claimed.is_empty() {
            return Ok(());
        }
    }
}

/// One way to store tasks; `n` is the task's ordinal from 1.
trait Layout {
    fn open(&self, path: &Path) -> Outcome<Connection>;
    fn insert(&self, tx: &Connection, id: TaskId, n: i64) -> Outcome<()>;
    fn ready(&self, tx: &Connection, limit: i64) -> Outcome<usize>;
    fn claim(&self, tx: &Connection, id: TaskId, n: i64) -> Outcome<()>;
    fn settle(&self, tx: &Connection, id: TaskId, n: i64) -> Outcome<()>;
    fn count(&self, tx: &Connection, settled: i64, claimed: i64) -> Outcome<()>;
}

const NOW: i64 = 1_767_225_600_000;

/// Ours: the migrations.
struct Lean;

impl Layout for Lean {
    fn open(&self, path: &Path) -> Outcome<Connection> {
        // The first run, parent and kind have row key 1; the children's keys begin with 2.
        submit_parent(&SqliteStore::open(path)?, &Source::system(), 1)?;
        raw(path)
    }

    fn insert(&self, tx: &Connection, id: TaskId, n: i64) -> Outcome<()> {
        let sql = "INSERT INTO conductor_tasks (id, run, parent, ordinal, state, kind, priority, created_at, \
            updated_at, attempt, retry_count, max_retries) VALUES (?1, 1, 1, ?2, 0, 1, 0, ?3, ?3, 0, 0, 3)";
        tx.prepare_cached(sql)?.execute(params![id.as_u128().to_be_bytes(), n, NOW])?;
        Ok(())
    }

    fn ready(&self, tx: &Connection, limit: i64) -> Outcome<usize> {
        let sql = "SELECT key FROM conductor_tasks WHERE kind = 1 AND run = 1 AND state = 0 AND due_at IS NULL \
            AND sealed IS NULL ORDER BY priority DESC, key LIMIT ?1";
        Ok(tx.prepare_cached(sql)?.query_map([limit], |row| row.get::<_, i64>(0))?.count())
    }

    fn claim(&self, tx: &Connection, _: TaskId, n: i64) -> Outcome<()> {
        let sql = "UPDATE conductor_tasks SET state = 1, attempt = attempt + 1, lease_until = ?2, updated_at = ?3 \
            WHERE key = ?1";
        tx.prepare_cached(sql)?.execute(params![n + 1, NOW + 30_000, NOW])?;
        event(tx, n, 9)
    }

    fn settle(&self, tx: &Connection, _: TaskId, n: i64) -> Outcome<()> {
        let sql = "UPDATE conductor_tasks SET state = 2, lease_until = NULL, updated_at = ?2 \
            WHERE key = ?1 AND attempt = 1 AND state = 1";
        tx.prepare_cached(sql)?.execute(params![n + 1, NOW])?;
        event(tx, n, 10)
    }

    fn count(&self, tx: &Connection, settled: i64, claimed: i64) -> Outcome<()> {
        let parent = "UPDATE conductor_tasks SET open_children = open_children - ?1 WHERE key = 1";
        tx.prepare_cached(parent)?.execute([settled])?;
        let run =
            "UPDATE conductor_runs SET running = running + ?2 - ?1, succeeded = succeeded + ?1 WHERE key = 1";
        tx.prepare_cached(run)?.execute([settled, claimed])?;
        Ok(())
    }
}

fn event(tx: &Connection, n: i64, name: u8) -> Outcome<()> {
    let sql = "INSERT INTO conductor_events (run, task, name, at) VALUES (1, ?1, ?2, ?3)";
    tx.prepare_cached(sql)?.execute(params![n + 1, name, NOW])?;
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
    CREATE INDEX tasks_parent ON tasks (parent_task_id);
    CREATE INDEX tasks_ready ON tasks (run_id) WHERE state = 'PENDING';
    CREATE TABLE parents (id TEXT PRIMARY KEY, open INTEGER NOT NULL);
    CREATE TABLE events (seq INTEGER PRIMARY KEY, task_id TEXT, name TEXT NOT NULL, at TEXT NOT NULL);
";
const RUN: &str = "01JZZZZZZZZZZZZZZZZZZZZZZR";
const PARENT: &str = "01JZZZZZZZZZZZZZZZZZZZZZZP";

impl Layout for Seed {
    fn open(&self, path: &Path) -> Outcome<Connection> {
        let connection = raw(path)?;
        connection.execute_batch(SEED_TABLES)?;
        connection.execute("INSERT INTO parents VALUES (?1, 1000000)", [PARENT])?;
        Ok(connection)
    }

    fn insert(&self, tx: &Connection, id: TaskId, n: i64) -> Outcome<()> {
        let sql = "INSERT INTO tasks (id, run_id, parent_task_id, name, state, created_at, updated_at, input) \
            VALUES (?1, ?2, ?3, ?4, 'PENDING', ?5, ?5, '{}')";
        let name = format!("parent#{n}");
        tx.prepare_cached(sql)?.execute(params![id.to_string(), RUN, PARENT, name, now_text()?])?;
        Ok(())
    }

    fn ready(&self, tx: &Connection, limit: i64) -> Outcome<usize> {
        let sql = "SELECT id FROM tasks WHERE run_id = ?1 AND state = 'PENDING' LIMIT ?2";
        Ok(tx.prepare_cached(sql)?.query_map(params![RUN, limit], |row| row.get::<_, String>(0))?.count())
    }

    fn claim(&self, tx: &Connection, id: TaskId, _: i64) -> Outcome<()> {
        let sql = "UPDATE tasks SET state = 'RUNNING', attempt = attempt + 1, lease_until = ?2, updated_at = ?2 \
            WHERE id = ?1";
        tx.prepare_cached(sql)?.execute(params![id.to_string(), now_text()?])?;
        seed_event(tx, id, "task.started")
    }

    fn settle(&self, tx: &Connection, id: TaskId, _: i64) -> Outcome<()> {
        let sql = "UPDATE tasks SET state = 'SUCCEEDED', lease_until = NULL, updated_at = ?2 \
            WHERE id = ?1 AND attempt = 1 AND state = 'RUNNING'";
        tx.prepare_cached(sql)?.execute(params![id.to_string(), now_text()?])?;
        seed_event(tx, id, "task.succeeded")
    }

    fn count(&self, tx: &Connection, settled: i64, _: i64) -> Outcome<()> {
        tx.prepare_cached("UPDATE parents SET open = open - ?2 WHERE id = ?1")?
            .execute(params![PARENT, settled])?;
        Ok(())
    }
}

fn now_text() -> Outcome<String> {
    Ok(Timestamp::from_millis(NOW)?.to_string())
}

fn seed_event(tx: &Connection, id: TaskId, name: &str) -> Outcome<()> {
    let sql = "INSERT INTO events (task_id, name, at) VALUES (?1, ?2, ?3)";
    tx.prepare_cached(sql)?.execute(params![id.to_string(), name, now_text()?])?;
    Ok(())
}
