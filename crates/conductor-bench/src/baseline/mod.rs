//! The floor: the shortest raw SQL with the same result, on the same tables, with the same pragmas and events. The size of its
//! transactions is the fastest one. It runs no handlers, checks nothing, and is the only user of the file.
//!
//! All functions work on run 1. [`Of`] says whose children the tasks are. `each` is the number of tasks in one transaction;
//! the constants are the fastest sizes. [`row_per_task`] is a second floor on other tables: a row for each task.

mod changes;
pub(crate) mod check;
mod create;
mod drain;
mod parents;
mod prune;
pub(crate) mod row_per_task;
mod submit;

pub(crate) use changes::{cancel, request_cancel, rescue, retry, revive};
pub(crate) use create::{Inputs, create_roots, fan_out, root_name};
pub(crate) use drain::{Drain, drain, sum_of_outputs};
pub(crate) use parents::{aggregate, fan_out_each, fan_out_of_parents};
pub(crate) use prune::prune;
pub(crate) use submit::submit_and_claim;

use crate::outcome::Outcome;
use rusqlite::{Connection, Params, ToSql, Transaction, TransactionBehavior, params};
use std::time::{Duration, Instant};

pub(crate) const INSERTS: u32 = 1_024_000;
pub(crate) const UPDATES: u32 = 102_400;
/// The number of tasks that a block can have.
const BLOCK: u32 = 1_024;
/// The number of rows in one insert statement, which opens the table and its indexes only once.
const ROWS_PER_STATEMENT: usize = 250;
const NOW: i64 = 1_767_225_600_000;

/// Whose children the tasks are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// The run: they are root tasks.
    Run,
    /// The only task of block 1.
    Parent,
    /// So many parents, which are the first blocks. The next blocks are their children, one block for each.
    Parents(u32),
}

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
    pub(super) const TASK_FAILED: u8 = 11;
    pub(super) const TASK_RETRIED: u8 = 12;
    pub(super) const TASK_REVIVED: u8 = 15;
    pub(super) const TASK_REOPENED: u8 = 16;
    pub(super) const TASK_AGGREGATED: u8 = 17;
    pub(super) const RUN_SWEPT: u8 = 21;
    pub(super) const TASK_SWEPT: u8 = 23;
}

/// Repeats transactions until `work` returns false. Returns the time of the longest one.
fn in_transactions(
    raw: &mut Connection,
    mut work: impl FnMut(&Transaction<'_>) -> Outcome<bool>,
) -> Outcome<Duration> {
    let (mut longest, mut more) = (Duration::ZERO, true);
    while more {
        let began = Instant::now();
        let tx = raw.transaction_with_behavior(TransactionBehavior::Immediate)?;
        more = work(&tx)?;
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
    let sql =
        "INSERT INTO conductor_events (run, task, name, at, count, payload) VALUES (?1, ?2, ?3, ?4, 1, ?5)";
    run(tx, sql, params![run_key, task, name, NOW, payload]).map(drop)
}

/// Leaves of one block with consecutive offsets, and the key of the row of `conductor_ranges` that has them.
struct Piece {
    key: i64,
    block: i64,
    first: u32,
    count: u32,
}

fn count(pieces: &[Piece]) -> u32 {
    pieces.iter().map(|piece| piece.count).sum()
}

/// Inserts an event of leaves: as few rows as possible, each with the leaves of whole pieces.
fn events(tx: &Connection, name: u8, pieces: &[Piece], payload: Option<&str>) -> Outcome<()> {
    let mut rest = pieces;
    while !rest.is_empty() {
        let (mut tasks, mut place, mut taken) = (Vec::new(), 0, 0);
        for Piece { block, first, count, .. } in rest {
            if place + count > BLOCK {
                break;
            }
            tasks.push(format!("[{block},{place},{first},{count}]"));
            (place, taken) = (place + count, taken + 1);
        }
        let sql = "INSERT INTO conductor_events (run, name, at, count, tasks, payload) VALUES (1, ?1, ?2, ?3, ?4, ?5)";
        run(tx, sql, params![name, NOW, place, format!("[{}]", tasks.join(",")), payload])?;
        rest = &rest[taken..];
    }
    Ok(())
}

/// What becomes of leaves.
struct Change {
    /// The rows of `conductor_ranges` that have them: key, block, first, last.
    from: &'static str,
    state: u8,
    attempts: u8,
    retries: u8,
    engine: Option<u8>,
    lease_until: Option<i64>,
    due_at: Option<i64>,
    lease_losses: Option<u8>,
}

impl Change {
    /// Writes the leaves of a piece to a row: the one that has them, or a new one.
    fn write(&self, tx: &Connection, sql: &str, piece: &Piece) -> Outcome<()> {
        let Self { state, attempts, retries, engine, lease_until, due_at, lease_losses, .. } = self;
        let (key, last) = (piece.key, piece.first + piece.count - 1);
        let params =
            params![key, last, state, attempts, retries, engine, lease_until, due_at, lease_losses, NOW];
        run(tx, sql, params).map(drop)
    }
}

/// Changes the next leaves, at most `each`. Only the last row is split.
fn take(tx: &Connection, change: &Change, each: u32) -> Outcome<Vec<Piece>> {
    let mut pieces = Vec::new();
    let (mut rest, mut split_at) = (each, None);
    let mut select = tx.prepare_cached(change.from)?;
    let mut rows = select.query([])?;
    while rest > 0
        && let Some(row) = rows.next()?
    {
        let (first, last): (u32, u32) = (row.get(2)?, row.get(3)?);
        let count = rest.min(last - first + 1);
        rest -= count;
        pieces.push(Piece { key: row.get(0)?, block: row.get(1)?, first, count });
        split_at = Some(first + count).filter(|offset| *offset <= last);
    }
    drop(rows);
    let split = split_at.and_then(|offset| Some((pieces.pop()?, offset)));
    for piece in &pieces {
        change.write(tx, WHOLE, piece)?;
    }
    if let Some((piece, offset)) = split {
        change.write(tx, PART, &piece)?;
        let key = tx.last_insert_rowid();
        run(tx, "UPDATE conductor_ranges SET first = ?2 WHERE key = ?1", params![piece.key, offset])?;
        pieces.push(Piece { key, ..piece });
    }
    Ok(pieces)
}

const WHOLE: &str = "UPDATE conductor_ranges SET last = ?2, state = ?3, attempt = attempt + ?4, \
    retry_count = retry_count + ?5, engine = ?6, lease_until = ?7, due_at = ?8, lease_losses = ?9, since = ?10 WHERE key = ?1";
const PART: &str = "INSERT INTO conductor_ranges (block, first, last, state, attempt, retry_count, engine, lease_until, due_at, \
    lease_losses, since, run, parent, kind, priority) SELECT block, first, ?2, ?3, attempt + ?4, retry_count + ?5, ?6, ?7, \
    ?8, ?9, ?10, run, parent, kind, priority FROM conductor_ranges WHERE key = ?1";

/// Inserts rows of two values each. `row` makes the text of a row from the number of its first parameter.
fn insert_pairs<T: ToSql>(
    tx: &Connection,
    into: &str,
    row: fn(usize) -> String,
    pairs: &[(i64, T)],
) -> Outcome<()> {
    for group in pairs.chunks(ROWS_PER_STATEMENT) {
        let rows: Vec<_> = (0..group.len()).map(|i| row(2 * i + 1)).collect();
        let mut insert = tx.prepare_cached(&format!("INSERT INTO {into} VALUES {}", rows.join(", ")))?;
        for (i, (key, value)) in group.iter().enumerate() {
            insert.raw_bind_parameter(2 * i + 1, key)?;
            insert.raw_bind_parameter(2 * i + 2, value)?;
        }
        insert.raw_execute()?;
    }
    Ok(())
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
