//! The rows that steps look for.

use crate::backend::{Decidable, DueKind, Node, ParentKey, RunKey, RunsWith, Turn, Work};
use crate::sqlite::connection::sql::{Result, Sql, array};
use crate::sqlite::engines::{self, DeadEngine, Liveness};
use crate::sqlite::rows::block::block_columns;
use crate::sqlite::rows::conditions::sql;
use crate::sqlite::rows::keys::{RowKey, key, parent_key};
use crate::sqlite::rows::nodes;
use crate::sqlite::rows::parents::{join_block, parent_columns, read_parent};
use crate::sqlite::rows::places;
use crate::sqlite::rows::range_rows::range_columns;
use crate::sqlite::rows::scope::ScopeKey;
use crate::sqlite::work::block_rows::{BlockRows, select_with_block};
use crate::sqlite::work::kinds::{KindKeys, known_kind};
use crate::sqlite::work::parent_cache::ParentCache;
use crate::sqlite::work::ready::next_run as next_ready_run;
use crate::{Claim, Scope};
use conductor_model::{MAX_BACKOFF_MS, Timestamp};
use rusqlite::{Connection, Params, params};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

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
            let (from, to) = scope(of)?.range();
            exists(connection, IS_SOMETHING_TO_DECIDE, [from, to])?
        }
        Work::Due(kind, of, now) => is_something_due(connection, *kind, scope(of)?, *now)?,
        Work::Expire(of, now) => !expired(connection, scope(of)?, *now, 1)?.is_empty(),
        Work::LostClaims(now) => {
            exists(connection, LEASE_EXPIRED, params![1, now.as_millis()])?
                || exists(connection, LEASE_JUMPED, params![1, now.as_millis()])?
                || liveness.is_some_and(|liveness| {
                    engines::dead(connection, liveness).is_ok_and(|engines| !engines.is_empty())
                })
        }
    })
}

/// Whether a statement has a row, also one that cannot be read.
fn exists(connection: &Connection, sql: &str, params: impl Params) -> Result<bool> {
    Ok(connection.first(sql, params, |_| Ok(()))?.is_some())
}

fn is_something_due(connection: &Connection, kind: DueKind, scope: ScopeKey, now: Timestamp) -> Result<bool> {
    let (from, to) = scope.range();
    match kind {
        DueKind::Start => exists(connection, IS_START_DUE, params_of(1, now, from, to)),
        DueKind::Retry => {
            let jumped = now.plus_millis(MAX_BACKOFF_MS).as_millis();
            exists(connection, IS_RETRY_DUE, [jumped, now.as_millis(), from, to])
        }
    }
}

fn is_something_ready(connection: &Connection, claim: &Claim) -> Result<bool> {
    for quota in claim.quotas.iter().filter(|quota| quota.limit > 0 && claim.limit > 0) {
        if exists(connection, IS_READY, params![quota.kind.as_str(), claim.allow_isolated])? {
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
        Work::Due(kind, scope, now) => due(connection, kind, ScopeKey::of(scope, connection)?, now, limit),
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
pub(crate) fn runs_in_turn(
    connection: &Connection,
    kinds: &mut KindKeys,
    turn: &Turn<'_>,
) -> Result<Vec<RunKey>> {
    match turn.with {
        RunsWith::Ready(kind) => {
            let Some(kind) = known_kind(connection, kinds, kind)? else { return Ok(Vec::new()) };
            rotate(turn, |after| next_ready_run(connection, kind, after))
        }
        RunsWith::FanOut(scope) => {
            let scope = ScopeKey::of(scope, connection)?;
            rotate(turn, |after| next_in_turn(connection, FAN_OUT_RUN, scope, after))
        }
        RunsWith::Sweep(scope) => {
            let scope = ScopeKey::of(scope, connection)?;
            rotate(turn, |after| next_in_turn(connection, SWEEP_RUN, scope, after))
        }
    }
}

/// The first run behind another one, or else the first of all.
fn next_in_turn(connection: &Connection, sql: &str, scope: ScopeKey, after: i64) -> Result<Option<i64>> {
    match next_run(connection, sql, scope, after)? {
        None if after > 0 => next_run(connection, sql, scope, 0),
        next => Ok(next),
    }
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

/// Tasks whose time has come. The rule for a retry is [`conductor_model::retry_is_due`].
fn due(
    connection: &Connection,
    kind: DueKind,
    scope: ScopeKey,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Node>> {
    let (from, to) = scope.range();
    let mut found = Found { nodes: Vec::new(), remaining: limit };
    let params = |moment: Timestamp, limit: u32| params_of(limit, moment, from, to);
    match kind {
        DueKind::Start => {
            found.waiting(connection, START_DUE, params(now, limit))?;
            let rest = found.remaining;
            let parents = connection.all(PARENTS_DUE, params(now, rest), |row| Ok(read_parent(row, 0)))?;
            found.nodes.extend(parents.into_iter().map(|parent| nodes::parent_node(parent, 0)));
        }
        DueKind::Retry => {
            found.waiting(connection, RETRY_DUE, params(now, limit))?;
            let rest = found.remaining;
            found.waiting(connection, RETRY_JUMPED, params(now.plus_millis(MAX_BACKOFF_MS), rest))?;
        }
    }
    Ok(found.nodes)
}

fn params_of(limit: u32, moment: Timestamp, from: i64, to: i64) -> [i64; 4] {
    [i64::from(limit), moment.as_millis(), from, to]
}

/// Leaves that were found, up to a number.
struct Found {
    nodes: Vec<Node>,
    remaining: u32,
}

impl Found {
    /// Leaves that wait for their time.
    fn waiting(&mut self, connection: &Connection, sql: &str, params: impl Params) -> Result<()> {
        self.rows(connection, sql, params, BlockRows::waiting)
    }

    /// Leaves that are claimed.
    fn leaves(&mut self, connection: &Connection, sql: &str, params: impl Params) -> Result<()> {
        self.rows(connection, sql, params, BlockRows::oldest)
    }

    fn rows(
        &mut self,
        connection: &Connection,
        sql: &str,
        params: impl Params,
        read: impl Fn(&BlockRows, &Connection, u32) -> Result<places::Found>,
    ) -> Result<()> {
        if self.remaining == 0 {
            return Ok(());
        }
        // The places of a block are read once, however many of its rows are found.
        let mut blocks: BTreeMap<i64, BlockRows> = BTreeMap::new();
        let mut left = self.remaining;
        for mut row in connection.all(sql, params, BlockRows::read)? {
            // The rows come in the order in which they are due.
            left -= row.shorten(left);
            match blocks.entry(row.number) {
                Entry::Occupied(mut known) => known.get_mut().add(row),
                Entry::Vacant(unknown) => drop(unknown.insert(row)),
            }
        }
        for block in blocks.values() {
            let found = read(block, connection, self.remaining)?;
            self.remaining -= found.count;
            self.nodes.extend(found.groups.into_iter().map(Node::Leaves));
            self.nodes.extend(found.corrupt.into_iter().map(Node::Corrupt));
        }
        Ok(())
    }
}

/// Runs whose deadline has passed.
fn expired(connection: &Connection, scope: ScopeKey, now: Timestamp, limit: u32) -> Result<Vec<RunKey>> {
    let (from, to) = scope.range();
    connection.all(EXPIRED, params![limit, now.as_millis(), from, to], |row| key(row, 0))
}

/// Claimed leaves whose lease has expired, or which these engines claimed. The rule is [`conductor_model::lease_expired`].
fn lost_claims(
    connection: &Connection,
    engines: &[DeadEngine],
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Node>> {
    let mut found = Found { nodes: Vec::new(), remaining: limit };
    found.leaves(connection, LEASE_EXPIRED, params![limit, now.as_millis()])?;
    let rest = found.remaining;
    found.leaves(connection, LEASE_JUMPED, params![rest, now.as_millis()])?;
    if !engines.is_empty() {
        let engines = array(engines.iter().map(|engine| engine.key));
        let rest = found.remaining;
        found.leaves(connection, CLAIMS_OF_DEAD_ENGINES, params![rest, engines, now.as_millis()])?;
    }
    Ok(found.nodes)
}

/// The runs of a turn; `next` finds the first run behind another one, or else the first of all.
fn rotate(turn: &Turn<'_>, next: impl Fn(i64) -> Result<Option<i64>>) -> Result<Vec<RunKey>> {
    let mut runs: Vec<RunKey> = Vec::new();
    let mut after = turn.after.0.cast_signed();
    while runs.len() < turn.limit as usize {
        match next(after)?.map(|run| (run, RunKey::of_row(run))) {
            Some((run, key)) if runs.first() != Some(&key) => {
                runs.push(key);
                after = run;
            }
            // All were found.
            _ => break,
        }
    }
    Ok(runs)
}

const FAN_OUT_RUN: &str = sql!("SELECT run FROM conductor_parents INDEXED BY conductor_parents_next_step \
    WHERE " needs_fan_out " AND run BETWEEN ?1 AND ?2 ORDER BY run LIMIT 1");

const SWEEP_RUN: &str = sql!("SELECT min(run) FROM ( \
        SELECT min(key) AS run FROM conductor_runs INDEXED BY conductor_runs_next_step \
            WHERE " needs_sweep " AND key BETWEEN ?1 AND ?2 \
        UNION ALL SELECT min(run) FROM conductor_parents INDEXED BY conductor_parents_next_step \
            WHERE " needs_sweep " AND run BETWEEN ?1 AND ?2)");

/// By the key of the parent, which is 0 for the root tasks of the run.
const PARENTS_TO_SWEEP: &str = sql!("SELECT 0 FROM conductor_runs INDEXED BY conductor_runs_next_step \
        WHERE " needs_sweep " AND key = ?1 \
    UNION ALL SELECT task FROM conductor_parents INDEXED BY conductor_parents_next_step \
        WHERE " needs_sweep " AND run = ?1 LIMIT ?2");

const SELECT_DECIDABLE: &str = sql!("SELECT " (parent_columns!())
    " FROM conductor_parents t INDEXED BY conductor_parents_next_step \
    LEFT JOIN conductor_blocks b ON b.block = t.task / 1024 \
    WHERE " needs_aggregate " AND t.run BETWEEN ?2 AND ?3 ORDER BY t.run, t.task LIMIT ?1");

const RUNS_TO_DECIDE: &str = sql!("SELECT key FROM conductor_runs INDEXED BY conductor_runs_next_step \
    WHERE " needs_aggregate " AND key BETWEEN ?2 AND ?3 ORDER BY key LIMIT ?1");

/// ?2: the moment; ?3 and ?4: the runs.
macro_rules! start_due {
    () => { sql!(pending " AND g.due_at <= ?2 AND g.run BETWEEN ?3 AND ?4") };
}
macro_rules! parent_due {
    () => {
        "t.due_at <= ?2 AND t.run BETWEEN ?3 AND ?4"
    };
}
macro_rules! retry_due {
    () => { sql!(failed " AND g.due_at <= ?2 AND g.run BETWEEN ?3 AND ?4") };
}

const START_DUE: &str =
    select_with_block!("conductor_ranges_due", (start_due!()) " ORDER BY g.due_at LIMIT ?1");
const RETRY_DUE: &str =
    select_with_block!("conductor_ranges_due", (retry_due!()) " ORDER BY g.due_at LIMIT ?1");
const RETRY_JUMPED: &str = select_with_block!("conductor_ranges_due",
    failed " AND g.due_at > ?2 AND g.run BETWEEN ?3 AND ?4 ORDER BY g.due_at LIMIT ?1");

/// Whether one of these statements finds something: an idle engine asks each time.
const IS_START_DUE: &str = sql!("SELECT 1 WHERE EXISTS (SELECT 1 FROM conductor_ranges g INDEXED BY conductor_ranges_due \
        WHERE " (start_due!()) ") \
    OR EXISTS (SELECT 1 FROM conductor_parents t INDEXED BY conductor_parents_due WHERE " (parent_due!()) ")");
const IS_RETRY_DUE: &str = sql!("SELECT 1 WHERE EXISTS (SELECT 1 FROM conductor_ranges g INDEXED BY conductor_ranges_due \
        WHERE " (retry_due!()) ") \
    OR EXISTS (SELECT 1 FROM conductor_ranges g INDEXED BY conductor_ranges_due \
        WHERE " failed " AND g.due_at > ?1 AND g.run BETWEEN ?3 AND ?4)");

const IS_READY: &str = sql!("SELECT 1 FROM conductor_kinds WHERE name = ?1 AND (EXISTS ( \
        SELECT 1 FROM conductor_ranges INDEXED BY conductor_ranges_ready \
            WHERE kind = conductor_kinds.key AND " ready ") \
    OR ?2 AND EXISTS (SELECT 1 FROM conductor_ranges INDEXED BY conductor_ranges_isolated \
        WHERE kind = conductor_kinds.key AND " isolated "))");

const IS_SOMETHING_TO_DECIDE: &str = sql!("SELECT 1 WHERE EXISTS ( \
        SELECT 1 FROM conductor_parents INDEXED BY conductor_parents_next_step \
            WHERE " needs_aggregate " AND run BETWEEN ?1 AND ?2) \
    OR EXISTS (SELECT 1 FROM conductor_runs INDEXED BY conductor_runs_next_step \
        WHERE " needs_aggregate " AND key BETWEEN ?1 AND ?2)");

const PARENTS_DUE: &str = concat!(
    "SELECT ",
    parent_columns!(),
    join_block!(),
    "WHERE ",
    parent_due!(),
    " ORDER BY t.due_at LIMIT ?1"
);

const EXPIRED: &str = sql!("SELECT key FROM conductor_runs INDEXED BY conductor_runs_deadline \
    WHERE " run_with_deadline " AND deadline <= ?2 AND key BETWEEN ?3 AND ?4 ORDER BY deadline LIMIT ?1");

const LEASE_EXPIRED: &str = select_with_block!("conductor_ranges_running",
    running " AND g.lease_until <= ?2 ORDER BY g.lease_until LIMIT ?1");
/// Reads the leases that run: as many as there are rows of claims at this moment.
const LEASE_JUMPED: &str = select_with_block!("conductor_ranges_running",
    running " AND g.lease_until > ?2 AND g.lease_until - ?2 > 2 * max(g.lease_until - g.since, 0) LIMIT ?1");
/// Reads all claims, too, without those above. No index contains the engine, because engines rarely die.
const CLAIMS_OF_DEAD_ENGINES: &str = select_with_block!("conductor_ranges_running",
    running " AND g.lease_until > ?3 AND g.lease_until - ?3 <= 2 * max(g.lease_until - g.since, 0) \
    AND g.engine IN rarray(?2) LIMIT ?1");
