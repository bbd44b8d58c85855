//! Submits a run with one task, and claims it.

use super::{NOW, event, name, run};
use crate::outcome::Outcome;
use conductor_store::Environment;
use rusqlite::{Connection, TransactionBehavior, params};

/// Inserts a run with one claimed task, in one transaction.
pub(crate) fn submit_and_claim(raw: &mut Connection, env: &Environment) -> Outcome<()> {
    let mut ids = env.ids(2);
    let run_id = ids.take_run().ok_or("too few ids")?.to_string();
    let task_id = ids.take_task().ok_or("too few ids")?;
    let (prefix, low) = (task_id.to_string(), u32::try_from(task_id.as_u128() % 1024)?);
    let tx = raw.transaction_with_behavior(TransactionBehavior::Immediate)?;
    run(&tx, RUN, params![run_id, NOW])?;
    let key = tx.last_insert_rowid();
    run(&tx, BLOCK, params![&prefix[..24], low, key, NOW])?;
    let block = tx.last_insert_rowid();
    run(&tx, RANGE, params![block, NOW, key])?;
    let task = Some(1024 * block);
    let events = [
        (name::RUN_CREATED, None, None),
        (name::RUN_SEALED, None, Some("{\"total\":1}")),
        (name::TASK_CREATED, task, Some("{\"index\":1}")),
        (name::TASK_STARTED, task, None),
        (name::RUN_STARTED, None, None),
    ];
    for (name, task, payload) in events {
        event(&tx, key, task, name, payload)?;
    }
    Ok(tx.commit()?)
}

const RUN: &str = "INSERT INTO conductor_runs (id, state, created_at, updated_at, sealed, fanout, children, open_children, \
    failed_children, cancelled_children, pending, running, succeeded, failed, cancelled) \
    VALUES (?1, 1, ?2, ?2, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0)";
const BLOCK: &str = "INSERT INTO conductor_blocks (prefix, low, count, run, parent, child_index, is_parent, kind, priority, \
    max_retries, created_at, has_inputs, names) VALUES (?1, ?2, 1, ?3, 0, 1, 0, 1, 0, 3, ?4, 0, '[\"noop\"]')";
const RANGE: &str = "INSERT INTO conductor_ranges (block, first, last, state, attempt, retry_count, engine, lease_until, \
    since, run, parent, kind, priority) VALUES (?1, 0, 0, 1, 1, 0, 1, ?2, ?2, ?3, 0, 1, 0)";
