//! The table layout beside the layout of the TypeScript version: insert rate, claim-and-settle rate, bytes per finished task.
//!
//! Both sides are raw statements over many rows, with the same pragmas, all events, and the indexes that the steps need.
//! Only the layout differs. The value is the baseline of the other benches. The baseline here is the layout of the TypeScript
//! version: ids, states and times as text, and one row for each child with its name and input.

use crate::baseline;
use crate::measure::{Bench, Side};
use crate::outcome::Outcome;
use crate::workspace::{Workspace, time};
use conductor_model::TaskId;
use conductor_store::{Environment, Synchronous};
use rusqlite::{Connection, TransactionBehavior, params};
use std::time::Duration;

const ROWS_PER_STATEMENT: usize = 250;

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    let (n, sync) = (bench.size(100_000), Synchronous::Full);
    let ours: [Side; 3] =
        [fan_out, |workspace, n| drain(workspace, n, 100), |workspace, n| drain(workspace, n, 1_000)];
    let original: [Side; 3] = [
        insert_original,
        |workspace, n| drain_original(workspace, n, 100),
        |workspace, n| drain_original(workspace, n, 1_000),
    ];
    let names = ["layout/insert", "layout/drain by 100", "layout/drain by 1000"];
    for ((name, ours), original) in names.into_iter().zip(ours).zip(original) {
        let both = bench.both(5, sync, |workspace| ours(workspace, n), |workspace| original(workspace, n))?;
        bench.print(&both.rate(name, n, sync, "tasks/s"))?;
        if name == names[2] {
            let [ours, original] = both.bytes.map(|bytes| bytes / f64::from(n));
            let baseline = Some((original, original / ours));
            bench.print(&both.record("layout/bytes", n, sync, (ours, "bytes/task"), baseline))?;
        }
    }
    Ok(())
}

fn fan_out(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let mut raw = workspace.raw_with_parent(n)?;
    time(|| baseline::fan_out(&mut raw, n, None, baseline::INSERTS))
}

fn drain(workspace: &Workspace, n: u32, each: u32) -> Outcome<Duration> {
    let mut raw = workspace.raw_with_children(n)?;
    time(|| baseline::drain(&mut raw, n, each))
}

fn insert_original(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let (mut raw, ids) = (original(workspace)?, ids(n));
    time(|| insert(&mut raw, &ids))
}

fn drain_original(workspace: &Workspace, n: u32, each: usize) -> Outcome<Duration> {
    let (mut raw, ids) = (original(workspace)?, ids(n));
    insert(&mut raw, &ids)?;
    time(|| {
        // The tasks of one claim are settled together with the next claim.
        let (mut claimed, mut rest): (&[TaskId], _) = (&[], ids.chunks(each));
        loop {
            let tx = raw.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if !claimed.is_empty() {
                settle(&tx, claimed)?;
            }
            claimed = rest.next().unwrap_or_default();
            if !claimed.is_empty() {
                claim(&tx, claimed)?;
            }
            tx.commit()?;
            if claimed.is_empty() {
                return Ok(());
            }
        }
    })
}

fn ids(count: u32) -> Vec<TaskId> {
    let mut block = Environment::system().ids(count);
    std::iter::from_fn(|| block.take_task()).collect()
}

const TABLES: &str = "
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
const NOW: &str = "2026-01-01T00:00:00.000Z";

fn original(workspace: &Workspace) -> Outcome<Connection> {
    let connection = workspace.raw()?;
    connection.execute_batch(TABLES)?;
    connection.execute("INSERT INTO parents VALUES (?1, 1000000)", [PARENT])?;
    Ok(connection)
}

fn insert(connection: &mut Connection, ids: &[TaskId]) -> Outcome<()> {
    let mut first = 1_u32;
    for chunk in ids.chunks(baseline::INSERTS as usize) {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for group in chunk.chunks(ROWS_PER_STATEMENT) {
            let row = |i| {
                let id = i + 2;
                format!(
                    "(?{id}, '{RUN}', '{PARENT}', 'parent#' || (?1 + {i}), 'PENDING', '{NOW}', '{NOW}', '{{}}')"
                )
            };
            let rows: Vec<_> = (0..group.len()).map(row).collect();
            let columns = "id, run_id, parent_task_id, name, state, created_at, updated_at, input";
            let sql = format!("INSERT INTO tasks ({columns}) VALUES {}", rows.join(", "));
            let mut statement = tx.prepare_cached(&sql)?;
            statement.raw_bind_parameter(1, first)?;
            for (i, id) in group.iter().enumerate() {
                statement.raw_bind_parameter(i + 2, id.to_string())?;
            }
            statement.raw_execute()?;
            first += u32::try_from(group.len())?;
        }
        tx.commit()?;
    }
    Ok(())
}

/// Claims as many ready tasks as there are ids, and writes an event for each.
fn claim(tx: &Connection, ids: &[TaskId]) -> Outcome<()> {
    let sql = "UPDATE tasks SET state = 'RUNNING', attempt = attempt + 1, lease_until = ?3, updated_at = ?3 \
        WHERE id IN (SELECT id FROM tasks WHERE run_id = ?1 AND state = 'PENDING' LIMIT ?2)";
    let claimed = tx.prepare_cached(sql)?.execute(params![RUN, u32::try_from(ids.len())?, NOW])?;
    assert_eq!(claimed, ids.len(), "the index of ready tasks finds them");
    events(tx, ids, "task.started")
}

/// Settles these tasks, writes an event for each, and updates the counters.
fn settle(tx: &Connection, ids: &[TaskId]) -> Outcome<()> {
    let sql = "UPDATE tasks SET state = 'SUCCEEDED', lease_until = NULL, updated_at = ?3 \
        WHERE id BETWEEN ?1 AND ?2 AND attempt = 1 AND state = 'RUNNING'";
    tx.prepare_cached(sql)?.execute(params![ids[0].to_string(), ids[ids.len() - 1].to_string(), NOW])?;
    events(tx, ids, "task.succeeded")?;
    tx.prepare_cached("UPDATE parents SET open = open - ?2 WHERE id = ?1")?
        .execute(params![PARENT, u32::try_from(ids.len())?])?;
    Ok(())
}

fn events(tx: &Connection, ids: &[TaskId], name: &str) -> Outcome<()> {
    let sql = "INSERT INTO events (run_id, task_id, name, at) SELECT run_id, id, ?3, ?4 FROM tasks WHERE id BETWEEN ?1 AND ?2";
    let (first, last) = (ids[0].to_string(), ids[ids.len() - 1].to_string());
    tx.prepare_cached(sql)?.execute(params![first, last, name, NOW])?;
    Ok(())
}
