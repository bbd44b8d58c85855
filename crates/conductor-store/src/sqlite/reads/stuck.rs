//! Runs and tasks that are in a condition for too long.

use crate::backend::{OffsetSet, ParentKey, RunKey, StuckCondition, StuckRow, StuckWanted, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block;
use crate::sqlite::rows::columns;
use crate::sqlite::rows::conditions::sql;
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::parents::run_id;
use crate::sqlite::rows::set::SetColumns;
use conductor_model::Timestamp;
use rusqlite::{Connection, Row, params};

/// See [`ReadTx::stuck`](crate::backend::ReadTx::stuck).
pub(crate) fn stuck(
    connection: &Connection,
    run: Option<RunKey>,
    wanted: &StuckWanted<'_>,
    limit: u32,
) -> Result<Vec<StuckRow>> {
    let mut found = find(connection, run.map(RunKey::row), wanted)?;
    found.sort_by_key(|found| found.since);
    let mut rows = Vec::new();
    for found in found {
        let Some(run) = connection.first(RUN_ID, [found.run], |row| run_id(row, 0))? else { continue };
        let key = RunKey::of_row(found.run);
        let Some(tasks) = found.tasks else {
            rows.push(StuckRow { key: ParentKey::run(key), run, task: None, since: found.since });
            continue;
        };
        let (number, offsets) = tasks;
        let block = block::by_number(connection, number)?;
        for offset in offsets.iter().take((limit as usize).saturating_sub(rows.len())) {
            let id = block.as_ref().map(|block| block.id(offset));
            let key = ParentKey { run: key, task: id.map(|_| block::task_key(number, offset)) };
            rows.push(StuckRow { key, run, task: id, since: found.since });
        }
        if rows.len() >= limit as usize {
            break;
        }
    }
    rows.truncate(limit as usize);
    Ok(rows)
}

/// How many rows there are without a limit.
pub(super) fn count_stuck(
    connection: &Connection,
    run: Option<i64>,
    wanted: &StuckWanted<'_>,
) -> Result<u64> {
    let found = find(connection, run, wanted)?;
    Ok(found.iter().map(|found| u64::from(found.tasks.map_or(1, |(_, offsets)| offsets.len()))).sum())
}

/// A run, or tasks of one block.
struct Found {
    run: i64,
    tasks: Option<(i64, OffsetSet)>,
    since: Timestamp,
}

fn find(connection: &Connection, run: Option<i64>, wanted: &StuckWanted<'_>) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for condition in wanted.conditions {
        let (sql, read): (_, fn(&Row<'_>) -> rusqlite::Result<Found>) = match condition {
            StuckCondition::ExternalAttempt => (EXTERNAL_ATTEMPT, leaves),
            StuckCondition::ExpiredLease => (EXPIRED_LEASE, leaves),
            StuckCondition::UnstartedRun => (UNSTARTED_RUN, of_run),
            StuckCondition::OpenParent => (OPEN_PARENT, parent),
            StuckCondition::OpenRun => (OPEN_RUN, of_run),
            StuckCondition::UndecidedParent => (UNDECIDED_PARENT, parent),
            StuckCondition::UndecidedRun => (UNDECIDED_RUN, of_run),
            StuckCondition::OverdueStart => (OVERDUE_START, leaves),
            StuckCondition::OverdueRetry => (OVERDUE_RETRY, leaves),
            StuckCondition::MissingChildren => (MISSING_CHILDREN, parent),
        };
        let params = params![wanted.before.as_millis(), run];
        found.extend(connection.all(sql, params, read)?);
        if *condition == StuckCondition::OverdueStart {
            found.extend(connection.all(OVERDUE_PARENT, params, parent)?);
        }
    }
    found.retain(|found| run.is_none_or(|run| run == found.run));
    Ok(found)
}

/// Two columns: the run, since.
fn of_run(row: &Row<'_>) -> rusqlite::Result<Found> {
    Ok(Found { run: row.get(0)?, tasks: None, since: columns::timestamp(row, 1)? })
}

/// Three columns: the run, since, the task.
fn parent(row: &Row<'_>) -> rusqlite::Result<Found> {
    let (number, offset) = block::place(TaskKey::of_row(row.get(2)?));
    Ok(Found { tasks: Some((number, OffsetSet::one(offset))), ..of_run(row)? })
}

/// Six columns: the run, since, the block, and its set.
fn leaves(row: &Row<'_>) -> rusqlite::Result<Found> {
    let number: i64 = row.get(2)?;
    let set = SetColumns::read(row, 3)?.set().unwrap_or_default();
    Ok(Found { tasks: Some((number, set)), ..of_run(row)? })
}

const RUN_ID: &str = "SELECT id FROM conductor_runs WHERE key = ?1";

const EXTERNAL_ATTEMPT: &str = sql!("SELECT run, since, block, first, last, members
    FROM conductor_ranges INDEXED BY conductor_ranges_running
    WHERE " running_externally " AND since < ?1 AND (?2 IS NULL OR run = ?2)");

const EXPIRED_LEASE: &str = sql!("SELECT run, lease_until, block, first, last, members
    FROM conductor_ranges INDEXED BY conductor_ranges_running
    WHERE " running " AND lease_until < ?1 AND (?2 IS NULL OR run = ?2)");

/// A run that has not started has only root tasks, and the first one is usually enough.
const UNSTARTED_RUN: &str = sql!("SELECT run, since FROM (
    SELECT r.key AS run, (SELECT at FROM (
        SELECT CASE b.is_parent
            WHEN 1 THEN (SELECT coalesce(p.due_at, p.updated_at) FROM conductor_parents p
                WHERE p.task = b.block * 1024 AND " pending " AND p.children < p.fanout)
            ELSE (SELECT min(coalesce(g.due_at, g.since)) FROM conductor_ranges g
                WHERE g.block = b.block AND " pending ") END AS at
        FROM conductor_blocks b WHERE b.run = r.key AND b.parent = 0 ORDER BY b.child_index
        ) WHERE at < ?1 LIMIT 1) AS since
    FROM conductor_runs r INDEXED BY conductor_runs_open
    WHERE " pending " AND " open_run " AND r.created_at < ?1 AND (?2 IS NULL OR r.key = ?2)
    ) WHERE since IS NOT NULL");

const OPEN_PARENT: &str = sql!("SELECT run, since, task FROM (
    SELECT p.run AS run, p.task AS task, coalesce(
        (SELECT c.created_at FROM conductor_blocks c WHERE c.run = p.run AND c.parent = p.task
            ORDER BY c.child_index DESC LIMIT 1), b.created_at) AS since
    FROM conductor_parents p INDEXED BY conductor_parents_next_step
    JOIN conductor_blocks b ON b.block = p.task / 1024
    WHERE " needs_append " AND (?2 IS NULL OR p.run = ?2)
    ) WHERE since < ?1");

const OPEN_RUN: &str = sql!("SELECT run, since FROM (
    SELECT r.key AS run, coalesce(
        (SELECT c.created_at FROM conductor_blocks c WHERE c.run = r.key AND c.parent = 0
            ORDER BY c.child_index DESC LIMIT 1), r.created_at) AS since
    FROM conductor_runs r INDEXED BY conductor_runs_open
    WHERE r.sealed = 0 AND r.cancel_cause IS NULL AND " open_run " AND (?2 IS NULL OR r.key = ?2)
    ) WHERE since < ?1");

/// In a run that is being cancelled, any row that needs a sweep is enough.
const UNDECIDED_PARENT: &str = sql!("SELECT run, updated_at, task
    FROM conductor_parents INDEXED BY conductor_parents_next_step
    WHERE " needs_decision " AND updated_at < ?1 AND (?2 IS NULL OR run = ?2)");

const UNDECIDED_RUN: &str = sql!("SELECT key, updated_at
    FROM conductor_runs INDEXED BY conductor_runs_next_step
    WHERE " needs_decision " AND updated_at < ?1 AND (?2 IS NULL OR key = ?2)");

/// Selects what is overdue in running runs: among the first thousand entries of an index, in a subquery.
macro_rules! select_overdue {
    ($columns:literal, $($first:tt)+) => {
        sql!("SELECT " $columns " FROM (SELECT " $($first)+ " LIMIT 1000) overdue \
            CROSS JOIN conductor_runs r ON r.key = overdue.run AND " running " AND r.cancel_cause IS NULL")
    };
}

const OVERDUE_START: &str = select_overdue!("overdue.run, overdue.due_at, block, first, last, members",
    "run, due_at, block, first, last, members FROM conductor_ranges INDEXED BY conductor_ranges_due \
     WHERE " pending " AND due_at < ?1 AND (?2 IS NULL OR run = ?2) ORDER BY due_at");

const OVERDUE_RETRY: &str = select_overdue!("overdue.run, overdue.due_at, block, first, last, members",
    "run, due_at, block, first, last, members FROM conductor_ranges INDEXED BY conductor_ranges_due \
     WHERE " failed " AND due_at < ?1 AND (?2 IS NULL OR run = ?2) ORDER BY due_at");

const OVERDUE_PARENT: &str = select_overdue!(
    "overdue.run, overdue.due_at, overdue.task",
    "run, due_at, task FROM conductor_parents INDEXED BY conductor_parents_due \
     WHERE due_at < ?1 AND (?2 IS NULL OR run = ?2) ORDER BY due_at"
);

const MISSING_CHILDREN: &str = sql!((select_overdue!("overdue.run, overdue.updated_at, overdue.task",
    "run, task, updated_at FROM conductor_parents INDEXED BY conductor_parents_next_step \
     WHERE " needs_fan_out " AND run BETWEEN coalesce(?2, 1) AND coalesce(?2, 9223372036854775807)"))
    " WHERE overdue.updated_at < ?1");
