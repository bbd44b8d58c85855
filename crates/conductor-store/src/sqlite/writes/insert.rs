//! Inserts runs and tasks.

use crate::backend::{NewBlock, NewParent, NewRunRow, ParentColumns, ParentKey, ParentNode, ParentRow};
use crate::sqlite::connection::sql::{Result, Sql, fault, id_blob, kind_key};
use crate::sqlite::rows::keys::{RowKey, parent_column};
use crate::{NodeId, StoreError};
use conductor_model::{
    Backoff, ChildCounts, IdempotencyKey, JoinStatus, Json, Kind, NewJoin, PAYLOAD_HASH_VERSION,
    ParentStatus, State, StateCounts, TaskId, Timestamp,
};
use rusqlite::{CachedStatement, Connection, params};
use std::collections::HashMap;
use std::fmt::Write as _;

/// The keys of kinds that a transaction has looked up.
pub(crate) type KindKeys = HashMap<Kind, i64>;

/// Inserts a run; returns its row.
pub(crate) fn run(
    connection: &Connection,
    kinds: &mut KindKeys,
    new: &NewRunRow<'_>,
    now: Timestamp,
) -> Result<ParentRow> {
    let key = new.key.row();
    let (policy, join) = (new.run.policy(), new.run.join());
    connection.run(
        INSERT_RUN,
        params![
            id_blob(new.id.as_u128()),
            State::Pending.code(),
            now.as_millis(),
            i64::from(new.counts.is_sealed()),
            new.counts.total,
            ParentColumns::policy_text(policy)?,
            join.map(|_| false),
            new.deadline.map(Timestamp::as_millis),
            key,
        ],
    )?;
    submission(connection, new)?;
    if let Some((id, join)) = new.join_id.zip(join) {
        plan_join(connection, kinds, (key, 0), id, join)?;
    }
    let status = ParentStatus {
        counts: new.counts,
        policy,
        cancel_cause: None,
        join: if join.is_some() { JoinStatus::NotStarted } else { JoinStatus::None },
    };
    let node = ParentNode {
        key: ParentKey::run(new.key),
        id: NodeId::Run(new.id),
        above: None,
        index: 0,
        state: State::Pending,
        due_at: None,
    };
    Ok(ParentRow { node, status, swept: 0, deadline: new.deadline, state_counts: StateCounts::default() })
}

pub(crate) fn submission(connection: &Connection, new: &NewRunRow<'_>) -> Result<()> {
    let run = new.run;
    if run.meta().is_none() && run.idempotency_key().is_none() {
        return Ok(());
    }
    let key = new.key.row();
    let meta = run.meta().map(Json::as_str);
    let idempotency_key = run.idempotency_key().map(IdempotencyKey::as_str);
    let hash = run.payload().map(|payload| payload.0);
    let version = hash.map(|_| PAYLOAD_HASH_VERSION);
    connection.run(INSERT_SUBMISSION, params![key, meta, idempotency_key, version, hash]).map(drop)
}

/// Stores the plan of the join of a run (`parent` 0) or a parent.
fn plan_join(
    connection: &Connection,
    kinds: &mut KindKeys,
    (run, parent): (i64, i64),
    id: TaskId,
    join: &NewJoin,
) -> Result<()> {
    let kind = intern_kind(connection, kinds, &join.kind)?;
    let (backoff, retries) = (backoff_text(join.backoff)?, join.max_retries.get());
    let params = params![run, parent, id_blob(id.as_u128()), kind, retries, backoff, join.timeout_ms];
    connection.run(INSERT_JOIN, params).map(drop)
}

/// Returns the key of a kind. Inserts the kind at its first use.
pub(crate) fn intern_kind(connection: &Connection, kinds: &mut KindKeys, kind: &Kind) -> Result<i64> {
    if let Some(known) = kinds.get(kind) {
        return Ok(*known);
    }
    let key = if let Some(known) = kind_key(connection, kind.as_str())? {
        known
    } else {
        connection.run("INSERT INTO conductor_kinds (name) VALUES (?1)", [kind.as_str()])?;
        connection.last_insert_rowid()
    };
    kinds.insert(kind.clone(), key);
    Ok(key)
}

pub(crate) fn backoff_text(backoff: Backoff) -> Result<Option<String>> {
    let text = (backoff != Backoff::NONE).then(|| serde_json::to_string(&backoff)).transpose();
    text.map_err(|error| StoreError::Backend(Box::new(error)))
}

/// The values that all rows of a block have.
struct BlockValues<'a> {
    block: &'a NewBlock<'a>,
    run: i64,
    parent: i64,
    kind: i64,
    backoff: Option<String>,
    now: i64,
}

/// Inserts tasks.
pub(crate) fn blocks(
    connection: &Connection,
    kinds: &mut KindKeys,
    blocks: &[NewBlock<'_>],
    now: Timestamp,
) -> Result<()> {
    for block in blocks {
        let parent = block.position.parent;
        let values = BlockValues {
            block,
            run: parent.run.row(),
            parent: parent_column(parent.task),
            kind: intern_kind(connection, kinds, block.kind)?,
            backoff: backoff_text(block.backoff)?,
            now: now.as_millis(),
        };
        if block.names.is_empty() && block.parent.is_none() {
            leaves(connection, &values)?;
        } else {
            for offset in 0..block.count {
                named(connection, &values, offset)?;
            }
        }
        if let Some(NewParent { join: Some((id, join)), .. }) = block.parent {
            let key = block.first_key.row();
            plan_join(connection, kinds, (values.run, key), id, join)?;
        }
    }
    Ok(())
}

/// Inserts one task of a block by itself.
fn named(connection: &Connection, values: &BlockValues<'_>, offset: u16) -> Result<()> {
    let block = values.block;
    let key = block.first_key.plus(offset).row();
    let counts = block.parent.map(|parent| parent.counts);
    let zero = counts.map(|_| 0);
    let policy = block.parent.map(|parent| ParentColumns::policy_text(parent.policy)).transpose()?.flatten();
    connection.run(
        INSERT_TASK,
        params![
            id_blob(block.first_id.as_u128() + u128::from(offset)),
            values.run,
            values.parent,
            block.first_index + u32::from(offset),
            values.kind,
            block.priority,
            values.now,
            block.due_at.map(Timestamp::as_millis),
            block.max_retries.get(),
            counts.map(ChildCounts::is_sealed),
            counts.and_then(|counts| counts.total),
            zero,
            block.names.get(usize::from(offset)),
            values.backoff.as_deref(),
            block.timeout_ms,
            policy,
            block.parent.and_then(|parent| parent.join).map(|_| false),
            key,
        ],
    )?;
    if let Some(input) = block.inputs.get(usize::from(offset)).copied().flatten() {
        connection.run(INSERT_INPUT, params![key, input])?;
    }
    Ok(())
}

/// The numbers of leaves that one statement inserts, largest first. One statement opens the table and its indexes once,
/// which otherwise costs more than the rows.
const LEAVES_PER_STATEMENT: [u16; 3] = [256, 16, 1];

/// The prepared statements that insert a number of leaves, and their inputs.
struct Statements<'c> {
    tasks: CachedStatement<'c>,
    inputs: Option<CachedStatement<'c>>,
}

fn leaves(connection: &Connection, values: &BlockValues<'_>) -> Result<()> {
    let mut done = 0;
    for count in LEAVES_PER_STATEMENT {
        if values.block.count - done < count {
            continue;
        }
        let has_inputs = !values.block.inputs.is_empty();
        let inputs = has_inputs.then(|| connection.cached(&insert_inputs_sql(count))).transpose()?;
        let mut statements = Statements { tasks: connection.cached(&insert_tasks_sql(count))?, inputs };
        while values.block.count - done >= count {
            statements.insert(values, done, count).map_err(fault)?;
            done += count;
        }
    }
    Ok(())
}

impl Statements<'_> {
    /// Inserts `count` leaves of a block from the given one on, with their inputs.
    fn insert(&mut self, values: &BlockValues<'_>, first: u16, count: u16) -> rusqlite::Result<()> {
        let block = values.block;
        let key = block.first_key.plus(first).row();
        let tasks = &mut self.tasks;
        tasks.raw_bind_parameter(1, values.run)?;
        tasks.raw_bind_parameter(2, values.parent)?;
        tasks.raw_bind_parameter(3, block.first_index + u32::from(first))?;
        tasks.raw_bind_parameter(4, values.kind)?;
        tasks.raw_bind_parameter(5, block.priority)?;
        tasks.raw_bind_parameter(6, values.now)?;
        tasks.raw_bind_parameter(7, block.max_retries.get())?;
        tasks.raw_bind_parameter(8, values.backoff.as_deref())?;
        tasks.raw_bind_parameter(9, block.timeout_ms)?;
        tasks.raw_bind_parameter(10, key)?;
        for offset in 0..count {
            let id = id_blob(block.first_id.as_u128() + u128::from(first + offset));
            tasks.raw_bind_parameter(11 + usize::from(offset), id)?;
        }
        tasks.raw_execute()?;
        if let Some(inputs) = &mut self.inputs {
            inputs.raw_bind_parameter(1, key)?;
            for offset in 0..count {
                let input = block.inputs.get(usize::from(first + offset)).copied().flatten();
                inputs.raw_bind_parameter(2 + usize::from(offset), input)?;
            }
            inputs.raw_execute()?;
        }
        Ok(())
    }
}

/// Inserts `count` leaves. ?1 to ?10: their values, with the index (?3) and the key (?10) of the first; then their ids.
pub(crate) fn insert_tasks_sql(count: u16) -> String {
    let mut sql = String::from(
        "INSERT INTO conductor_tasks (key, id, run, parent, ordinal, state, kind, priority, created_at, updated_at, \
         attempt, retry_count, max_retries, backoff, timeout_ms) VALUES ",
    );
    for offset in 0..count {
        let comma = if offset > 0 { ", " } else { "" };
        let id = 11 + offset;
        // Writing to a String cannot fail.
        let _ = write!(
            sql,
            "{comma}(?10 + {offset}, ?{id}, ?1, ?2, ?3 + {offset}, 0, ?4, ?5, ?6, ?6, 0, 0, ?7, ?8, ?9)"
        );
    }
    sql
}

/// Inserts `count` inputs. ?1: the key of the first task; then the inputs.
pub(crate) fn insert_inputs_sql(count: u16) -> String {
    let mut sql = String::from("INSERT INTO conductor_inputs (task, input) VALUES ");
    for offset in 0..count {
        let comma = if offset > 0 { ", " } else { "" };
        let _ = write!(sql, "{comma}(?1 + {offset}, ?{})", 2 + offset);
    }
    sql
}

const INSERT_RUN: &str = "INSERT INTO conductor_runs (id, state, created_at, updated_at, sealed, fanout, children, \
    open_children, failed_children, cancelled_children, pending, running, succeeded, failed, cancelled, policy, joining, \
    deadline, key) VALUES (?1, ?2, ?3, ?3, ?4, ?5, 0, 0, 0, 0, 0, 0, 0, 0, 0, ?6, ?7, ?8, ?9)";

const INSERT_SUBMISSION: &str = "INSERT INTO conductor_submissions \
    (run, meta, idempotency_key, payload_version, payload_hash) VALUES (?1, ?2, ?3, ?4, ?5)";

const INSERT_JOIN: &str = "INSERT INTO conductor_joins (run, task, id, kind, max_retries, backoff, timeout_ms) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

pub(crate) const INSERT_TASK: &str = "INSERT INTO conductor_tasks (id, run, parent, ordinal, state, kind, priority, \
    created_at, updated_at, due_at, attempt, retry_count, max_retries, sealed, fanout, children, open_children, \
    failed_children, cancelled_children, name, backoff, timeout_ms, policy, joining, key) \
    VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?7, ?8, 0, 0, ?9, ?10, ?11, ?12, ?12, ?12, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";

pub(crate) const INSERT_INPUT: &str = "INSERT INTO conductor_inputs (task, input) VALUES (?1, ?2)";
