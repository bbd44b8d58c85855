//! Runs and tasks that are in a condition for too long.

use crate::backend::{ParentKey, RunKey, StuckCondition, StuckRow, StuckWanted};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::keys::{self, RowKey};
use crate::sqlite::rows::{columns, conditions::sql};
use conductor_model::{RunId, TaskId};
use rusqlite::{Connection, Row, params};

/// See [`ReadTx::stuck`](crate::backend::ReadTx::stuck).
pub(crate) fn stuck(
    connection: &Connection,
    run: Option<RunKey>,
    wanted: &StuckWanted<'_>,
    limit: u32,
) -> Result<Vec<StuckRow>> {
    let params = params![wanted.before.as_millis(), run.map(RunKey::row), limit];
    connection.all(&stuck_sql(wanted.conditions), params, stuck_row)
}

/// How many rows there are without a limit.
pub(super) fn count_stuck(
    connection: &Connection,
    run: Option<i64>,
    wanted: &StuckWanted<'_>,
) -> Result<u64> {
    let params = params![wanted.before.as_millis(), run];
    let count: Option<i64> =
        connection.first(&count_stuck_sql(wanted.conditions), params, |row| row.get(0))?;
    Ok(count.unwrap_or(0).cast_unsigned())
}

/// Five columns: the key and the id of the run, the key and the id of the task or NULL, since.
fn stuck_row(row: &Row<'_>) -> rusqlite::Result<StuckRow> {
    let task = row.get::<_, Option<[u8; 16]>>(3)?.map(u128::from_be_bytes).map(TaskId::from_u128);
    Ok(StuckRow {
        key: ParentKey {
            run: keys::key(row, 0)?,
            task: keys::optional_key(row, 2)?.filter(|_| task.is_some()),
        },
        run: RunId::from_u128(columns::id(row, 1)?),
        task,
        since: columns::timestamp(row, 4)?,
    })
}

pub(crate) fn stuck_sql(conditions: &[StuckCondition]) -> String {
    format!(
        "SELECT r.key, r.id, t.key, t.id, s.since FROM ({}) s \
         JOIN conductor_runs r ON r.key = s.run LEFT JOIN conductor_tasks t ON t.key = s.task \
         WHERE ?2 IS NULL OR s.run = ?2 ORDER BY s.since LIMIT ?3",
        union(conditions)
    )
}

fn count_stuck_sql(conditions: &[StuckCondition]) -> String {
    format!("SELECT count(*) FROM ({}) WHERE ?2 IS NULL OR run = ?2", union(conditions))
}

fn union(conditions: &[StuckCondition]) -> String {
    let selects: Vec<&str> = conditions.iter().map(|condition| select(*condition)).collect();
    selects.join(" UNION ALL ")
}

/// The rows in a condition: (run, task or NULL, since), in row keys. ?1: before when; ?2: the run, or NULL.
fn select(condition: StuckCondition) -> &'static str {
    match condition {
        StuckCondition::ExternalAttempt => EXTERNAL_ATTEMPT,
        StuckCondition::ExpiredLease => EXPIRED_LEASE,
        StuckCondition::UnstartedRun => UNSTARTED_RUN,
        StuckCondition::OpenParent => OPEN_PARENT,
        StuckCondition::OpenRun => OPEN_RUN,
        StuckCondition::UndecidedParent => UNDECIDED_PARENT,
        StuckCondition::UndecidedRun => UNDECIDED_RUN,
        StuckCondition::OverdueStart => OVERDUE_START,
        StuckCondition::OverdueRetry => OVERDUE_RETRY,
        StuckCondition::MissingChildren => MISSING_CHILDREN,
    }
}

const EXTERNAL_ATTEMPT: &str = sql!("SELECT run, key AS task, updated_at AS since
    FROM conductor_tasks INDEXED BY conductor_tasks_running WHERE " running_externally " AND updated_at < ?1");

const EXPIRED_LEASE: &str = sql!("SELECT run, key AS task, lease_until AS since
    FROM conductor_tasks INDEXED BY conductor_tasks_running WHERE " running_leaf " AND lease_until < ?1");

/// A run that has not started has only root tasks, and the first one is usually enough.
const UNSTARTED_RUN: &str = sql!("SELECT * FROM (
    SELECT r.key AS run, NULL AS task,
        (SELECT coalesce(t.due_at, t.updated_at) FROM conductor_tasks t
            WHERE t.run = r.key AND t.parent = 0 AND " pending " AND coalesce(t.due_at, t.updated_at) < ?1
            AND (t.sealed IS NULL OR t.children < t.fanout) LIMIT 1) AS since
    FROM conductor_runs r INDEXED BY conductor_runs_open
    WHERE " pending " AND " open_run " AND r.created_at < ?1
    ) WHERE since IS NOT NULL");

const OPEN_PARENT: &str = sql!("SELECT * FROM (
    SELECT p.run AS run, p.key AS task, coalesce(
        (SELECT c.created_at FROM conductor_tasks c WHERE c.run = p.run AND c.parent = p.key
            ORDER BY c.ordinal DESC LIMIT 1), p.created_at) AS since
    FROM conductor_tasks p INDEXED BY conductor_tasks_wants WHERE " wants_append "
    ) WHERE since < ?1");

const OPEN_RUN: &str = sql!("SELECT * FROM (
    SELECT r.key AS run, NULL AS task, coalesce(
        (SELECT c.created_at FROM conductor_tasks c WHERE c.run = r.key AND c.parent = 0
            ORDER BY c.ordinal DESC LIMIT 1), r.created_at) AS since
    FROM conductor_runs r INDEXED BY conductor_runs_open
    WHERE r.sealed = 0 AND r.mark IS NULL AND " open_run "
    ) WHERE since < ?1");

/// In a run that is being cancelled, any row that needs a sweep is enough.
const UNDECIDED_PARENT: &str = sql!("SELECT run, key AS task, updated_at AS since
    FROM conductor_tasks INDEXED BY conductor_tasks_wants WHERE " wants_decision " AND updated_at < ?1");

const UNDECIDED_RUN: &str = sql!("SELECT key AS run, NULL AS task, updated_at AS since
    FROM conductor_runs INDEXED BY conductor_runs_wants WHERE " wants_decision " AND updated_at < ?1");

// These search the first thousand entries of an index.

const OVERDUE_START: &str = sql!("SELECT overdue.run, overdue.task, overdue.since FROM (
    SELECT run, key AS task, due_at AS since FROM conductor_tasks INDEXED BY conductor_tasks_due
        WHERE " pending " AND due_at < ?1 AND (?2 IS NULL OR run = ?2) ORDER BY due_at LIMIT 1000
    ) overdue CROSS JOIN conductor_runs r ON r.key = overdue.run AND " running " AND r.mark IS NULL");

const OVERDUE_RETRY: &str = sql!("SELECT overdue.run, overdue.task, overdue.since FROM (
    SELECT run, key AS task, due_at AS since FROM conductor_tasks INDEXED BY conductor_tasks_due
        WHERE " failed " AND due_at < ?1 AND (?2 IS NULL OR run = ?2) ORDER BY due_at LIMIT 1000
    ) overdue CROSS JOIN conductor_runs r ON r.key = overdue.run AND " running " AND r.mark IS NULL");

const MISSING_CHILDREN: &str = sql!("SELECT overdue.run, overdue.task, overdue.since FROM (
    SELECT run, key AS task, updated_at AS since FROM conductor_tasks INDEXED BY conductor_tasks_wants
        WHERE " wants_fan_out " AND run BETWEEN coalesce(?2, 1) AND coalesce(?2, 9223372036854775807) LIMIT 1000
    ) overdue CROSS JOIN conductor_runs r ON r.key = overdue.run AND " running " AND r.mark IS NULL
    WHERE overdue.since < ?1");
