//! Decide parents and runs whose children are all settled.

use super::SqliteStore;
use super::damage::readable;
use super::sql::{ScopeKey, Sql};
use super::transit::{Brings, TransitError};
use super::write::Write;
use crate::{Aggregated, Fault, Step};
use conductor_model::{Decision, Json, Numbers, Signal, State};
use rusqlite::{Connection, params};
use serde_json::json;

impl SqliteStore {
    pub(super) fn aggregate_step(&self, step: &Step) -> Result<Aggregated, Fault> {
        let something = |connection: &Connection| {
            let scope = ScopeKey::of(step.scope, connection)?;
            let parents = candidates(connection, PARENTS_TO_DECIDE, scope, 1)?;
            Ok(!parents.is_empty() || !candidates(connection, RUNS_TO_DECIDE, scope, 1)?.is_empty())
        };
        if !self.probe(something)? {
            return Ok(Aggregated::default());
        }
        self.write(step.now, |write| aggregate(write, step))
    }
}

fn candidates(connection: &Connection, sql: &str, scope: ScopeKey, limit: u32) -> Result<Vec<i64>, Fault> {
    let (from, to) = scope.range();
    connection.all(sql, params![limit, from, to], |row| row.get(0))
}

/// Decides parents first; a run, or a parent of parents, that can be decided only then is left to the next step.
fn aggregate(write: &mut Write<'_>, step: &Step) -> Result<Aggregated, Fault> {
    let limit = step.limit.max(1);
    let scope = ScopeKey::of(step.scope, write.tx())?;
    let mut done = Aggregated::default();
    for key in candidates(write.tx(), PARENTS_TO_DECIDE, scope, limit)? {
        done.parents += u32::from(decide_parent(write, key)?);
    }
    for key in candidates(write.tx(), RUNS_TO_DECIDE, scope, limit.saturating_sub(done.parents))? {
        done.runs += u32::from(decide_run(write, key)?);
    }
    done.more = done.parents + done.runs > 0;
    Ok(done)
}

fn decide_parent(write: &mut Write<'_>, key: i64) -> Result<bool, Fault> {
    let Some(mut task) = write.found(key)? else { return Ok(true) };
    let (tx, ledger, _) = write.parts();
    // One that cannot be read is decided before the commit: it fails.
    let Some(numbers) = readable(ledger.parent(tx, key))?.copied() else { return Ok(true) };
    let Some(end) = end_of(numbers) else { return Ok(false) };
    let output = tally_output(numbers)?;
    let in_step = |error: TransitError| error.in_step(key);
    if starts_first(task.state, end) {
        write.transit(&mut task, Signal::Start, Brings::default()).map_err(in_step)?;
    }
    let brings = Brings { output: Some(&output), failure: None };
    write.transit(&mut task, end, brings).map_err(in_step)?;
    Ok(true)
}

fn decide_run(write: &mut Write<'_>, key: i64) -> Result<bool, Fault> {
    let (tx, ledger, now) = write.parts();
    let Some(entry) = readable(ledger.run(tx, key))? else { return Ok(true) };
    let Some(end) = end_of(entry.numbers) else { return Ok(false) };
    if starts_first(entry.state, end) {
        ledger.transit_run(tx, key, Signal::Start, now)?;
    }
    ledger.transit_run(tx, key, end, now)?;
    Ok(true)
}

/// The signal by which a parent or run with these numbers ends, if they decide it.
fn end_of(numbers: Numbers) -> Option<Signal> {
    match numbers.decide() {
        Decision::Wait => None,
        Decision::Settle(state) => state.ended_by(),
    }
}

/// A parent or run without children, in which nothing ever started, walks through RUNNING to its end; one whose
/// children were all cancelled before they started does not.
fn starts_first(present: State, end: Signal) -> bool {
    present == State::Pending && end != Signal::Cancel
}

/// A parent's output: how its children ended.
fn tally_output(numbers: Numbers) -> Result<Json, Fault> {
    let tally = json!({
        "succeeded": numbers.succeeded(),
        "failed": numbers.failed,
        "cancelled": numbers.cancelled,
    });
    Json::of(&tally).map_err(|issue| Fault::Backend(issue.to_string().into()))
}

pub(super) const PARENTS_TO_DECIDE: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_wants \
    WHERE wants = 3 AND run BETWEEN ?2 AND ?3 ORDER BY run, key LIMIT ?1";

pub(super) const RUNS_TO_DECIDE: &str = "SELECT key FROM conductor_runs INDEXED BY conductor_runs_to_decide \
    WHERE sealed = 1 AND children = fanout AND open_children = 0 AND state IN (0, 1) AND key BETWEEN ?2 AND ?3 \
    ORDER BY key LIMIT ?1";
