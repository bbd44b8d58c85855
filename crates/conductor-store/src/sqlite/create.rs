//! Root tasks come into being, one by one.

use super::event_log;
use super::ledger::Place;
use super::rows;
use super::sql::{self, Sql, id_blob};
use super::write::Write;
use crate::StoreError;
use conductor_model::{
    Backoff, ChildCounts, EventBody, FanoutSize, Json, NewTask, NodeStatus, NodeType, State, TaskId,
};
use rusqlite::{Connection, params};

pub(super) const PENDING_LEAF: NodeStatus =
    NodeStatus { node_type: NodeType::Leaf, state: State::Pending, retry_scheduled: false };

impl Write<'_> {
    /// Inserts one root task with its input and its event; `None` if its id is taken.
    pub(super) fn create_root(
        &mut self,
        run: i64,
        index: u32,
        id: TaskId,
        task: &NewTask,
    ) -> Result<Option<i64>, StoreError> {
        let (tx, ledger, now) = self.parts();
        let taken = tx.first(ID_TAKEN, [id_blob(id.as_u128())], |_| Ok(()))?;
        if taken.is_some() {
            return Ok(None);
        }
        let kind = kind_key(tx, task.kind().as_str())?;
        let numbers = task.child_counts();
        let (backoff, policy) = (backoff_text(task.backoff())?, rows::policy_text(task.policy())?);
        let columns = Columns {
            id,
            run,
            parent: 0,
            ordinal: index,
            kind,
            priority: task.priority(),
            now: now.as_millis(),
            due_at: task.due_at().map(conductor_model::Timestamp::as_millis),
            max_retries: i64::from(task.max_retries().get()),
            timeout_ms: task.timeout_ms(),
            numbers,
            name: Some(task.name().as_str()),
            backoff: backoff.as_deref(),
            policy: policy.as_deref(),
            joins: task.join().is_some(),
        };
        let key = columns.insert(tx, task.input().map(Json::as_str))?;
        let fanout = numbers.map(|numbers| numbers.total.map_or(FanoutSize::Open, FanoutSize::Fixed));
        let (policy, joins) = (task.policy(), task.join().is_some());
        let body = EventBody::TaskCreated { index, parent: None, fanout, policy, has_join: joins };
        event_log::record(tx, run, Some(key), now, &body)?;
        let shape = if numbers.is_some() { NodeType::Parent } else { NodeType::Leaf };
        ledger.count(tx, Place::child(run, 0), now, None, NodeStatus { node_type: shape, ..PENDING_LEAF })?;
        Ok(Some(key))
    }
}

/// The key of a kind, which gets one at its first use.
pub(super) fn kind_key(tx: &Connection, kind: &str) -> Result<i64, StoreError> {
    if let Some(known) = sql::kind_key(tx, kind)? {
        return Ok(known);
    }
    tx.run("INSERT INTO conductor_kinds (name) VALUES (?1)", [kind])?;
    Ok(tx.last_insert_rowid())
}

pub(super) fn backoff_text(backoff: Backoff) -> Result<Option<String>, StoreError> {
    if backoff == Backoff::NONE {
        return Ok(None);
    }
    serde_json::to_string(&backoff).map(Some).map_err(|error| StoreError::Backend(Box::new(error)))
}

/// The columns of a task that is inserted by itself.
pub(super) struct Columns<'a> {
    pub(super) id: TaskId,
    pub(super) run: i64,
    pub(super) parent: i64,
    pub(super) ordinal: u32,
    pub(super) kind: i64,
    pub(super) priority: i16,
    pub(super) now: i64,
    pub(super) due_at: Option<i64>,
    pub(super) max_retries: i64,
    pub(super) timeout_ms: Option<u32>,
    pub(super) numbers: Option<ChildCounts>,
    pub(super) name: Option<&'a str>,
    pub(super) backoff: Option<&'a str>,
    pub(super) policy: Option<&'a str>,
    pub(super) joins: bool,
}

impl Columns<'_> {
    /// Inserts the task with its input; its row key.
    pub(super) fn insert(&self, tx: &Connection, input: Option<&str>) -> Result<i64, StoreError> {
        let zero = self.numbers.map(|_| 0);
        tx.run(
            INSERT_TASK,
            params![
                id_blob(self.id.as_u128()),
                self.run,
                self.parent,
                self.ordinal,
                self.kind,
                self.priority,
                self.now,
                self.due_at,
                self.max_retries,
                self.numbers.map(ChildCounts::is_sealed),
                self.numbers.and_then(|numbers| numbers.total),
                zero,
                self.name,
                self.backoff,
                self.timeout_ms,
                self.policy,
                self.joins.then_some(false),
            ],
        )?;
        let key = tx.last_insert_rowid();
        if let Some(input) = input {
            tx.run(INSERT_INPUT, params![key, input])?;
        }
        Ok(key)
    }
}

/// By a task, or by a join that is still to come.
const ID_TAKEN: &str = "SELECT 1 FROM conductor_tasks WHERE id = ?1 \
    UNION ALL SELECT 1 FROM conductor_joins WHERE id = ?1 LIMIT 1";

pub(super) const INSERT_TASK: &str = "INSERT INTO conductor_tasks (id, run, parent, ordinal, state, kind, priority, \
    created_at, updated_at, due_at, attempt, retry_count, max_retries, sealed, fanout, children, open_children, \
    failed_children, cancelled_children, name, backoff, timeout_ms, policy, joining) \
    VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?7, ?8, 0, 0, ?9, ?10, ?11, ?12, ?12, ?12, ?12, ?13, ?14, ?15, ?16, ?17)";

pub(super) const INSERT_INPUT: &str = "INSERT INTO conductor_inputs (task, input) VALUES (?1, ?2)";
