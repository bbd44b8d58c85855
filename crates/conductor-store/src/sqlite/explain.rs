//! Why a run or a task is where it is: a few seeks, however many tasks there are.

use super::SqliteStore;
use super::engines::Living;
use super::ledger::Place;
use super::rows;
use super::sql::{Sql, id_blob, run_key};
use crate::{NodeId, StoreError};
use conductor_model::{
    CancelCause, ChildCounts, Decision, EngineId, ErrorText, ExplainTarget, Explanation, JoinStatus, Kind,
    NodeStatus, NodeType, ParentStatus, RunId, State, StateReason, TaskId, TaskName, Timestamp,
};
use rusqlite::{Connection, Row, params};
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;

/// How many levels an explanation goes down.
pub(super) const LEVELS: u32 = 64;

impl SqliteStore {
    pub(super) fn explain_subject(
        &self,
        subject: NodeId,
        now: Timestamp,
    ) -> Result<Option<Explanation>, StoreError> {
        self.read(|connection| {
            let explainer = Explainer::of(self, connection, now);
            match subject {
                NodeId::Run(id) => match run_key(connection, id)? {
                    Some(run) => explainer.run(run, LEVELS),
                    None => Ok(None),
                },
                NodeId::Task(id) => {
                    // A run that is being pruned is not visible.
                    let sql = "SELECT key FROM conductor_tasks t WHERE id = ?1 \
                        AND NOT EXISTS (SELECT 1 FROM conductor_pruned p WHERE p.run = t.run)";
                    let key = connection.first(sql, [id_blob(id.as_u128())], |row| row.get(0))?;
                    key.map_or(Ok(None), |key| explainer.task(key, LEVELS))
                }
            }
        })
    }
}

/// Explains what is in one snapshot of the database.
pub(super) struct Explainer<'s> {
    store: &'s SqliteStore,
    pub(super) connection: &'s Connection,
    /// By run and parent: whether it, or anything above it, is marked. Each is read once.
    pub(super) marks: RefCell<HashMap<(i64, i64), bool>>,
    /// The present moment.
    now: Timestamp,
    /// The engines that live, looked for at most once.
    living: OnceCell<Vec<Living>>,
}

/// A parent or a run, as its explanation needs it.
struct Family {
    place: Place,
    state: State,
    standing: ParentStatus,
    updated_at: Timestamp,
    due_at: Option<Timestamp>,
}

/// A leaf, as its explanation needs it.
pub(super) struct Leaf {
    pub(super) place: Place,
    pub(super) key: i64,
    kind: i64,
    kind_name: Kind,
    state: State,
    pub(super) updated_at: Timestamp,
    due_at: Option<Timestamp>,
    attempt: u32,
    retry_count: u32,
    max_retries: u32,
    last_error: Option<ErrorText>,
    lease_until: Option<Timestamp>,
    holder: Option<EngineId>,
    alone: bool,
}

impl Leaf {
    fn is_settled(&self) -> bool {
        NodeStatus { node_type: NodeType::Leaf, state: self.state, retry_scheduled: self.due_at.is_some() }
            .is_settled()
    }
}

impl<'s> Explainer<'s> {
    pub(super) fn of(store: &'s SqliteStore, connection: &'s Connection, now: Timestamp) -> Self {
        Self { store, connection, marks: RefCell::default(), now, living: OnceCell::new() }
    }

    fn living(&self) -> Result<&[Living], StoreError> {
        if let Some(living) = self.living.get() {
            return Ok(living);
        }
        let living = self.store.engines_that_live(self.connection)?;
        Ok(self.living.get_or_init(|| living))
    }

    /// How many engines work.
    fn engines(&self) -> Result<u32, StoreError> {
        Ok(u32::try_from(self.living()?.len()).unwrap_or(u32::MAX))
    }

    /// The same, if a time has come.
    fn engines_since(&self, at: Timestamp) -> Result<Option<u32>, StoreError> {
        (at <= self.now).then(|| self.engines()).transpose()
    }

    pub(super) fn run(&self, key: i64, depth: u32) -> Result<Option<Explanation>, StoreError> {
        let found = self.connection.first(SELECT_RUN, [key], |row| {
            let family = Family {
                place: Place::child(key, 0),
                state: rows::state(row, 1)?,
                standing: rows::standing(row, rows::run_numbers(row, 2)?, 8)?,
                updated_at: rows::timestamp(row, 11)?,
                due_at: None,
            };
            Ok((RunId::from_u128(rows::id(row, 0)?), family))
        })?;
        let Some((id, family)) = found else { return Ok(None) };
        let (reason, because) = self.family(&family, depth)?;
        Ok(Some(Explanation {
            target: ExplainTarget::Run(id),
            state: family.state,
            reason,
            caused_by: because,
        }))
    }

    pub(super) fn task(&self, key: i64, depth: u32) -> Result<Option<Explanation>, StoreError> {
        let found = self.connection.first(SELECT_TASK, [key], |row| {
            let id = TaskId::from_u128(rows::id(row, 0)?);
            let name: Option<TaskName> = rows::text(row, 1)?;
            let name = name.ok_or(rusqlite::Error::InvalidQuery)?;
            Ok((ExplainTarget::Task { id, name }, read_task(row, key)?))
        })?;
        let Some((subject, task)) = found else { return Ok(None) };
        let (state, reason, because) = match task {
            Ok(family) => {
                let (reason, because) = self.family(&family, depth)?;
                (family.state, reason, because)
            }
            Err(leaf) => (leaf.state, self.leaf(&leaf)?, None),
        };
        Ok(Some(Explanation { target: subject, state, reason, caused_by: because }))
    }

    /// Why a parent or a run is where it is, and what below it makes it so.
    fn family(
        &self,
        family: &Family,
        depth: u32,
    ) -> Result<(StateReason, Option<Box<Explanation>>), StoreError> {
        let Family { place, standing, updated_at: since, .. } = *family;
        let ChildCounts { total, created: children, open, failed, .. } = standing.counts;
        let mark = match standing.cancel_cause {
            None if !family.state.is_terminal() && self.is_below_a_mark(place)? => {
                Some(CancelCause::Ancestor)
            }
            mark => mark,
        };
        let reason = match (family.state, mark, family.due_at) {
            (State::Succeeded, ..) => StateReason::Succeeded,
            (State::Failed, ..) => match self.error_of(place)? {
                // Without its join it would not have come to this.
                None if standing.cancel_cause.is_none() && standing.policy.tolerates(standing.counts) => {
                    StateReason::JoinFailed
                }
                error => StateReason::Failed { error, failed_children: failed },
            },
            (State::Cancelled, by, _) => {
                StateReason::Cancelled { cause: by, reason: self.words_of(place, by)? }
            }
            (_, Some(by), _) => {
                let reason = self.words_of(place, Some(by))?;
                StateReason::BeingCancelled { cause: by, reason, open, engines: self.engines()? }
            }
            (_, None, Some(until)) => StateReason::Delayed { until, engines: self.engines_since(until)? },
            (_, None, None) => match (standing.decide(), standing.join, total) {
                (Decision::Wait, JoinStatus::Open, _) => StateReason::WaitingForJoin,
                // A fail-fast parent was revived beside an older failure, and continues like any other.
                (Decision::Wait | Decision::CancelOpenChildren(_), _, Some(total)) if children < total => {
                    StateReason::CreatingChildren { children, total, since, engines: self.engines()? }
                }
                (Decision::Wait | Decision::CancelOpenChildren(_), _, None) if open == 0 => {
                    StateReason::WaitingForAppend { children, since }
                }
                (Decision::Wait | Decision::CancelOpenChildren(_), ..) => {
                    StateReason::WaitingForChildren { open, children }
                }
                _ => StateReason::ReadyToAggregate { since, engines: self.engines()? },
            },
        };
        let below = if depth == 0 { None } else { self.below(family, &reason)? };
        let because = below.map(|key| self.task(key, depth - 1)).transpose()?.flatten().map(Box::new);
        Ok((reason, because))
    }

    /// The next level of the explanation of a parent or a run.
    fn below(&self, family: &Family, reason: &StateReason) -> Result<Option<i64>, StoreError> {
        let Family { place, standing, .. } = *family;
        match reason {
            StateReason::Failed { error: None, .. } => self.failed_child(place),
            StateReason::JoinFailed => self.join_that(place, State::Failed),
            // No mark: what was cancelled below it made it so, and before its join was run.
            StateReason::Cancelled { cause: None, .. } if standing.counts.cancelled > 0 => {
                self.cancelled_child(place)
            }
            StateReason::Cancelled { cause: None, .. } => self.join_that(place, State::Cancelled),
            StateReason::WaitingForJoin | StateReason::BeingCancelled { open: 0, .. }
                if standing.join == JoinStatus::Open =>
            {
                self.connection.first(SELECT_JOIN, [place.run, place.parent], |row| row.get(0))
            }
            StateReason::WaitingForChildren { .. } | StateReason::BeingCancelled { .. } => {
                self.open_child(place)
            }
            _ => Ok(None),
        }
    }

    fn leaf(&self, leaf: &Leaf) -> Result<StateReason, StoreError> {
        let (since, by) = (leaf.updated_at, CancelCause::Ancestor);
        if !leaf.is_settled() && self.is_below_a_mark(leaf.place)? {
            let reason = self.words_of(leaf.place, Some(by))?;
            return Ok(StateReason::BeingCancelled { cause: by, reason, open: 0, engines: self.engines()? });
        }
        Ok(match (leaf.state, leaf.due_at, leaf.lease_until) {
            (State::Succeeded, ..) => StateReason::Succeeded,
            (State::Failed, Some(at), _) => StateReason::RetryDue {
                at,
                retry_count: leaf.retry_count,
                max_retries: leaf.max_retries,
                error: leaf.last_error.clone(),
                engines: self.engines_since(at)?,
            },
            (State::Failed, None, _) => {
                StateReason::Failed { error: leaf.last_error.clone(), failed_children: 0 }
            }
            (State::Cancelled, ..) => self.cancelled(leaf)?,
            (State::Running, _, Some(until)) => self.held(leaf, until)?,
            (State::Running, _, None) => StateReason::RunningExternally { since },
            (State::Pending, Some(until), _) => {
                StateReason::Delayed { until, engines: self.engines_since(until)? }
            }
            (State::Pending, None, _) => self.ready(leaf)?,
        })
    }

    /// Which engine has claimed a leaf, and whether the next rescue fails the attempt.
    fn held(&self, leaf: &Leaf, until: Timestamp) -> Result<StateReason, StoreError> {
        let lives = self.living()?.iter().any(|engine| Some(engine.id) == leaf.holder);
        let engines = if lives { self.engines_since(until)? } else { Some(self.engines()?) };
        let (by, attempt, heartbeat) = (leaf.holder, leaf.attempt, leaf.updated_at);
        Ok(StateReason::Claimed { engine: by, engine_alive: lives, attempt, until, heartbeat, engines })
    }

    /// Why a leaf that is ready has not been claimed: what the engines that live say of its kind.
    fn ready(&self, leaf: &Leaf) -> Result<StateReason, StoreError> {
        let (kind, since) = (leaf.kind_name.clone(), leaf.updated_at);
        let (mut engines, mut limits) = (0_u32, Some(0_u32));
        for engine in self.living()? {
            let Some(limit) = engine.handles.limit_of(&leaf.kind_name) else { continue };
            engines += 1;
            let held = params![engine.key, leaf.kind, limit];
            let running: u32 = self.connection.first(COUNT_HELD, held, |row| row.get(0))?.unwrap_or(0);
            limits = limits.filter(|_| running >= limit).map(|sum| sum.saturating_add(limit));
        }
        Ok(match limits {
            _ if engines == 0 => StateReason::NoEngineForKind { kind, since },
            Some(limit) => StateReason::AtConcurrencyLimit { kind, limit, since },
            None => StateReason::Ready { since, engines, isolated: leaf.alone },
        })
    }

    /// Why a parent failed by itself and not by its children, such as an input that was changed.
    fn error_of(&self, place: Place) -> Result<Option<ErrorText>, StoreError> {
        let sql = "SELECT last_error FROM conductor_tasks WHERE key = ?1";
        let error: Option<Option<String>> = self.connection.first(sql, [place.parent], |row| row.get(0))?;
        Ok(error.flatten().map(ErrorText::from))
    }

    /// The join that came to this end, if it did.
    fn join_that(&self, place: Place, end: State) -> Result<Option<i64>, StoreError> {
        let params = params![place.run, place.parent, rows::state_code(end)];
        self.connection.first(SELECT_ENDED_JOIN, params, |row| row.get(0))
    }
}

fn read_task(row: &Row<'_>, key: i64) -> rusqlite::Result<Result<Family, Leaf>> {
    let (state, updated_at, due_at) =
        (rows::state(row, 4)?, rows::timestamp(row, 5)?, rows::readable_due_at(row, 6)?);
    let run = row.get(7)?;
    if let Some(numbers) = rows::numbers(row, 9)? {
        let standing = rows::standing(row, numbers, 15)?;
        return Ok(Ok(Family { place: Place::child(run, key), state, standing, updated_at, due_at }));
    }
    Ok(Err(Leaf {
        place: Place::child(run, row.get(8)?),
        key,
        kind: row.get(2)?,
        kind_name: rows::text(row, 3)?.ok_or(rusqlite::Error::InvalidQuery)?,
        state,
        updated_at,
        due_at,
        attempt: row.get(18)?,
        retry_count: row.get(19)?,
        max_retries: rows::readable_max_retries(row, 20)?.get(),
        last_error: row.get::<_, Option<String>>(21)?.map(ErrorText::from),
        lease_until: rows::readable_due_at(row, 22)?,
        holder: row.get::<_, Option<[u8; 16]>>(23)?.map(u128::from_be_bytes).map(EngineId::from_u128),
        alone: rows::lost(row, 24)? == Some(conductor_model::LeaseLosses::Isolate),
    }))
}

const SELECT_RUN: &str = "SELECT id, state, sealed, fanout, children, open_children, failed_children, \
    cancelled_children, policy, mark, joining, updated_at FROM conductor_runs WHERE key = ?1";

const SELECT_TASK: &str = "SELECT t.id, coalesce(t.name, p.name || '#' || t.ordinal), t.kind, k.name, t.state, \
    t.updated_at, t.due_at, t.run, t.parent, t.sealed, t.fanout, t.children, t.open_children, t.failed_children, \
    t.cancelled_children, t.policy, t.mark, t.joining, t.attempt, t.retry_count, t.max_retries, t.last_error, \
    t.lease_until, e.id, t.lost \
    FROM conductor_tasks t JOIN conductor_kinds k ON k.key = t.kind \
    LEFT JOIN conductor_tasks p ON p.key = t.parent \
    LEFT JOIN conductor_engines e ON e.key = t.holder WHERE t.key = ?1";

const SELECT_JOIN: &str = "SELECT key FROM conductor_tasks WHERE run = ?1 AND parent = ?2 AND ordinal = 0";

/// How many of a kind an engine holds, as far as its limit.
const COUNT_HELD: &str = "SELECT count(*) FROM (SELECT 1 FROM conductor_tasks INDEXED BY conductor_tasks_running \
    WHERE state = 1 AND sealed IS NULL AND lease_until IS NOT NULL AND holder = ?1 AND kind = ?2 LIMIT ?3)";

const SELECT_ENDED_JOIN: &str = "SELECT key FROM conductor_tasks \
    WHERE run = ?1 AND parent = ?2 AND ordinal = 0 AND state = ?3 AND due_at IS NULL";
