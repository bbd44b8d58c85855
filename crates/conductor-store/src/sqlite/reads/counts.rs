//! Counts of runs: from counters, and from indexes with few entries.

use super::stuck::count_stuck;
use super::work::next_due;
use crate::backend::{Counts, CountsWanted, RunKey};
use crate::sqlite::connection::sql::{Result, Sql, no_connection};
use crate::sqlite::rows::columns;
use crate::sqlite::rows::conditions::sql;
use crate::sqlite::rows::range_rows::{self, RangeRow, range_columns};
use crate::sqlite::rows::{event_body::code_of, keys::RowKey};
use conductor_model::{State, StateCounts};
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
                counts.retries_due = ranges(connection, RETRIES_DUE, run)?.iter().map(len).sum();
            }
            CountsWanted::PermanentFailures => {
                [counts.failed_leaves, counts.retries_exhausted] = read_counts(
                    connection,
                    of_run(run, PERMANENT_FAILURES, PERMANENT_FAILURES_OF_RUN),
                    [run],
                )?;
            }
            CountsWanted::Retries => retries(connection, run, &mut counts)?,
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

fn ranges(connection: &Connection, sql: &str, run: Option<i64>) -> Result<Vec<RangeRow>> {
    // One that cannot be read counts as nothing, until a step removes it.
    Ok(connection.all(sql, [run], |row| range_rows::read(row, 0))?.into_iter().flatten().collect())
}

fn len(row: &RangeRow) -> u64 {
    u64::from(row.set.len())
}

fn retries(connection: &Connection, run: Option<i64>, counts: &mut Counts) -> Result<()> {
    [counts.retried_tasks, counts.total_retries, counts.succeeded_after_retry] =
        read_counts(connection, of_run(run, RETRIED_ENDED, RETRIED_ENDED_OF_RUN), [run])?;
    let [parents, of_parents, succeeded] = read_counts(connection, RETRIED_PARENTS, [run])?;
    counts.retried_tasks += parents;
    counts.total_retries += of_parents;
    counts.succeeded_after_retry += succeeded;
    for row in ranges(connection, RETRIED, run)? {
        counts.retried_tasks += len(&row);
        counts.total_retries += len(&row) * u64::from(row.condition.status.retry_count);
        debug_assert_ne!(row.condition.status.state, State::Succeeded);
    }
    Ok(())
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

const RETRIES_DUE: &str = sql!("SELECT " (range_columns!()) " FROM conductor_ranges g INDEXED BY conductor_ranges_due \
    WHERE " retry_due " AND (?1 IS NULL OR g.run = ?1) \
    AND NOT EXISTS (SELECT 1 FROM conductor_prune_queue p WHERE p.run = g.run)");

/// Counts ended leaves of all runs from an index.
macro_rules! ended {
    ($index:literal, $select:tt, $($where:tt)+) => {
        sql!("SELECT count(*), " $select " FROM conductor_ended e INDEXED BY " $index " \
            JOIN conductor_blocks b ON b.block = e.task / 1024 WHERE ?1 IS NULL AND " $($where)+ " \
            AND NOT EXISTS (SELECT 1 FROM conductor_prune_queue p WHERE p.run = b.run)")
    };
}

/// Counts ended leaves of one run from block to block.
macro_rules! ended_of_run {
    ($index:literal, $select:tt, $($where:tt)+) => {
        sql!("SELECT count(*), " $select " FROM conductor_blocks b INDEXED BY conductor_blocks_position \
            CROSS JOIN conductor_ended e INDEXED BY " $index " \
            ON e.task BETWEEN b.block * 1024 AND b.block * 1024 + 1023 WHERE b.run = ?1 AND " $($where)+ " \
            AND NOT EXISTS (SELECT 1 FROM conductor_prune_queue p WHERE p.run = b.run)")
    };
}

/// Of permanent failures, those without a retry left.
macro_rules! exhausted_sum {
    () => {
        "coalesce(sum(e.retry_count >= b.max_retries), 0)"
    };
}

/// Of retried leaves, their retries, and those that succeeded.
macro_rules! retry_sums {
    () => {
        sql!("coalesce(sum(e.retry_count), 0), coalesce(sum(" succeeded "), 0)")
    };
}

fn of_run(run: Option<i64>, all: &'static str, of_run: &'static str) -> &'static str {
    if run.is_some() { of_run } else { all }
}

const PERMANENT_FAILURES: &str = ended!("conductor_ended_failed", (exhausted_sum!()), failed);
const PERMANENT_FAILURES_OF_RUN: &str = ended_of_run!("conductor_ended_failed", (exhausted_sum!()), failed);
const RETRIED_ENDED: &str = ended!("conductor_ended_retried", (retry_sums!()), "e.retry_count > 0");
const RETRIED_ENDED_OF_RUN: &str =
    ended_of_run!("conductor_ended_retried", (retry_sums!()), "e.retry_count > 0");

const RETRIED_PARENTS: &str = sql!("SELECT \
    count(*), coalesce(sum(t.retry_count), 0), coalesce(sum(" succeeded "), 0) \
    FROM conductor_parents t INDEXED BY conductor_parents_retried \
    WHERE t.retry_count IS NOT NULL AND (?1 IS NULL OR t.run = ?1) \
    AND NOT EXISTS (SELECT 1 FROM conductor_prune_queue p WHERE p.run = t.run)");

const RETRIED: &str = concat!(
    "SELECT ",
    range_columns!(),
    " FROM conductor_ranges g INDEXED BY conductor_ranges_retried \
     WHERE g.retry_count > 0 AND (?1 IS NULL OR g.run = ?1) \
     AND NOT EXISTS (SELECT 1 FROM conductor_prune_queue p WHERE p.run = g.run)"
);

/// The children that parents still wait for.
const MISSING: &str = sql!("SELECT coalesce(sum(missing), 0) FROM (SELECT fanout - children AS missing \
    FROM conductor_parents INDEXED BY conductor_parents_next_step WHERE " needs_fan_out " AND run = ?1 LIMIT ?2)");

const STATE_COUNTS_OF_RUN: &str =
    "SELECT pending, running, succeeded, failed, cancelled FROM conductor_runs WHERE key = ?1";
const STATE_COUNTS: &str = "SELECT coalesce(sum(pending), 0), coalesce(sum(running), 0), \
    coalesce(sum(succeeded), 0), coalesce(sum(failed), 0), coalesce(sum(cancelled), 0) FROM conductor_runs";

/// Counts the events of a run with a name, which is a rare one.
macro_rules! count_named {
    ($name:literal) => {
        sql!("(SELECT coalesce(sum(count), 0) FROM conductor_events INDEXED BY conductor_events_name \
            WHERE run = ?1 AND name = " $name " AND " rare_event ")")
    };
}

/// All events of a run from one index, and the events of steps from the index of rare events.
const COUNT_EVENTS: &str = sql!("SELECT \
    (SELECT coalesce(sum(count), 0) FROM conductor_events INDEXED BY conductor_events_run WHERE run = ?1), "
    (count_named!("?2")) ", " (count_named!("?3")) ", " (count_named!("?4")) ", " (count_named!("?5")));
