//! Creates children and root tasks.

use super::{BLOCK, NOW, event, in_transactions, name, run};
use crate::outcome::Outcome;
use conductor_model::TaskId;
use conductor_store::Environment;
use rusqlite::{Connection, Transaction, params};
use std::time::Duration;

/// From which number of bytes on the inputs of a block go on in another row.
const INPUT_BYTES: usize = 64 * 1024;

/// The inputs of new tasks.
#[derive(Clone, Copy)]
pub(crate) enum Inputs<'a> {
    /// They have that of their parent, or none.
    None,
    /// Each has this JSON text.
    Each(&'a str),
}

/// Creates the children of the parent.
pub(crate) fn fan_out(
    raw: &mut Connection,
    children: u32,
    inputs: Inputs<'_>,
    each: u32,
) -> Outcome<Duration> {
    let (env, mut first) = (Environment::system(), 1);
    in_transactions(raw, |tx| {
        let last = children.min(first + each - 1);
        if first == 1 {
            start_parent(tx, 1)?;
        }
        let first_id = blocks(tx, &env, BLOCK, (first, last), inputs)?;
        let payload = format!(r#"{{"first":{first},"last":{last},"first_id":"{first_id}"}}"#);
        event(tx, 1, Some(BLOCK.into()), name::TASK_FANNED_OUT, Some(&payload))?;
        let counts = "UPDATE conductor_parents SET children = ?1, open_children = ?1 WHERE task = 1024";
        run(tx, counts, [last])?;
        run(tx, "UPDATE conductor_runs SET pending = ?1 WHERE key = 1", [last])?;
        first = last + 1;
        Ok(last < children)
    })
}

/// Starts the parent that is this block. The first one starts the run.
pub(super) fn start_parent(tx: &Transaction<'_>, block: u32) -> Outcome<()> {
    let key = block * BLOCK;
    run(tx, "UPDATE conductor_parents SET state = 1, updated_at = ?2 WHERE task = ?1", params![key, NOW])?;
    event(tx, 1, Some(key.into()), name::TASK_STARTED, None)?;
    if block == 1 {
        event(tx, 1, None, name::RUN_STARTED, None)?;
    }
    run(tx, START, [NOW]).map(drop)
}

const START: &str = "UPDATE conductor_runs SET state = 1, pending = pending - 1, running = running + 1, updated_at = ?1 \
    WHERE key = 1";

/// Creates root tasks of an open run, each with a name. Seals the run.
pub(crate) fn create_roots(
    raw: &mut Connection,
    tasks: u32,
    inputs: Inputs<'_>,
    each: u32,
) -> Outcome<Duration> {
    let (env, mut first) = (Environment::system(), 1);
    in_transactions(raw, |tx| {
        let last = tasks.min(first + each - 1);
        blocks(tx, &env, 0, (first, last), inputs)?;
        let counts =
            "UPDATE conductor_runs SET children = ?1, open_children = ?1, pending = ?1 WHERE key = 1";
        run(tx, counts, [last])?;
        if last == tasks {
            run(tx, "UPDATE conductor_runs SET sealed = 1, fanout = ?1 WHERE key = 1", [tasks])?;
            event(tx, 1, None, name::RUN_SEALED, Some(&format!(r#"{{"total":{tasks}}}"#)))?;
        }
        first = last + 1;
        Ok(last < tasks)
    })
}

/// Inserts the blocks of new tasks with these indices; `parent` is 0 for root tasks, which get names. Returns the first id.
pub(super) fn blocks(
    tx: &Transaction<'_>,
    env: &Environment,
    parent: u32,
    (first, last): (u32, u32),
    inputs: Inputs<'_>,
) -> Outcome<TaskId> {
    let first_id = block_ids(env, last - first + 1);
    for index in (first..=last).step_by(BLOCK as usize) {
        let count = BLOCK.min(last - index + 1);
        let id = TaskId::from_u128(first_id + u128::from(index - first)).to_string();
        let names = (parent == 0).then(|| names(index, count));
        let has_inputs = matches!(inputs, Inputs::Each(_));
        run(tx, INSERT_BLOCK, params![&id[..24], count, parent, index, NOW, has_inputs, names])?;
        let block = tx.last_insert_rowid();
        run(tx, INSERT_RANGE, params![block, count - 1, NOW, parent])?;
        if let Inputs::Each(input) = inputs {
            insert_inputs(tx, block * i64::from(BLOCK), count, input)?;
        }
        if parent == 0 {
            let tasks = format!("[[{block},0,0,{count}]]");
            let payload = format!(r#"{{"index":{index}}}"#);
            run(tx, INSERT_CREATED, params![name::TASK_CREATED, NOW, count, tasks, payload])?;
        }
    }
    Ok(TaskId::from_u128(first_id))
}

/// Returns the first of so many ids. It begins a full block: its last ten bits are 0.
pub(super) fn block_ids(env: &Environment, count: u32) -> u128 {
    env.ids(count + BLOCK).first_task().as_u128().next_multiple_of(BLOCK.into())
}

/// The name of a root task.
pub(crate) fn root_name(index: u32) -> String {
    format!("task number {index}")
}

fn names(first: u32, count: u32) -> String {
    let names: Vec<_> = (first..first + count).map(|index| format!("\"{}\"", root_name(index))).collect();
    format!("[{}]", names.join(","))
}

fn insert_inputs(tx: &Transaction<'_>, first: i64, count: u32, input: &str) -> Outcome<()> {
    let (mut key, mut rest) = (first, count);
    let fitting = u32::try_from(INPUT_BYTES / (input.len() + 1))?;
    while rest > 0 {
        let chunk = fitting.clamp(1, rest);
        let text = format!("[{}]", vec![input; chunk as usize].join(","));
        run(tx, "INSERT INTO conductor_inputs VALUES (?1, ?2, ?3)", params![key, chunk, text])?;
        (key, rest) = (key + i64::from(chunk), rest - chunk);
    }
    Ok(())
}

const INSERT_BLOCK: &str = "INSERT INTO conductor_blocks (prefix, low, count, run, parent, child_index, is_parent, kind, \
    priority, max_retries, created_at, has_inputs, names) VALUES (?1, 0, ?2, 1, ?3, ?4, 0, 1, 0, 3, ?5, ?6, ?7)";
const INSERT_RANGE: &str = "INSERT INTO conductor_ranges (block, first, last, state, attempt, retry_count, since, run, \
    parent, kind, priority) VALUES (?1, 0, ?2, 0, 0, 0, ?3, 1, ?4, 1, 0)";
const INSERT_CREATED: &str =
    "INSERT INTO conductor_events (run, name, at, count, tasks, payload) VALUES (1, ?1, ?2, ?3, ?4, ?5)";
