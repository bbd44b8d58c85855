//! The rows that steps look for.

use crate::backend::{
    ChildTemplate, Decidable, DueKind, FanOutParent, FanOutWanted, Node, ParentKey, RunKey, RunsWith, Turn,
    Work,
};
use crate::sqlite::connection::sql::{Result, ScopeKey, Sql, array, kind_key};
use crate::sqlite::engines::{self, DeadEngine, Liveness};
use crate::sqlite::reads::tasks::own_input;
use crate::sqlite::rows::keys::{RowKey, key, parent_column, parent_key};
use crate::sqlite::rows::parents::{parent_columns, read_parent, reason};
use crate::sqlite::rows::{columns, conditions::sql, tasks};
use crate::sqlite::work::parent_cache::ParentCache;
use crate::sqlite::work::ready::{has_isolated, next_run as next_ready_run, present};
use crate::{Claim, Scope};
use conductor_model::{Json, Kind, MAX_BACKOFF_MS, TaskName, Timestamp};
use rusqlite::{Connection, Row, params};

/// Whether there is work.
pub(crate) fn has_work(
    connection: &Connection,
    liveness: Option<&Liveness>,
    work: &Work<'_>,
) -> Result<bool> {
    let scope = |scope: &Scope| ScopeKey::of(*scope, connection);
    Ok(match work {
        Work::Claim(claim) => is_something_ready(connection, claim)?,
        Work::FanOut(of) => next_run(connection, FAN_OUT_RUN, scope(of)?, 0)?.is_some(),
        Work::Sweep(of) => next_run(connection, SWEEP_RUN, scope(of)?, 0)?.is_some(),
        Work::SweepRun(run) => !sweep_parents(connection, *run, 1)?.is_empty(),
        Work::Aggregate(of) => {
            let of = scope(of)?;
            !keys(connection, PARENTS_TO_DECIDE, of, 1)?.is_empty()
                || !keys(connection, RUNS_TO_DECIDE, of, 1)?.is_empty()
        }
        Work::Due(kind, of, now) => !due(connection, *kind, scope(of)?, *now, 1)?.is_empty(),
        Work::Expire(of, now) => !expired(connection, scope(of)?, *now, 1)?.is_empty(),
        Work::LostClaims(now) => {
            !expired_leases(connection, *now, 1)?.is_empty()
                || liveness.is_some_and(|liveness| {
                    engines::dead(connection, liveness).is_ok_and(|engines| !engines.is_empty())
                })
        }
    })
}

fn is_something_ready(connection: &Connection, claim: &Claim) -> Result<bool> {
    for quota in claim.quotas.iter().filter(|quota| quota.limit > 0 && claim.limit > 0) {
        let Some(kind) = kind_key(connection, quota.kind.as_str())? else { continue };
        if next_ready_run(connection, kind, 0)?.is_some()
            || claim.allow_isolated && has_isolated(connection, kind)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The tasks, parents and runs that a step has to change.
pub(crate) fn find(
    connection: &Connection,
    cache: &mut ParentCache,
    work: &Work<'_>,
    (dead, limit): (&[DeadEngine], u32),
) -> Result<Vec<Node>> {
    let parent = |key: ParentKey, cache: &mut ParentCache| Ok(Node::Parent(cache.load(connection, key)?));
    match *work {
        Work::Due(kind, scope, now) => {
            let scope = ScopeKey::of(scope, connection)?;
            tasks::by_keys(connection, due(connection, kind, scope, now, limit)?)
        }
        Work::LostClaims(now) => lost_claims(connection, dead, now, limit),
        Work::Expire(scope, now) => {
            let runs = expired(connection, ScopeKey::of(scope, connection)?, now, limit)?;
            runs.into_iter().map(|run| parent(ParentKey::run(run), cache)).collect()
        }
        Work::SweepRun(run) => {
            sweep_parents(connection, run, limit)?.into_iter().map(|key| parent(key, cache)).collect()
        }
        Work::Claim(_) | Work::FanOut(_) | Work::Sweep(_) | Work::Aggregate(_) => Ok(Vec::new()),
    }
}

/// The runs of a turn: those behind its cursor first, then the others.
pub(crate) fn runs_in_turn(connection: &Connection, turn: &Turn<'_>) -> Result<Vec<RunKey>> {
    match turn.with {
        RunsWith::Ready(kind) => {
            let Some(kind) = kind_key(connection, kind.as_str())? else { return Ok(Vec::new()) };
            rotate(turn, |after| next_ready_run(connection, kind, after))
        }
        RunsWith::FanOut(scope) => {
            let scope = ScopeKey::of(scope, connection)?;
            rotate(turn, |after| next_run(connection, FAN_OUT_RUN, scope, after))
        }
        RunsWith::Sweep(scope) => {
            let scope = ScopeKey::of(scope, connection)?;
            rotate(turn, |after| next_run(connection, SWEEP_RUN, scope, after))
        }
    }
}

/// The runs of a turn; `next` finds the first run behind another one.
pub(crate) fn rotate(turn: &Turn<'_>, next: impl Fn(i64) -> Result<Option<i64>>) -> Result<Vec<RunKey>> {
    let cursor = turn.after.0.cast_signed();
    let mut runs = Vec::new();
    let (mut after, mut wrapped) = (cursor, cursor == 0);
    while runs.len() < turn.limit as usize {
        match next(after)? {
            Some(run) if wrapped && cursor > 0 && run > cursor => break,
            Some(run) => {
                runs.push(RunKey::of_row(run));
                after = run;
            }
            None if wrapped => break,
            None => (after, wrapped) = (0, true),
        }
    }
    Ok(runs)
}

fn next_run(connection: &Connection, sql: &str, scope: ScopeKey, after: i64) -> Result<Option<i64>> {
    let (from, to) = scope.range();
    let params = params![from.max(after.saturating_add(1)), to];
    Ok(connection.first(sql, params, |row| row.get(0))?.flatten())
}

fn keys(connection: &Connection, sql: &str, scope: ScopeKey, limit: u32) -> Result<Vec<u64>> {
    let (from, to) = scope.range();
    connection.all(sql, params![limit, from, to], |row| row.get::<_, i64>(0).map(i64::cast_unsigned))
}

/// Reads parents with the template and the input of their children, up to a number of bytes.
pub(crate) fn fan_out_parents(
    connection: &Connection,
    cache: &mut ParentCache,
    wanted: FanOutWanted<'_>,
    mut bytes: usize,
) -> Result<Vec<FanOutParent>> {
    let runs = match wanted {
        FanOutWanted::Missing(runs) => runs,
        FanOutWanted::Parent(parent) => {
            return Ok(template_parent(connection, cache, parent)?.into_iter().collect());
        }
    };
    let mut parents = Vec::new();
    for (run, limit) in runs {
        parents.extend(missing_children_of(connection, cache, (*run, *limit), &mut bytes)?);
        if bytes == 0 {
            break;
        }
    }
    Ok(parents)
}

fn missing_children_of(
    connection: &Connection,
    cache: &mut ParentCache,
    (run, limit): (RunKey, u32),
    bytes: &mut usize,
) -> Result<Vec<FanOutParent>> {
    let mut parents = connection.all(TO_FAN_OUT, params![run.row(), limit], |row| {
        let template = template(row, TEMPLATE_COLUMN).map_err(reason);
        let parent = tasks::parent_node(read_parent(row, 0), 0);
        Ok(FanOutParent { run, parent, input: None, template, uncounted_child: None })
    })?;
    let mut count = 0;
    for parent in &mut parents {
        if *bytes == 0 {
            break;
        }
        count += 1;
        let Node::Parent(Ok(row)) = &parent.parent else { continue };
        let (task, created) = (row.node.key.task.unwrap_or_default(), row.status.counts.created);
        parent.parent = present(cache, Node::Parent(Ok(*row)));
        parent.input = own_input(connection, task)?;
        let len = |input: &Json| input.as_str().len();
        *bytes =
            bytes.saturating_sub(parent.input.as_ref().and_then(|input| input.as_ref().ok()).map_or(0, len));
        let children = params![run.row(), task.row(), created];
        parent.uncounted_child = connection.first(UNCOUNTED_CHILD, children, |row| row.get(0))?;
    }
    parents.truncate(count);
    Ok(parents)
}

/// Reads a parent with the template of its children, and without its input.
fn template_parent(
    connection: &Connection,
    cache: &mut ParentCache,
    parent: ParentKey,
) -> Result<Option<FanOutParent>> {
    let key = parent_column(parent.task);
    let template = connection.first(SELECT_TEMPLATE, [key], |row| Ok(template(row, 0).map_err(reason)))?;
    let node = Node::Parent(cache.load(connection, parent)?);
    let run = parent.run;
    Ok(template.map(|template| FanOutParent {
        run,
        parent: node,
        input: None,
        template,
        uncounted_child: None,
    }))
}

fn template(row: &Row<'_>, column: usize) -> rusqlite::Result<ChildTemplate> {
    let missing = |column, what: &str| columns::unreadable(column, format_args!("it has no {what}"));
    Ok(ChildTemplate {
        name: columns::text::<TaskName>(row, column)?.ok_or_else(|| missing(column, "name"))?,
        kind: columns::text::<Kind>(row, column + 1)?.ok_or_else(|| missing(column + 1, "kind"))?,
        priority: row.get(column + 2)?,
        max_retries: columns::readable_max_retries(row, column + 3)?,
        backoff: columns::readable_backoff(row, column + 4),
        timeout_ms: row.get(column + 5)?,
    })
}

/// The parents of a run below which something must be cancelled.
fn sweep_parents(connection: &Connection, run: RunKey, limit: u32) -> Result<Vec<ParentKey>> {
    connection.all(PARENTS_TO_SWEEP, params![run.row(), limit], |row| parent_key(run, row, 0))
}

/// Parents and runs that can be decided.
pub(crate) fn decidable(
    connection: &Connection,
    cache: &mut ParentCache,
    scope: ScopeKey,
    limit: u32,
) -> Result<Vec<Decidable>> {
    let (from, to) = scope.range();
    let parents =
        connection.all(SELECT_DECIDABLE, params![limit, from, to], |row| Ok(read_parent(row, 0)))?;
    let mut decidable: Vec<Decidable> = parents
        .into_iter()
        .map(|parent| Decidable { parent: parent.map(|row| cache.current(row)), new_failures: false })
        .collect();
    let remaining = limit.saturating_sub(u32::try_from(decidable.len()).unwrap_or(u32::MAX));
    for run in keys(connection, RUNS_TO_DECIDE, scope, remaining)? {
        let parent = cache.load(connection, ParentKey::run(RunKey(run)))?;
        decidable.push(Decidable { parent, new_failures: false });
    }
    Ok(decidable)
}

/// Keys of tasks whose time has come. The rule for a retry is [`conductor_model::retry_is_due`].
fn due(
    connection: &Connection,
    kind: DueKind,
    scope: ScopeKey,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<i64>> {
    let (from, to) = scope.range();
    let seek = |sql, moment: Timestamp, limit: u32| {
        connection.all(sql, params![limit, moment.as_millis(), from, to], |row| row.get::<_, i64>(0))
    };
    match kind {
        DueKind::Start => seek(START_DUE, now, limit),
        DueKind::Retry => {
            let mut keys = seek(RETRY_DUE, now, limit)?;
            let rest = limit.saturating_sub(u32::try_from(keys.len()).unwrap_or(u32::MAX));
            if rest > 0 {
                keys.extend(seek(RETRY_JUMPED, now.plus_millis(MAX_BACKOFF_MS), rest)?);
            }
            Ok(keys)
        }
    }
}

/// Runs whose deadline has passed.
fn expired(connection: &Connection, scope: ScopeKey, now: Timestamp, limit: u32) -> Result<Vec<RunKey>> {
    let (from, to) = scope.range();
    connection.all(EXPIRED, params![limit, now.as_millis(), from, to], |row| key(row, 0))
}

/// Claimed leaves whose lease has expired, or which these engines claimed.
fn lost_claims(
    connection: &Connection,
    engines: &[DeadEngine],
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Node>> {
    let mut keys = expired_leases(connection, now, limit)?;
    let rest = limit.saturating_sub(u32::try_from(keys.len()).unwrap_or(u32::MAX));
    if !engines.is_empty() && rest > 0 {
        let params = params![limit, array(engines.iter().map(|engine| engine.key))];
        let claimed: Vec<i64> = connection.all(CLAIMS_OF_DEAD_ENGINES, params, |row| row.get(0))?;
        let known: std::collections::HashSet<i64> = keys.iter().copied().collect();
        keys.extend(claimed.into_iter().filter(|key| !known.contains(key)).take(rest as usize));
    }
    tasks::by_keys(connection, keys)
}

/// The keys of tasks whose lease has expired. The rule is [`conductor_model::lease_expired`].
fn expired_leases(connection: &Connection, now: Timestamp, limit: u32) -> Result<Vec<i64>> {
    let mut keys: Vec<i64> =
        connection.all(LEASE_EXPIRED, params![limit, now.as_millis()], |row| row.get(0))?;
    let rest = limit.saturating_sub(u32::try_from(keys.len()).unwrap_or(u32::MAX));
    if rest > 0 {
        keys.extend(
            connection.all(LEASE_JUMPED, params![rest, now.as_millis()], |row| row.get::<_, i64>(0))?,
        );
    }
    Ok(keys)
}

pub(crate) const FAN_OUT_RUN: &str = sql!("SELECT run FROM conductor_tasks INDEXED BY conductor_tasks_wants \
    WHERE " wants_fan_out " AND run BETWEEN ?1 AND ?2 ORDER BY run LIMIT 1");

const TEMPLATE_COLUMN: usize = 17;
pub(crate) const TO_FAN_OUT: &str = sql!("SELECT " (parent_columns!()) ", t.name, k.name, t.priority, t.max_retries, \
    t.backoff, t.timeout_ms FROM conductor_tasks t INDEXED BY conductor_tasks_wants \
    LEFT JOIN conductor_kinds k ON k.key = t.kind WHERE " wants_fan_out " AND t.run = ?1 ORDER BY t.key LIMIT ?2");

const SELECT_TEMPLATE: &str = "SELECT t.name, k.name, t.priority, t.max_retries, t.backoff, t.timeout_ms \
    FROM conductor_tasks t LEFT JOIN conductor_kinds k ON k.key = t.kind WHERE t.key = ?1";

pub(crate) const UNCOUNTED_CHILD: &str = "SELECT ordinal FROM conductor_tasks INDEXED BY conductor_tasks_place \
    WHERE run = ?1 AND parent = ?2 AND ordinal > ?3 ORDER BY ordinal LIMIT 1";

pub(crate) const SWEEP_RUN: &str = sql!("SELECT min(run) FROM (SELECT min(key) AS run \
        FROM conductor_runs INDEXED BY conductor_runs_wants WHERE " wants_sweep " AND key BETWEEN ?1 AND ?2 \
    UNION ALL SELECT min(run) FROM conductor_tasks INDEXED BY conductor_tasks_wants \
        WHERE " wants_sweep " AND run BETWEEN ?1 AND ?2)");

/// By the key of the parent, which is 0 for the root tasks of the run.
pub(crate) const PARENTS_TO_SWEEP: &str = sql!("SELECT 0 FROM conductor_runs INDEXED BY conductor_runs_wants \
        WHERE " wants_sweep " AND key = ?1 \
    UNION ALL SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_wants \
        WHERE " wants_sweep " AND run = ?1 LIMIT ?2");

const PARENTS_TO_DECIDE: &str = sql!("SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_wants \
    WHERE " wants_aggregate " AND run BETWEEN ?2 AND ?3 ORDER BY run, key LIMIT ?1");

pub(crate) const SELECT_DECIDABLE: &str = sql!("SELECT " (parent_columns!()) " \
    FROM conductor_tasks t INDEXED BY conductor_tasks_wants \
    WHERE " wants_aggregate " AND t.run BETWEEN ?2 AND ?3 ORDER BY t.run, t.key LIMIT ?1");

pub(crate) const RUNS_TO_DECIDE: &str = sql!("SELECT key FROM conductor_runs INDEXED BY conductor_runs_wants \
    WHERE " wants_aggregate " AND key BETWEEN ?2 AND ?3 ORDER BY key LIMIT ?1");

pub(crate) const START_DUE: &str = sql!("SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_due \
    WHERE " pending " AND due_at <= ?2 AND run BETWEEN ?3 AND ?4 ORDER BY due_at LIMIT ?1");
pub(crate) const RETRY_DUE: &str = sql!("SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_due \
    WHERE " failed " AND due_at <= ?2 AND run BETWEEN ?3 AND ?4 ORDER BY due_at LIMIT ?1");
pub(crate) const RETRY_JUMPED: &str = sql!("SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_due \
    WHERE " failed " AND due_at > ?2 AND run BETWEEN ?3 AND ?4 ORDER BY due_at LIMIT ?1");

pub(crate) const EXPIRED: &str = sql!("SELECT key FROM conductor_runs INDEXED BY conductor_runs_deadline \
    WHERE " run_with_deadline " AND deadline <= ?2 AND key BETWEEN ?3 AND ?4 ORDER BY deadline LIMIT ?1");

pub(crate) const LEASE_EXPIRED: &str = sql!("SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_running \
    WHERE " running_leaf " AND lease_until <= ?2 ORDER BY lease_until LIMIT ?1");
/// Reads the leases that run: as many as there are claims at this moment.
pub(crate) const LEASE_JUMPED: &str = sql!("SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_running \
    WHERE " running_leaf " AND lease_until > ?2 AND lease_until - ?2 > 2 * max(lease_until - updated_at, 0) LIMIT ?1");
/// Reads all claims, too. No index contains the engine, because engines rarely die.
pub(crate) const CLAIMS_OF_DEAD_ENGINES: &str = sql!("SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_running \
    WHERE " claimed " AND holder IN rarray(?2) LIMIT ?1");
