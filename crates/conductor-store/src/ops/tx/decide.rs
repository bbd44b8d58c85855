//! Decides parents and runs.

use super::cancel_cause::set_cancel_cause;
use super::join::start_join;
use super::load::{is_cancelling_all, load_parents, readable, row_name};
use super::parents::{ParentChange, change_parent, settle_parent};
use super::transaction::Transaction;
use crate::StoreError;
use crate::backend::{JoinRow, ParentKey, ParentRow, TaskKey};
use conductor_model::{CancelCause, ChildCounts, Decision, JoinStatus, Json, Signal, State};
use serde_json::json;

/// Decides parents and runs that the transaction has read; returns for each whether anything followed.
///
/// What becomes decidable only by these decisions is left to the next step.
pub(crate) fn decide(t: &mut Transaction<'_, '_>, rows: &mut [ParentRow]) -> Result<Vec<bool>, StoreError> {
    let mut joins = read_joins(t, rows)?;
    let mut followed = vec![false; rows.len()];
    let (starting, others): (Vec<usize>, Vec<usize>) =
        (0..rows.len()).partition(|nth| starts_join(&rows[*nth]));
    for nth in others {
        followed[nth] = decide_one(t, &mut rows[nth], &mut joins[nth])?;
    }
    // Only now, because a failure above may have cancelled an ancestor of the joins that would start.
    cancel_below_ancestors(t, rows, &starting)?;
    for nth in starting {
        followed[nth] = decide_one(t, &mut rows[nth], &mut joins[nth])?;
    }
    Ok(followed)
}

fn starts_join(row: &ParentRow) -> bool {
    row.status.decide() == Decision::StartJoin
}

/// Returns whether anything followed.
fn decide_one(t: &mut Transaction<'_, '_>, row: &mut ParentRow, join: &mut Join) -> Result<bool, StoreError> {
    match row.status.decide() {
        Decision::Wait | Decision::CancelOpenChildren(_) => Ok(false),
        Decision::StartJoin => {
            if row.node.state == State::Pending {
                let started = change_parent(t, row, Signal::Start, ParentChange::default());
                started.map_err(|error| error.in_step_of_parent(row.node.key))?;
            }
            let Join { row: join, new_key } = std::mem::take(join);
            start_join(t, row, join, new_key)?;
            Ok(true)
        }
        Decision::Settle(state) => match state.ended_by() {
            Some(signal) => {
                let output = output(row, join)?;
                settle_parent(t, row, signal, output)?;
                Ok(true)
            }
            None => Ok(false),
        },
    }
}

/// Decides the parents and runs whose joins have settled, until none is left.
pub(crate) fn decide_ended_joins(t: &mut Transaction<'_, '_>) -> Result<(), StoreError> {
    while !t.ended_joins.is_empty() {
        let mut keys = std::mem::take(&mut t.ended_joins);
        keys.sort_unstable();
        keys.dedup();
        let rows = load_parents(t, &keys)?;
        let mut rows: Vec<ParentRow> = rows.into_iter().filter_map(|row| readable(t, row)).collect();
        // A parent may have settled by itself before its join did.
        rows.retain(|row| !row.node.state.is_terminal());
        decide(t, &mut rows)?;
    }
    Ok(())
}

/// Gives those whose join would start below a cancelled ancestor their cancel cause, as the sweep would later.
fn cancel_below_ancestors(
    t: &mut Transaction<'_, '_>,
    rows: &mut [ParentRow],
    starting: &[usize],
) -> Result<(), StoreError> {
    let above: Vec<ParentKey> = starting.iter().filter_map(|nth| rows[*nth].node.above).collect();
    if above.is_empty() {
        return Ok(());
    }
    let cancelling = is_cancelling_all(t, &above)?;
    for nth in starting {
        let row = &mut rows[*nth];
        if row.node.above.is_some_and(|above| cancelling.contains(&above)) {
            set_cancel_cause(t, row, CancelCause::Ancestor, None);
        }
    }
    Ok(())
}

/// The join of a parent or a run that is decided, as far as the decision needs it.
#[derive(Default)]
struct Join {
    row: JoinRow,
    /// A key for its task, if that does not exist yet.
    new_key: TaskKey,
}

fn read_joins(t: &mut Transaction<'_, '_>, rows: &[ParentRow]) -> Result<Vec<Join>, StoreError> {
    let mut joins: Vec<Join> = rows.iter().map(|_| Join::default()).collect();
    let needs = |row: &ParentRow| match row.status.decide() {
        Decision::StartJoin => true,
        Decision::Settle(_) => row.node.key.task.is_some() && gives_output(row),
        Decision::Wait | Decision::CancelOpenChildren(_) => false,
    };
    let needed: Vec<usize> = (0..rows.len()).filter(|nth| needs(&rows[*nth])).collect();
    if needed.is_empty() {
        return Ok(joins);
    }
    let keys: Vec<ParentKey> = needed.iter().map(|nth| rows[*nth].node.key).collect();
    for (nth, row) in needed.iter().zip(t.store()?.joins(&keys)?) {
        joins[*nth].row = row;
    }
    let starting: Vec<usize> = needed.into_iter().filter(|nth| starts_join(&rows[*nth])).collect();
    if !starting.is_empty() {
        let sizes = vec![1; starting.len()];
        for (nth, key) in starting.into_iter().zip(t.store()?.new_keys(false, &sizes)?.blocks) {
            joins[nth].new_key = key;
        }
    }
    Ok(joins)
}

/// Whether the output of the join is that of its parent.
fn gives_output(row: &ParentRow) -> bool {
    row.status.join == JoinStatus::Settled(State::Succeeded)
}

/// The output of a parent: that of its join, if it succeeded, or else how its children settled. A run has none.
fn output(row: &ParentRow, join: &Join) -> Result<Option<Json>, StoreError> {
    if row.node.key.task.is_none() {
        return Ok(None);
    }
    if gives_output(row) {
        let output = join.row.output.as_deref().map(str::parse::<Json>).transpose();
        return output.map_err(|issue| {
            let reason = format!("the output of its join: {issue}");
            StoreError::CorruptRow { row: row_name(row.node.key), reason }
        });
    }
    counts_output(row.status.counts).map(Some)
}

fn counts_output(counts: ChildCounts) -> Result<Json, StoreError> {
    let counts = json!({
        "succeeded": counts.succeeded(),
        "failed": counts.failed,
        "cancelled": counts.cancelled,
    });
    Json::of(&counts).map_err(|issue| StoreError::Backend(issue.to_string().into()))
}
