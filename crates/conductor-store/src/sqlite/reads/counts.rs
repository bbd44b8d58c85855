//! Counts of runs: from counters, and from indexes with few entries.

use super::stuck::count_stuck;
use super::work::next_due;
use crate::backend::{Counts, CountsWanted, RunKey};
use crate::sqlite::connection::sql::{Result, Sql, no_connection};
use crate::sqlite::rows::{columns, conditions::sql, events::code_of, keys::RowKey};
use conductor_model::StateCounts;
use rusqlite::{Connection, Params, Row, params};

/// See [`ReadTx::counts`](crate::backend::ReadTx::counts).
pub(crate) fn counts(
    connection: &Connection,
    run: Option<RunKey>,
    wanted: &[CountsWanted<'_>],
) -> Result<Counts> {
    let (run, mut counts) = (run.map(RunKey::row), Counts::default());
    for wanted in wanted {
        match wanted {
            CountsWanted::States => counts.states = state_counts(connection, run)?,
            CountsWanted::RetriesDue => {
                [counts.retries_due] = read_counts(connection, &on_tasks(RETRIES_DUE, run), [run])?;
            }
            CountsWanted::PermanentFailures => {
                [counts.failed_leaves, counts.retries_exhausted] =
                    read_counts(connection, &on_tasks(PERMANENT_FAILURES, run), [run])?;
            }
            CountsWanted::Retries => {
                [counts.retried_tasks, counts.total_retries, counts.succeeded_after_retry] =
                    read_counts(connection, &on_tasks(RETRIES, run), [run])?;
            }
            CountsWanted::MissingChildren { max_parents } => {
                [counts.missing_children] = read_counts(connection, MISSING, params![run, max_parents])?;
            }
            CountsWanted::Stuck(wanted) => counts.stuck = count_stuck(connection, run, wanted)?,
            CountsWanted::NextDue => counts.next_due = next_due(connection)?,
            CountsWanted::Events => {
                let [all, fan_outs, aggregates, of_runs, retries] = event_counts(connection, run)?;
                (counts.events, counts.fan_out_events) = (all, fan_outs);
                (counts.aggregate_events, counts.retry_events) = (aggregates + of_runs, retries);
            }
        }
    }
    Ok(counts)
}

/// Reads the counts in the only row of a statement.
fn read_counts<const N: usize>(connection: &Connection, sql: &str, params: impl Params) -> Result<[u64; N]> {
    let counts = connection.first(sql, params, |row: &Row<'_>| {
        let mut counts = [0; N];
        for (column, count) in counts.iter_mut().enumerate() {
            *count = row.get::<_, i64>(column)?.cast_unsigned();
        }
        Ok(counts)
    })?;
    counts.ok_or_else(no_connection)
}

fn state_counts(connection: &Connection, run: Option<i64>) -> Result<StateCounts> {
    let counts = match run {
        Some(run) => connection.first(STATE_COUNTS_OF_RUN, [run], |row| columns::state_counts(row, 0))?,
        None => connection.first(STATE_COUNTS, [], |row| columns::state_counts(row, 0))?,
    };
    Ok(counts.unwrap_or_default())
}

fn event_counts(connection: &Connection, run: Option<i64>) -> Result<[u64; 5]> {
    let params = params![
        run,
        code_of("task.fanned_out"),
        code_of("task.aggregated"),
        code_of("run.aggregated"),
        code_of("task.retried")
    ];
    read_counts(connection, COUNT_EVENTS, params)
}

/// A statement on tasks, of one run or of all. Tasks of runs that are being pruned are not counted.
fn on_tasks(select: &str, run: Option<i64>) -> String {
    let of_run = if run.is_some() { "run = ?1" } else { "?1 IS NULL" };
    format!(
        "{select} AND {of_run} \
         AND NOT EXISTS (SELECT 1 FROM conductor_pruned p WHERE p.run = conductor_tasks.run)"
    )
}

const RETRIES_DUE: &str =
    sql!("SELECT count(*) FROM conductor_tasks INDEXED BY conductor_tasks_due WHERE " retry_due);

const PERMANENT_FAILURES: &str = sql!("SELECT count(*), coalesce(sum(retry_count >= max_retries), 0) \
    FROM conductor_tasks INDEXED BY conductor_tasks_due WHERE " failed_permanently " AND sealed IS NULL");

const RETRIES: &str = sql!("SELECT count(*), coalesce(sum(retry_count), 0), coalesce(sum(" succeeded "), 0) \
    FROM conductor_tasks INDEXED BY conductor_tasks_retried WHERE retry_count > 0");

/// The children that parents still wait for.
const MISSING: &str = sql!("SELECT coalesce(sum(missing), 0) FROM (SELECT fanout - children AS missing \
    FROM conductor_tasks INDEXED BY conductor_tasks_wants WHERE " wants_fan_out " AND run = ?1 LIMIT ?2)");

const STATE_COUNTS_OF_RUN: &str =
    "SELECT pending, running, succeeded, failed, cancelled FROM conductor_runs WHERE key = ?1";
pub(crate) const STATE_COUNTS: &str = "SELECT coalesce(sum(pending), 0), coalesce(sum(running), 0), \
    coalesce(sum(succeeded), 0), coalesce(sum(failed), 0), coalesce(sum(cancelled), 0) FROM conductor_runs";

/// All events of a run from one index, and the events of steps from the index of rare events.
const COUNT_EVENTS: &str = sql!("SELECT \
    (SELECT count(*) FROM conductor_events INDEXED BY conductor_events_run WHERE run = ?1), \
    (SELECT count(*) FROM " rare_events_of_run " AND name = ?2), \
    (SELECT count(*) FROM " rare_events_of_run " AND name = ?3), \
    (SELECT count(*) FROM " rare_events_of_run " AND name = ?4), \
    (SELECT count(*) FROM " rare_events_of_run " AND name = ?5)");
