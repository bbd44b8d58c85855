//! Decide parents and runs whose children are all settled, and run their joins.

use super::SqliteStore;
use super::damage::readable;
use super::ledger::Place;
use super::marks::Marks;
use super::rows;
use super::sql::{ScopeKey, Sql};
use super::transit::{Brings, TransitError};
use super::write::Write;
use crate::{AggregateOutcome, Step, StoreError};
use conductor_model::{CancelCause, ChildCounts, Decision, JoinStatus, Json, ParentStatus, Signal, State};
use rusqlite::{Connection, params};
use serde_json::json;

impl SqliteStore {
    pub(super) fn aggregate_step(&self, step: &Step) -> Result<AggregateOutcome, StoreError> {
        let something = |connection: &Connection| {
            let scope = ScopeKey::of(step.scope, connection)?;
            let parents = candidates(connection, PARENTS_TO_DECIDE, scope, 1)?;
            Ok(!parents.is_empty() || !candidates(connection, RUNS_TO_DECIDE, scope, 1)?.is_empty())
        };
        if !self.probe(something)? {
            return Ok(AggregateOutcome::default());
        }
        self.write(step.now, |write| aggregate(write, step))
    }
}

fn candidates(
    connection: &Connection,
    sql: &str,
    scope: ScopeKey,
    limit: u32,
) -> Result<Vec<i64>, StoreError> {
    let (from, to) = scope.range();
    connection.all(sql, params![limit, from, to], |row| row.get(0))
}

/// Decides parents first; a run, or a parent of parents, that can be decided only then is left to the next step.
fn aggregate(write: &mut Write<'_>, step: &Step) -> Result<AggregateOutcome, StoreError> {
    let limit = step.limit.max(1);
    let scope = ScopeKey::of(step.scope, write.tx())?;
    let mut done = AggregateOutcome::default();
    for key in candidates(write.tx(), PARENTS_TO_DECIDE, scope, limit)? {
        done.parents += u32::from(decide_parent(write, key)?);
    }
    for key in candidates(write.tx(), RUNS_TO_DECIDE, scope, limit.saturating_sub(done.parents))? {
        done.runs += u32::from(decide_run(write, key)?);
    }
    done.more = done.parents + done.runs > 0;
    Ok(done)
}

/// Decides a parent, or runs its join; whether anything followed.
pub(super) fn decide_parent(write: &mut Write<'_>, key: i64) -> Result<bool, StoreError> {
    let Some(mut task) = write.found(key)? else { return Ok(true) };
    let (tx, ledger, _) = write.parts();
    // One that cannot be read is decided before the commit: it fails.
    let Some(mut standing) = readable(ledger.parent(tx, key))?.map(|head| head.standing) else {
        return Ok(true);
    };
    if standing.decide() == Decision::StartJoin && Marks::default().is_doomed(write, task.place)? {
        // The sweep would come to it as well, but a join is not to begin meanwhile.
        let (tx, ledger, now) = write.parts();
        ledger.mark(tx, task.below(), now, CancelCause::Ancestor, None)?;
        standing = ledger.parent(tx, key)?.standing;
    }
    let in_step = |error: TransitError| error.in_step(key);
    match standing.decide() {
        Decision::Wait | Decision::CancelOpenChildren(_) => return Ok(false),
        Decision::StartJoin => {
            if task.state == State::Pending {
                write.transit(&mut task, Signal::Start, Brings::default()).map_err(in_step)?;
            }
            write.begin_join(task.below(), Some(task.id))?;
        }
        Decision::Settle(state) => {
            let Some(end) = state.ended_by() else { return Ok(false) };
            let output = output(write.tx(), task.below(), standing)?;
            if ParentStatus::passes_through_running(task.state, end) {
                write.transit(&mut task, Signal::Start, Brings::default()).map_err(in_step)?;
            }
            let brings = Brings { output: output.as_ref(), ..Brings::default() };
            write.transit(&mut task, end, brings).map_err(in_step)?;
        }
    }
    Ok(true)
}

/// Decides a run, or runs its join; whether anything followed.
pub(super) fn decide_run(write: &mut Write<'_>, key: i64) -> Result<bool, StoreError> {
    let (tx, ledger, now) = write.parts();
    let Some(head) = readable(ledger.run(tx, key))?.map(|run| run.head) else { return Ok(true) };
    match head.standing.decide() {
        Decision::Wait | Decision::CancelOpenChildren(_) => return Ok(false),
        Decision::StartJoin => {
            if head.state == State::Pending {
                ledger.transit_run(tx, key, Signal::Start, now)?;
            }
            write.begin_join(Place::child(key, 0), None)?;
        }
        Decision::Settle(state) => {
            let Some(end) = state.ended_by() else { return Ok(false) };
            if ParentStatus::passes_through_running(head.state, end) {
                ledger.transit_run(tx, key, Signal::Start, now)?;
            }
            ledger.transit_run(tx, key, end, now)?;
        }
    }
    Ok(true)
}

/// A parent's output: its join's, when that ended well, or else how its children ended.
fn output(tx: &Connection, place: Place, standing: ParentStatus) -> Result<Option<Json>, StoreError> {
    if standing.join == JoinStatus::Settled(State::Succeeded) {
        let output = tx.first(JOIN_OUTPUT, params![place.run, place.parent], |row| rows::text(row, 0))?;
        return Ok(output.flatten());
    }
    tally_output(standing.counts).map(Some)
}

fn tally_output(numbers: ChildCounts) -> Result<Json, StoreError> {
    let tally = json!({
        "succeeded": numbers.succeeded(),
        "failed": numbers.failed,
        "cancelled": numbers.cancelled,
    });
    Json::of(&tally).map_err(|issue| StoreError::Backend(issue.to_string().into()))
}

pub(super) const PARENTS_TO_DECIDE: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_wants \
    WHERE wants = 3 AND run BETWEEN ?2 AND ?3 ORDER BY run, key LIMIT ?1";

pub(super) const RUNS_TO_DECIDE: &str = "SELECT key FROM conductor_runs INDEXED BY conductor_runs_wants \
    WHERE wants = 3 AND key BETWEEN ?2 AND ?3 ORDER BY key LIMIT ?1";

pub(super) const JOIN_OUTPUT: &str =
    "SELECT output FROM conductor_tasks WHERE run = ?1 AND parent = ?2 AND ordinal = 0";
