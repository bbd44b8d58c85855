//! The baseline: the shortest raw SQL with the same result, on the same tables, with the same pragmas and events. The size of
//! its transactions is the fastest one. It runs no handlers, checks nothing, and is the only user of the file.
//!
//! All functions work on run 1 with parent 1; the row keys of its children begin with 2. `each` is the number of rows in
//! one transaction; the constants are the fastest sizes.

use crate::outcome::Outcome;
use conductor_store::Environment;
use rusqlite::{Connection, Params, ToSql, Transaction, TransactionBehavior, params};
use std::time::{Duration, Instant};

pub(crate) const INSERTS: u32 = 10_000;
pub(crate) const UPDATES: u32 = 1_000;
/// The number of rows in one insert statement, which opens the table and its indexes only once.
const ROWS_PER_STATEMENT: usize = 250;
const NOW: i64 = 1_767_225_600_000;

/// The codes of event names.
mod name {
    pub(super) const RUN_CREATED: u8 = 0;
    pub(super) const RUN_SEALED: u8 = 1;
    pub(super) const RUN_STARTED: u8 = 2;
    pub(super) const RUN_CANCELLED: u8 = 4;
    pub(super) const RUN_REOPENED: u8 = 5;
    pub(super) const TASK_CREATED: u8 = 6;
    pub(super) const TASK_FANNED_OUT: u8 = 7;
    pub(super) const TASK_STARTED: u8 = 9;
    pub(super) const TASK_SUCCEEDED: u8 = 10;
    pub(super) const TASK_RETRIED: u8 = 12;
    pub(super) const TASK_REVIVED: u8 = 15;
    pub(super) const TASK_REOPENED: u8 = 16;
    pub(super) const TASK_SWEPT: u8 = 23;
}

/// Calls `work` with the first and last row key of each group of children, each in its own transaction. Returns the time of
/// the longest one.
fn for_each_transaction(
    raw: &mut Connection,
    children: u32,
    each: u32,
    work: impl Fn(&Transaction<'_>, u32, u32) -> Outcome<()>,
) -> Outcome<Duration> {
    let mut longest = Duration::ZERO;
    for first in (2..children + 2).step_by(each as usize) {
        let began = Instant::now();
        let tx = raw.transaction_with_behavior(TransactionBehavior::Immediate)?;
        work(&tx, first, (first + each).min(children + 2) - 1)?;
        tx.commit()?;
        longest = longest.max(began.elapsed());
    }
    Ok(longest)
}

fn run(tx: &Connection, sql: &str, params: impl Params) -> Outcome<u32> {
    Ok(u32::try_from(tx.prepare_cached(sql)?.execute(params)?)?)
}

/// Inserts an event of the run, or of a task, with a JSON payload.
fn event(tx: &Connection, run_key: i64, task: Option<i64>, name: u8, payload: Option<&str>) -> Outcome<()> {
    let sql = "INSERT INTO conductor_events (run, task, name, at, payload) VALUES (?1, ?2, ?3, ?4, ?5)";
    run(tx, sql, params![run_key, task, name, NOW, payload]).map(drop)
}

/// Inserts one row for each value. The first parameter is `first` plus the position; the second is the value.
fn insert_rows<T: ToSql>(
    tx: &Connection,
    into: &str,
    row: fn(usize) -> String,
    first: u32,
    each: &[T],
) -> Outcome<()> {
    let mut sql = (0, String::new());
    for (group, first) in each.chunks(ROWS_PER_STATEMENT).zip((first..).step_by(ROWS_PER_STATEMENT)) {
        if sql.0 != group.len() {
            let rows: Vec<_> = (0..group.len()).map(row).collect();
            sql = (group.len(), format!("INSERT INTO {into} VALUES {}", rows.join(", ")));
        }
        let mut insert = tx.prepare_cached(&sql.1)?;
        insert.raw_bind_parameter(1, first)?;
        for (i, own) in group.iter().enumerate() {
            insert.raw_bind_parameter(i + 2, own)?;
        }
        insert.raw_execute()?;
    }
    Ok(())
}

const CHILDREN: &str = "conductor_tasks (id, run, parent, ordinal, state, kind, priority, created_at, updated_at, attempt, \
    retry_count, max_retries)";

fn child(i: usize) -> String {
    format!("(?{}, 1, 1, ?1 + {i}, 0, 1, 0, {NOW}, {NOW}, 0, 0, 3)", i + 2)
}

fn input(i: usize) -> String {
    format!("(?1 + {i}, ?{})", i + 2)
}

/// Creates the children of a parent, each with an input row if `item` is given.
pub(crate) fn fan_out(
    raw: &mut Connection,
    children: u32,
    item: Option<&str>,
    each: u32,
) -> Outcome<Duration> {
    let env = Environment::system();
    for_each_transaction(raw, children, each, |tx, first, last| {
        let mut ids = env.ids(last - first + 1);
        let ids: Vec<_> =
            std::iter::from_fn(|| ids.take_task()).map(|id| id.as_u128().to_be_bytes()).collect();
        insert_rows(tx, CHILDREN, child, first - 1, &ids)?;
        if let Some(item) = item {
            insert_rows(tx, "conductor_inputs", input, first, &vec![item; ids.len()])?;
        }
        event(tx, 1, Some(1), name::TASK_FANNED_OUT, Some(&indices(first, last)))?;
        let numbers = "UPDATE conductor_tasks SET state = 1, children = ?1, open_children = ?1 WHERE key = 1";
        run(tx, numbers, [last - 1])?;
        run(tx, "UPDATE conductor_runs SET state = 1, pending = ?1 WHERE key = 1", [last - 1])?;
        Ok(())
    })
}

/// Returns the payload with the indices of the children that have these row keys.
fn indices(first: u32, last: u32) -> String {
    format!("{{\"first\":{},\"last\":{}}}", first - 1, last - 1)
}

const EVENTS: &str = "INSERT INTO conductor_events (run, task, name, at) \
    SELECT 1, key, ?3, ?4 FROM conductor_tasks WHERE key BETWEEN ?1 AND ?2";
const SETTLE: &str = "UPDATE conductor_tasks SET state = 2, updated_at = ?3, lease_until = NULL, holder = NULL \
    WHERE key BETWEEN ?1 AND ?2";
const CLAIM: &str = "UPDATE conductor_tasks SET state = 1, updated_at = ?2, attempt = attempt + 1, \
    lease_until = ?2 + 30000, holder = 1 WHERE key IN (SELECT key FROM conductor_tasks WHERE kind = 1 AND run = 1 \
    AND state = 0 AND due_at IS NULL AND sealed IS NULL AND coalesce(lost, 0) < 2 ORDER BY priority DESC, key LIMIT ?1)";

/// Claims all ready children and settles them; the tasks of one claim are settled together with the next claim.
pub(crate) fn drain(raw: &mut Connection, children: u32, each: u32) -> Outcome<Duration> {
    for_each_transaction(raw, children + each, each, |tx, first, last| {
        settle(tx, first.saturating_sub(each).max(2), first - 1)?;
        claim(tx, first, last)
    })
}

fn claim(tx: &Transaction<'_>, first: u32, last: u32) -> Outcome<()> {
    run(tx, CLAIM, params![last - first + 1, NOW])?;
    run(tx, EVENTS, params![first, last, name::TASK_STARTED, NOW])?;
    Ok(())
}

fn settle(tx: &Transaction<'_>, first: u32, last: u32) -> Outcome<()> {
    let settled = run(tx, SETTLE, params![first, last, NOW])?;
    run(tx, EVENTS, params![first, last, name::TASK_SUCCEEDED, NOW])?;
    count(tx, settled)
}

fn count(tx: &Transaction<'_>, settled: u32) -> Outcome<()> {
    run(tx, "UPDATE conductor_tasks SET open_children = open_children - ?1 WHERE key = 1", [settled])?;
    run(
        tx,
        "UPDATE conductor_runs SET pending = pending - ?1, succeeded = succeeded + ?1 WHERE key = 1",
        [settled],
    )?;
    Ok(())
}

/// Drains with outputs: reads each child's input and writes an output for each.
pub(crate) fn drain_with_outputs(
    raw: &mut Connection,
    children: u32,
    reads: bool,
    output: &str,
    each: u32,
) -> Outcome<Duration> {
    for_each_transaction(raw, children + each, each, |tx, first, last| {
        let mut update = tx.prepare_cached(
            "UPDATE conductor_tasks SET state = 2, updated_at = ?2, lease_until = NULL, holder = NULL, output = ?3 \
             WHERE key = ?1",
        )?;
        let settled = first.saturating_sub(each).max(2)..first.min(children + 2);
        for key in settled.clone() {
            update.execute(params![key, NOW, output])?;
        }
        run(tx, EVENTS, params![settled.start, settled.end - 1, name::TASK_SUCCEEDED, NOW])?;
        count(tx, u32::try_from(settled.len())?)?;
        claim(tx, first, last)?;
        if reads {
            let mut inputs =
                tx.prepare_cached("SELECT input FROM conductor_inputs WHERE task BETWEEN ?1 AND ?2")?;
            let mut rows = inputs.query(params![first, last])?;
            while let Some(row) = rows.next()? {
                std::hint::black_box(row.get::<_, String>(0)?);
            }
        }
        Ok(())
    })
}

/// Reads the outputs of all children in order and returns their sum.
pub(crate) fn sum_of_outputs(raw: &Connection) -> Outcome<u64> {
    let mut outputs = raw.prepare_cached(
        "SELECT output FROM conductor_tasks WHERE run = 1 AND parent = 1 AND ordinal > 0 ORDER BY ordinal",
    )?;
    let mut rows = outputs.query([])?;
    let mut sum = 0;
    while let Some(row) = rows.next()? {
        sum += serde_json::from_str::<u64>(row.get_ref(0)?.as_str()?)?;
    }
    Ok(sum)
}

/// Makes all FAILED children PENDING again.
pub(crate) fn retry(raw: &mut Connection, children: u32, each: u32) -> Outcome<Duration> {
    for_each_transaction(raw, children, each, |tx, first, last| {
        run(
            tx,
            "UPDATE conductor_tasks SET state = 0, due_at = NULL, retry_count = retry_count + 1, updated_at = ?3 \
             WHERE key BETWEEN ?1 AND ?2",
            params![first, last, NOW],
        )?;
        run(tx, EVENTS, params![first, last, name::TASK_RETRIED, NOW])?;
        run(
            tx,
            "UPDATE conductor_runs SET failed = failed - ?1, pending = pending + ?1 WHERE key = 1",
            [last - first + 1],
        )?;
        Ok(())
    })
}

/// Requests the cancel of the run.
pub(crate) fn request_cancel(raw: &mut Connection) -> Outcome<()> {
    let tx = raw.transaction_with_behavior(TransactionBehavior::Immediate)?;
    run(&tx, "UPDATE conductor_runs SET mark = 1, swept = 0, updated_at = ?1 WHERE key = 1", [NOW])?;
    event(&tx, 1, None, name::RUN_CANCELLED, Some("{\"by\":\"CANCEL\"}"))?;
    Ok(tx.commit()?)
}

/// Makes all children CANCELLED.
pub(crate) fn cancel(raw: &mut Connection, children: u32, each: u32) -> Outcome<Duration> {
    for_each_transaction(raw, children, each, |tx, first, last| {
        run(
            tx,
            "UPDATE conductor_tasks SET state = 4, updated_at = ?3 WHERE key BETWEEN ?1 AND ?2",
            params![first, last, NOW],
        )?;
        event(tx, 1, Some(1), name::TASK_SWEPT, Some(&indices(first, last)))?;
        let numbers = "UPDATE conductor_tasks SET open_children = open_children - ?1, \
            cancelled_children = cancelled_children + ?1 WHERE key = 1";
        run(tx, numbers, [last - first + 1])?;
        let tally =
            "UPDATE conductor_runs SET pending = pending - ?1, cancelled = cancelled + ?1 WHERE key = 1";
        run(tx, tally, [last - first + 1])?;
        Ok(())
    })
}

/// Makes the first child, which is FAILED, PENDING again, and its parent and run RUNNING.
pub(crate) fn revive(raw: &mut Connection) -> Outcome<()> {
    let tx = raw.transaction_with_behavior(TransactionBehavior::Immediate)?;
    run(&tx, "UPDATE conductor_tasks SET state = 0 WHERE key = 2", [])?;
    run(
        &tx,
        "UPDATE conductor_tasks SET state = 1, open_children = 1, failed_children = 0 WHERE key = 1",
        [],
    )?;
    run(
        &tx,
        "UPDATE conductor_runs SET state = 1, open_children = 1, failed_children = 0 WHERE key = 1",
        [],
    )?;
    let events = [(Some(2), name::TASK_REVIVED), (Some(1), name::TASK_REOPENED), (None, name::RUN_REOPENED)];
    events.into_iter().try_for_each(|(task, name)| event(&tx, 1, task, name, None))?;
    Ok(tx.commit()?)
}

/// Deletes all children and their events.
pub(crate) fn prune(raw: &mut Connection, children: u32, each: u32) -> Outcome<Duration> {
    for_each_transaction(raw, children, each, |tx, first, last| {
        run(tx, "DELETE FROM conductor_tasks WHERE key BETWEEN ?1 AND ?2", [first, last])?;
        let events = "DELETE FROM conductor_events WHERE seq IN \
            (SELECT seq FROM conductor_events WHERE run = 1 ORDER BY seq LIMIT ?1)";
        run(tx, events, [2 * (last - first + 1)])?;
        Ok(())
    })
}

/// Inserts a run with one claimed task, in one transaction.
pub(crate) fn submit_and_claim(raw: &mut Connection, env: &Environment) -> Outcome<()> {
    let mut ids = env.ids(2);
    let mut id =
        || Ok::<_, Box<dyn std::error::Error>>(ids.take_task().ok_or("too few ids")?.as_u128().to_be_bytes());
    let tx = raw.transaction_with_behavior(TransactionBehavior::Immediate)?;
    run(
        &tx,
        "INSERT INTO conductor_runs (id, state, created_at, updated_at, sealed, fanout, children, open_children, \
         failed_children, cancelled_children, pending, running, succeeded, failed, cancelled) \
         VALUES (?1, 1, ?2, ?2, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0)",
        params![id()?, NOW],
    )?;
    let key = tx.last_insert_rowid();
    run(
        &tx,
        "INSERT INTO conductor_tasks (id, run, parent, ordinal, state, kind, priority, created_at, updated_at, \
         attempt, retry_count, max_retries, name, lease_until, holder) \
         VALUES (?1, ?2, 0, 1, 1, 1, 0, ?3, ?3, 1, 0, 3, 'noop', ?3, 1)",
        params![id()?, key, NOW],
    )?;
    let task = tx.last_insert_rowid();
    let events = [
        (name::RUN_CREATED, None, None),
        (name::RUN_SEALED, None, Some("{\"total\":1}")),
        (name::TASK_CREATED, Some(task), Some("{\"index\":1}")),
        (name::TASK_STARTED, Some(task), None),
        (name::RUN_STARTED, None, None),
    ];
    for (name, task, payload) in events {
        event(&tx, key, task, name, payload)?;
    }
    Ok(tx.commit()?)
}

/// Reads one row, which usually does not exist.
pub(crate) fn read_one_row(raw: &Connection, sql: &str) -> Outcome<()> {
    let mut statement = raw.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    if let Some(row) = rows.next()? {
        std::hint::black_box(row.get_ref(0)?);
    }
    Ok(())
}
