//! What operators ask: answered from counters and from the indexes of what is few.

use super::SqliteStore;
use super::eta;
use super::event_log::code_of;
use super::explain::{Explainer, LEVELS};
use super::query::tally;
use super::rows::{self, state};
use super::sql::{ScopeKey, Sql, run_key};
use crate::{Monitor, Scope, StoreError, StuckThreshold};
use conductor_model::{
    Eta, HealthCounts, HealthReport, RetryMetrics, RunId, RunSummary, StuckItem, TaskId, Timestamp,
};
use rusqlite::{Connection, Row, params};

impl Monitor for SqliteStore {
    fn health(&self, scope: Scope, watch: StuckThreshold) -> Result<HealthReport, StoreError> {
        self.read(|connection| {
            let scope = ScopeKey::of(scope, connection)?;
            let retried = retried(connection, scope)?;
            Ok(HealthReport::of(HealthCounts {
                state_counts: tally(connection, scope)?,
                retries_due: count(connection, RETRIES_DUE, scope)?,
                failed_leaves: count(connection, FAILED_LEAVES, scope)?,
                retries_exhausted: count(connection, EXHAUSTED, scope)?,
                retried_tasks: retried.tasks,
                total_retries: retried.retries,
                stuck: count_stuck(connection, scope, watch)?,
            }))
        })
    }

    fn stuck(&self, scope: Scope, watch: StuckThreshold, limit: u32) -> Result<Vec<StuckItem>, StoreError> {
        self.read(|connection| {
            let run = ScopeKey::of(scope, connection)?.run();
            let params = params![watch.cutoff().as_millis(), run, super::page_limit(limit)];
            let found = connection.all(&stuck_sql(), params, Found::read)?;
            let explainer = Explainer::of(self, connection, watch.now);
            let stuck = found.into_iter().map(|found| found.explained(&explainer));
            Ok(stuck.collect::<Result<Vec<_>, StoreError>>()?.into_iter().flatten().collect())
        })
    }

    fn retry_metrics(&self, scope: Scope) -> Result<RetryMetrics, StoreError> {
        self.read(|connection| {
            let scope = ScopeKey::of(scope, connection)?;
            let retried = retried(connection, scope)?;
            let exhausted = count(connection, EXHAUSTED, scope)?;
            Ok(RetryMetrics::of(retried.retries, retried.tasks, retried.succeeded, exhausted))
        })
    }

    fn eta(&self, run: RunId, now: Timestamp) -> Result<Option<Eta>, StoreError> {
        self.read(|connection| {
            let run = run_key(connection, run)?;
            run.map(|run| eta::of_run(connection, run, now)).transpose()
        })
    }

    fn summary(&self, run: RunId, watch: StuckThreshold) -> Result<Option<RunSummary>, StoreError> {
        self.read(|connection| {
            let Some(key) = run_key(connection, run)? else { return Ok(None) };
            let events = count_events(connection, key)?;
            let tally = tally(connection, ScopeKey::Run(key))?;
            let sql = "SELECT state, created_at, updated_at FROM conductor_runs WHERE key = ?1";
            connection.first(sql, [key], |row| {
                let state = state(row, 0)?;
                let end = if state.is_terminal() { rows::timestamp(row, 2)? } else { watch.now };
                let duration_ms = end.millis_since(rows::timestamp(row, 1)?);
                Ok(RunSummary {
                    run,
                    state,
                    duration_ms,
                    state_counts: tally,
                    events: events.all,
                    fan_outs: events.fan_outs,
                    aggregates: events.aggregates,
                    retries: events.retries,
                })
            })
        })
    }
}

const RETRIES_DUE: &str = "state = 3 AND due_at IS NOT NULL";
const FAILED_LEAVES: &str = "state = 3 AND due_at IS NULL AND sealed IS NULL";
const EXHAUSTED: &str = "state = 3 AND due_at IS NULL AND sealed IS NULL AND retry_count >= max_retries";

/// What is left of runs that are being pruned counts nowhere.
const NOT_PRUNED: &str = "NOT EXISTS (SELECT 1 FROM conductor_pruned p WHERE p.run = conductor_tasks.run)";

/// How many FAILED tasks satisfy a condition.
fn count(connection: &Connection, condition: &str, scope: ScopeKey) -> Result<u64, StoreError> {
    let of_run = if scope.run().is_some() { "run = ?1" } else { "?1 IS NULL" };
    let sql = format!(
        "SELECT count(*) FROM conductor_tasks INDEXED BY conductor_tasks_due WHERE {condition} AND {of_run} \
         AND {NOT_PRUNED}"
    );
    let count: Option<i64> = connection.first(&sql, [scope.run()], |row| row.get(0))?;
    Ok(count.unwrap_or(0).cast_unsigned())
}

/// How many FAILED tasks of a run wait for their retry.
pub(super) fn retries_due(connection: &Connection, run: i64) -> Result<u64, StoreError> {
    count(connection, RETRIES_DUE, ScopeKey::Run(run))
}

struct RetriedTasks {
    tasks: u64,
    retries: u64,
    succeeded: u64,
}

fn retried(connection: &Connection, scope: ScopeKey) -> Result<RetriedTasks, StoreError> {
    let of_run = if scope.run().is_some() { "run = ?1" } else { "?1 IS NULL" };
    let sql = format!(
        "SELECT count(*), coalesce(sum(retry_count), 0), coalesce(sum(state = 2), 0) FROM conductor_tasks \
         INDEXED BY conductor_tasks_retried WHERE retry_count > 0 AND {of_run} AND {NOT_PRUNED}"
    );
    let number = |row: &Row<'_>, column| row.get::<_, i64>(column).map(i64::cast_unsigned);
    let retried = connection.first(&sql, [scope.run()], |row| {
        Ok(RetriedTasks { tasks: number(row, 0)?, retries: number(row, 1)?, succeeded: number(row, 2)? })
    })?;
    retried.ok_or_else(super::sql::no_connection)
}

/// All that is stuck: (run, task or NULL, since), in row keys. ?1: the last sign of life that is recent
/// enough; ?2: the run, or NULL.
///
/// A task that waits for its time, its turn or its children is in none of these. A run that has not started has only
/// root tasks, and the first one is usually enough. Otherwise the query searches the first thousand entries of each
/// index for overdue rows. In a run that is being cancelled, any row that needs a sweep is enough.
const STUCK: &str = "
    SELECT run, key AS task, updated_at AS since
        FROM conductor_tasks INDEXED BY conductor_tasks_running
        WHERE state = 1 AND sealed IS NULL AND lease_until IS NULL AND updated_at < ?1
    UNION ALL
    SELECT run, key, lease_until
        FROM conductor_tasks INDEXED BY conductor_tasks_running
        WHERE state = 1 AND sealed IS NULL AND lease_until < ?1
    UNION ALL
    SELECT * FROM (
        SELECT r.key, NULL,
            (SELECT coalesce(t.due_at, t.updated_at) FROM conductor_tasks t
                WHERE t.run = r.key AND t.parent = 0 AND t.state = 0 AND coalesce(t.due_at, t.updated_at) < ?1
                AND (t.sealed IS NULL OR t.children < t.fanout) LIMIT 1) AS ready_since
        FROM conductor_runs r INDEXED BY conductor_runs_open
        WHERE r.state = 0 AND r.state IN (0, 1) AND r.created_at < ?1
    ) WHERE ready_since IS NOT NULL
    UNION ALL
    SELECT * FROM (
        SELECT p.run, p.key, coalesce(
            (SELECT c.created_at FROM conductor_tasks c WHERE c.run = p.run AND c.parent = p.key
                ORDER BY c.ordinal DESC LIMIT 1), p.created_at) AS appended
        FROM conductor_tasks p INDEXED BY conductor_tasks_wants
        WHERE p.wants = 2
    ) WHERE appended < ?1
    UNION ALL
    SELECT * FROM (
        SELECT r.key, NULL, coalesce(
            (SELECT c.created_at FROM conductor_tasks c WHERE c.run = r.key AND c.parent = 0
                ORDER BY c.ordinal DESC LIMIT 1), r.created_at) AS appended
        FROM conductor_runs r INDEXED BY conductor_runs_open
        WHERE r.sealed = 0 AND r.mark IS NULL AND r.state IN (0, 1)
    ) WHERE appended < ?1
    UNION ALL
    SELECT run, key, updated_at
        FROM conductor_tasks INDEXED BY conductor_tasks_wants
        WHERE wants IN (3, 4) AND updated_at < ?1
    UNION ALL
    SELECT key, NULL, updated_at
        FROM conductor_runs INDEXED BY conductor_runs_wants
        WHERE wants IN (3, 4) AND updated_at < ?1
    UNION ALL
    SELECT overdue.* FROM (
        SELECT run, key, due_at FROM conductor_tasks INDEXED BY conductor_tasks_due
            WHERE state = 0 AND due_at < ?1 AND (?2 IS NULL OR run = ?2) ORDER BY due_at LIMIT 1000
        ) overdue CROSS JOIN conductor_runs r ON r.key = overdue.run AND r.state = 1 AND r.mark IS NULL
    UNION ALL
    SELECT overdue.* FROM (
        SELECT run, key, due_at FROM conductor_tasks INDEXED BY conductor_tasks_due
            WHERE state = 3 AND due_at < ?1 AND (?2 IS NULL OR run = ?2) ORDER BY due_at LIMIT 1000
        ) overdue CROSS JOIN conductor_runs r ON r.key = overdue.run AND r.state = 1 AND r.mark IS NULL
    UNION ALL
    SELECT overdue.* FROM (
        SELECT run, key, updated_at FROM conductor_tasks INDEXED BY conductor_tasks_wants
            WHERE wants = 1 AND run BETWEEN coalesce(?2, 1) AND coalesce(?2, 9223372036854775807) LIMIT 1000
        ) overdue CROSS JOIN conductor_runs r ON r.key = overdue.run AND r.state = 1 AND r.mark IS NULL
        WHERE overdue.updated_at < ?1
";

pub(super) fn stuck_sql() -> String {
    format!(
        "SELECT r.key, r.id, t.key, t.id, s.since FROM ({STUCK}) s \
         JOIN conductor_runs r ON r.key = s.run LEFT JOIN conductor_tasks t ON t.key = s.task \
         WHERE ?2 IS NULL OR s.run = ?2 ORDER BY s.since LIMIT ?3"
    )
}

pub(super) fn count_stuck_sql() -> String {
    format!("SELECT count(*) FROM ({STUCK}) WHERE ?2 IS NULL OR run = ?2")
}

fn count_stuck(connection: &Connection, scope: ScopeKey, watch: StuckThreshold) -> Result<u64, StoreError> {
    let params = params![watch.cutoff().as_millis(), scope.run()];
    let count: Option<i64> = connection.first(&count_stuck_sql(), params, |row| row.get(0))?;
    Ok(count.unwrap_or(0).cast_unsigned())
}

/// Something that is stuck, before it is said why.
struct Found {
    run: (i64, RunId),
    task: Option<(i64, TaskId)>,
    since: Timestamp,
}

impl Found {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let task = row.get::<_, Option<[u8; 16]>>(3)?.map(u128::from_be_bytes).map(TaskId::from_u128);
        Ok(Self {
            run: (row.get(0)?, RunId::from_u128(rows::id(row, 1)?)),
            task: task.map(|id| Ok::<_, rusqlite::Error>((row.get(2)?, id))).transpose()?,
            since: rows::timestamp(row, 4)?,
        })
    }

    fn explained(self, explainer: &Explainer<'_>) -> Result<Option<StuckItem>, StoreError> {
        let why = match self.task {
            Some((key, _)) => explainer.task(key, LEVELS)?,
            None => explainer.run(self.run.0, LEVELS)?,
        };
        Ok(why.map(|why| StuckItem {
            run: self.run.1,
            task: self.task.map(|(_, id)| id),
            reason: why.root_cause().clone(),
            since: self.since,
        }))
    }
}

struct EventCounts {
    all: u64,
    fan_outs: u64,
    aggregates: u64,
    retries: u64,
}

fn count_events(connection: &Connection, run: i64) -> Result<EventCounts, StoreError> {
    let params = params![
        run,
        code_of("task.fanned_out"),
        code_of("task.aggregated"),
        code_of("run.aggregated"),
        code_of("task.retried")
    ];
    let number = |row: &Row<'_>, column| row.get::<_, i64>(column).map(i64::cast_unsigned);
    let counts = connection.first(COUNT_EVENTS, params, |row| {
        Ok(EventCounts {
            all: number(row, 0)?,
            fan_outs: number(row, 1)?,
            aggregates: number(row, 2)? + number(row, 3)?,
            retries: number(row, 4)?,
        })
    })?;
    counts.ok_or_else(super::sql::no_connection)
}

/// All events of a run from one index, and those of the steps from the index of what is few.
pub(super) const COUNT_EVENTS: &str = "SELECT \
    (SELECT count(*) FROM conductor_events INDEXED BY conductor_events_run WHERE run = ?1), \
    (SELECT count(*) FROM conductor_events INDEXED BY conductor_events_name \
        WHERE run = ?1 AND name = ?2 AND name NOT IN (9, 10)), \
    (SELECT count(*) FROM conductor_events INDEXED BY conductor_events_name \
        WHERE run = ?1 AND name = ?3 AND name NOT IN (9, 10)), \
    (SELECT count(*) FROM conductor_events INDEXED BY conductor_events_name \
        WHERE run = ?1 AND name = ?4 AND name NOT IN (9, 10)), \
    (SELECT count(*) FROM conductor_events INDEXED BY conductor_events_name \
        WHERE run = ?1 AND name = ?5 AND name NOT IN (9, 10))";
