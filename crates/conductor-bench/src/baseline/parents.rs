//! Many parents: creates them and their children, and settles them.

use super::create::{Inputs, block_ids, blocks, start_parent};
use super::{BLOCK, NOW, event, in_transactions, name, run};
use crate::outcome::Outcome;
use conductor_model::TaskId;
use conductor_store::Environment;
use rusqlite::{Connection, params};
use std::time::Duration;

/// Creates children of the parent that are parents themselves, with so many children each. Their blocks begin with 2.
pub(crate) fn fan_out_of_parents(
    raw: &mut Connection,
    parents: u32,
    children: u32,
    each: u32,
) -> Outcome<Duration> {
    let (env, mut first) = (Environment::system(), 1);
    in_transactions(raw, |tx| {
        let last = parents.min(first + each - 1);
        if first == 1 {
            start_parent(tx, 1)?;
        }
        let first_id = block_ids(&env, last - first + 1);
        for index in first..=last {
            let id = TaskId::from_u128(first_id + u128::from(index - first)).to_string();
            let (low, names) = ((index - first) % BLOCK, format!(r#"["noop#{index}"]"#));
            run(tx, INSERT_BLOCK, params![&id[..24], low, index, NOW, names])?;
            let key = tx.last_insert_rowid() * i64::from(BLOCK);
            run(tx, INSERT_PARENT, params![key, NOW, children])?;
            let input = format!(r#"[{{"fanout":{children}}}]"#);
            run(tx, "INSERT INTO conductor_inputs VALUES (?1, 1, ?2)", params![key, input])?;
        }
        let sizes: Vec<_> = (first..=last).map(|index| format!("[{index},{children}]")).collect();
        let id = TaskId::from_u128(first_id);
        let payload =
            format!(r#"{{"first":{first},"last":{last},"first_id":"{id}","parents":[{}]}}"#, sizes.join(","));
        event(tx, 1, Some(BLOCK.into()), name::TASK_FANNED_OUT, Some(&payload))?;
        run(tx, "UPDATE conductor_parents SET children = ?1, open_children = ?1 WHERE task = 1024", [last])?;
        run(tx, "UPDATE conductor_runs SET pending = ?1 WHERE key = 1", [last])?;
        first = last + 1;
        Ok(last < parents)
    })
}

/// Creates the children of parents that are the blocks from `first` on, so many for each. A parent's children share a block.
pub(crate) fn fan_out_each(
    raw: &mut Connection,
    (first, parents): (u32, u32),
    children: u32,
    each: u32,
) -> Outcome<Duration> {
    let (env, mut next, end) = (Environment::system(), first, first + parents);
    in_transactions(raw, |tx| {
        let last = end.min(next + each.div_ceil(children));
        for block in next..last {
            start_parent(tx, block)?;
            let first_id = blocks(tx, &env, block * BLOCK, (1, children), Inputs::None)?;
            let payload = format!(r#"{{"first":1,"last":{children},"first_id":"{first_id}"}}"#);
            event(tx, 1, Some((block * BLOCK).into()), name::TASK_FANNED_OUT, Some(&payload))?;
            let counts = "UPDATE conductor_parents SET children = ?2, open_children = ?2 WHERE task = ?1";
            run(tx, counts, [block * BLOCK, children])?;
        }
        run(
            tx,
            "UPDATE conductor_runs SET pending = pending + ?1 WHERE key = 1",
            [(last - next) * children],
        )?;
        next = last;
        Ok(last < end)
    })
}

/// Settles the root tasks that are parents and whose children have all succeeded.
pub(crate) fn aggregate(raw: &mut Connection, each: u32) -> Outcome<Duration> {
    in_transactions(raw, |tx| {
        let settled = run(tx, AGGREGATED, params![name::TASK_AGGREGATED, NOW, each])?;
        run(tx, SETTLE, params![NOW, each])?;
        run(tx, COUNT, [settled])?;
        Ok(settled == each)
    })
}

const INSERT_BLOCK: &str = "INSERT INTO conductor_blocks (prefix, low, count, run, parent, child_index, is_parent, kind, \
    priority, max_retries, created_at, has_inputs, names) VALUES (?1, ?2, 1, 1, 1024, ?3, 1, 1, 0, 3, ?4, 1, ?5)";
const INSERT_PARENT: &str = "INSERT INTO conductor_parents (task, run, state, updated_at, sealed, fanout, children, \
    open_children, failed_children, cancelled_children) VALUES (?1, 1, 0, ?2, 1, ?3, 0, 0, 0, 0)";
const AGGREGATED: &str = "INSERT INTO conductor_events (run, task, name, at, count, payload) \
    SELECT 1, task, ?1, ?2, 1, '{\"state\":\"SUCCEEDED\"}' FROM conductor_parents WHERE next_step = 3 AND run = 1 LIMIT ?3";
const SETTLE: &str = "UPDATE conductor_parents SET state = 2, updated_at = ?1, \
    output = '{\"cancelled\":0,\"failed\":0,\"succeeded\":' || children || '}' \
    WHERE task IN (SELECT task FROM conductor_parents WHERE next_step = 3 AND run = 1 LIMIT ?2)";
const COUNT: &str = "UPDATE conductor_runs SET running = running - ?1, succeeded = succeeded + ?1, \
    open_children = open_children - ?1 WHERE key = 1";
