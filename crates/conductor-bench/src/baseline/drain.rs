//! Claims tasks and records their ends.

use super::{
    BLOCK, Change, NOW, Of, Piece, count, event, events, in_transactions, insert_pairs, name, run, take,
};
use crate::outcome::Outcome;
use rusqlite::{Connection, Transaction, params};
use std::time::Duration;

/// How many bytes of an output are stored in the row of an ended leaf.
const SHORT_OUTPUT: usize = 100;

/// A drain of all ready tasks.
#[derive(Clone, Copy)]
pub(crate) struct Drain<'a> {
    pub(crate) of: Of,
    /// Whether the inputs are read.
    pub(crate) reads_inputs: bool,
    /// The output of each task.
    pub(crate) output: Option<&'a str>,
    pub(crate) each: u32,
}

impl Drain<'_> {
    /// A drain of children without inputs and outputs.
    pub(crate) fn by(each: u32) -> Self {
        Self { of: Of::Parent, reads_inputs: false, output: None, each }
    }
}

const CLAIM: Change = Change {
    from: "SELECT key, block, first, last FROM conductor_ranges WHERE kind = 1 AND run = 1 AND state = 0 \
        AND due_at IS NULL AND coalesce(lease_losses, 0) < 2 ORDER BY priority DESC, block",
    state: 1,
    attempts: 1,
    retries: 0,
    engine: Some(1),
    lease_until: Some(NOW + 30_000),
    due_at: None,
    lease_losses: None,
};

/// Claims all ready tasks and settles them; the tasks of one claim are settled together with the next claim.
pub(crate) fn drain(raw: &mut Connection, drain: Drain<'_>) -> Outcome<Duration> {
    let (mut claimed, mut is_started) = (Vec::new(), drain.of != Of::Run);
    in_transactions(raw, |tx| {
        if !is_started {
            run(tx, "UPDATE conductor_runs SET state = 1 WHERE key = 1", [])?;
            event(tx, 1, None, name::RUN_STARTED, None)?;
            is_started = true;
        }
        settle(tx, &claimed, drain.output)?;
        count_settled(tx, &claimed, drain.of)?;
        claimed = take(tx, &CLAIM, drain.each)?;
        events(tx, name::TASK_STARTED, &claimed, None)?;
        if drain.reads_inputs {
            read_inputs(tx, &claimed)?;
        }
        let counts = "UPDATE conductor_runs SET pending = pending - ?1, running = running + ?1 WHERE key = 1";
        run(tx, counts, [count(&claimed)])?;
        Ok(!claimed.is_empty())
    })
}

/// Counts the ends of tasks at the run and at their parents.
fn count_settled(tx: &Transaction<'_>, settled: &[Piece], of: Of) -> Outcome<()> {
    let all = count(settled);
    let of_run = if of == Of::Run { all } else { 0 };
    run(tx, COUNT, params![all, of_run, NOW])?;
    let parent = "UPDATE conductor_parents SET open_children = open_children - ?2 WHERE task = 1024 * ?1";
    match of {
        Of::Run => {}
        Of::Parent => drop(run(tx, parent, [1, all])?),
        Of::Parents(parents) => {
            for piece in settled {
                run(tx, parent, params![piece.block - i64::from(parents), piece.count])?;
            }
        }
    }
    Ok(())
}

fn settle(tx: &Transaction<'_>, claimed: &[Piece], output: Option<&str>) -> Outcome<()> {
    let keys = || {
        let first = |piece: &Piece| piece.block * i64::from(BLOCK) + i64::from(piece.first);
        claimed.iter().flat_map(move |piece| (first(piece)..).take(piece.count as usize))
    };
    match output {
        Some(output) if output.len() <= SHORT_OUTPUT => {
            let ended: Vec<_> = keys().map(|key| (key, output)).collect();
            insert_pairs(
                tx,
                "conductor_ended (task, at, state, attempt, retry_count, output)",
                ended_row,
                &ended,
            )?;
        }
        output => {
            for piece in claimed {
                run(tx, INSERT_ENDED, params![piece.key, NOW])?;
            }
            if let Some(output) = output {
                let outputs: Vec<_> = keys().map(|key| (key, output)).collect();
                insert_pairs(tx, "conductor_outputs", |i| format!("(?{i}, ?{})", i + 1), &outputs)?;
            }
        }
    }
    for piece in claimed {
        run(tx, "DELETE FROM conductor_ranges WHERE key = ?1", [piece.key])?;
    }
    events(tx, name::TASK_SUCCEEDED, claimed, None)
}

fn ended_row(i: usize) -> String {
    format!("(?{i}, {NOW}, 2, 1, 0, ?{})", i + 1)
}

/// Reads the rows that begin with an input of these tasks.
fn read_inputs(tx: &Transaction<'_>, claimed: &[Piece]) -> Outcome<()> {
    let mut inputs = tx.prepare_cached("SELECT inputs FROM conductor_inputs WHERE task BETWEEN ?1 AND ?2")?;
    for piece in claimed {
        let first = piece.block * i64::from(BLOCK) + i64::from(piece.first);
        let mut rows = inputs.query([first, first + i64::from(piece.count) - 1])?;
        while let Some(row) = rows.next()? {
            std::hint::black_box(row.get::<_, String>(0)?);
        }
    }
    Ok(())
}

/// Reads the outputs of all children in order and returns their sum.
pub(crate) fn sum_of_outputs(raw: &Connection) -> Outcome<u64> {
    let mut outputs = raw.prepare_cached(
        "SELECT output FROM conductor_blocks b CROSS JOIN conductor_ended \
         WHERE run = 1 AND parent = 1024 AND child_index > 0 \
         AND task BETWEEN 1024 * block AND 1024 * block + 1023 ORDER BY child_index",
    )?;
    let mut rows = outputs.query([])?;
    let mut sum = 0;
    while let Some(row) = rows.next()? {
        sum += serde_json::from_str::<u64>(row.get_ref(0)?.as_str()?)?;
    }
    Ok(sum)
}

const INSERT_ENDED: &str = "INSERT INTO conductor_ended (task, at, state, attempt, retry_count) \
    SELECT 1024 * block + n, ?2, 2, attempt, retry_count \
    FROM conductor_ranges CROSS JOIN conductor_offsets WHERE key = ?1 AND n BETWEEN first AND last";
const COUNT: &str = "UPDATE conductor_runs SET running = running - ?1, succeeded = succeeded + ?1, \
    open_children = open_children - ?2, updated_at = ?3 WHERE key = 1";
