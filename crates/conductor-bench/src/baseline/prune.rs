//! Deletes the run.

use super::{BLOCK, in_transactions, run};
use crate::outcome::Outcome;
use rusqlite::Connection;
use std::time::Duration;

/// The rows of the tasks in the blocks from ?1 to ?2.
const OF_BLOCKS: [&str; 7] = [
    "DELETE FROM conductor_ended WHERE task BETWEEN 1024 * ?1 AND 1024 * ?2 + 1023",
    "DELETE FROM conductor_outputs WHERE task BETWEEN 1024 * ?1 AND 1024 * ?2 + 1023",
    "DELETE FROM conductor_errors WHERE task BETWEEN 1024 * ?1 AND 1024 * ?2 + 1023",
    "DELETE FROM conductor_inputs WHERE task BETWEEN 1024 * ?1 AND 1024 * ?2 + 1023",
    "DELETE FROM conductor_parents WHERE task BETWEEN 1024 * ?1 AND 1024 * ?2 + 1023",
    "DELETE FROM conductor_ranges WHERE block BETWEEN ?1 AND ?2",
    "DELETE FROM conductor_blocks WHERE block BETWEEN ?1 AND ?2",
];
const EVENTS: &str = "DELETE FROM conductor_events WHERE key IN \
    (SELECT key FROM conductor_events WHERE run = 1 ORDER BY key LIMIT ?1)";

/// Deletes the run, its tasks and their events, which are the first blocks of the file.
pub(crate) fn prune(raw: &mut Connection, each: u32) -> Outcome<Duration> {
    let last = "SELECT max(block) FROM conductor_blocks WHERE run = 1";
    let last: u32 = raw.query_row(last, [], |row| row.get(0))?;
    let (mut next, blocks) = (1, each.div_ceil(BLOCK));
    in_transactions(raw, |tx| {
        if next == 1 {
            run(tx, "DELETE FROM conductor_runs WHERE key = 1", [])?;
        }
        if next <= last {
            let until = last.min(next + blocks - 1);
            for sql in OF_BLOCKS {
                run(tx, sql, [next, until])?;
            }
            next = until + 1;
        }
        // The leaves of a block have two events.
        Ok(run(tx, EVENTS, [2 * blocks])? > 0 || next <= last)
    })
}
