//! Inserts runs and blocks of tasks.

use crate::backend::{
    NewBlock, NewParent, NewRunRow, ParentColumns, ParentKey, ParentNode, ParentRow, TaskKey,
};
use crate::sqlite::connection::sql::{Result, Sql, fault, insert_rows};
use crate::sqlite::rows::block::{self, BlockRow};
use crate::sqlite::rows::columns::bad_row;
use crate::sqlite::rows::keys::{RowKey, parent_column};
use crate::sqlite::rows::range_rows;
use crate::sqlite::work::kinds::{KindKeys, intern_kind};
use crate::{NodeId, StoreError};
use conductor_model::{
    Backoff, IdempotencyKey, JoinStatus, Json, NewJoin, PAYLOAD_HASH_VERSION, ParentStatus, State,
    StateCounts, TaskId, Timestamp,
};
use rusqlite::{Connection, Statement, params};

/// The number of bytes from which the inputs of a block go on in another row.
const INPUT_BYTES: usize = 64 * 1024;

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
            new.id.to_string(),
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

fn submission(connection: &Connection, new: &NewRunRow<'_>) -> Result<()> {
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

fn backoff_text(backoff: Backoff) -> Result<Option<String>> {
    let text = (backoff != Backoff::NONE).then(|| serde_json::to_string(&backoff)).transpose();
    text.map_err(|error| StoreError::Backend(Box::new(error)))
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
    let params = params![run, parent, id.to_string(), kind, retries, backoff, join.timeout_ms];
    connection.run(INSERT_JOIN, params).map(drop)
}

/// Inserts tasks.
pub(crate) fn blocks(
    connection: &Connection,
    kinds: &mut KindKeys,
    new: &[NewBlock<'_>],
    now: Timestamp,
) -> Result<()> {
    let (mut parents, mut leaves) = (Vec::new(), Vec::new());
    {
        let mut insert = connection.cached(INSERT_BLOCK)?;
        for new in new {
            let block = row_of(new, intern_kind(connection, kinds, new.kind)?)?;
            execute_insert(&mut insert, &block, new.names, now)?;
            match &new.parent {
                Some(parent) => parents.push(InsertedParent::of(new, parent, now)?),
                None => leaves.push((block, new.due_at)),
            }
        }
    }
    insert_parents(connection, &parents)?;
    range_rows::insert(connection, &leaves, now)?;
    for new in new {
        if let Some((id, join)) = new.parent.and_then(|parent| parent.join) {
            let parent = (new.position.parent.run.row(), new.first_key.row());
            plan_join(connection, kinds, parent, id, join)?;
        }
    }
    insert_inputs(connection, new)
}

fn row_of(new: &NewBlock<'_>, kind: i64) -> Result<BlockRow> {
    let (number, offset) = block::place(new.first_key);
    if offset != 0 {
        return Err(bad_row("block", number, "its first task has another place"));
    }
    Ok(BlockRow {
        number,
        count: new.count,
        is_parent: new.parent.is_some(),
        kind,
        priority: i64::from(new.priority),
        has_inputs: new.inputs.iter().any(Option::is_some),
        block: crate::backend::Block {
            base: new.first_key,
            base_id: new.first_id.as_u128(),
            base_index: new.first_index,
            position: new.position,
            max_retries: new.max_retries,
            backoff: new.backoff,
            timeout_ms: new.timeout_ms,
        },
    })
}

/// Inserts the row of a block. `names` is empty if each name is that of the parent with the index.
pub(crate) fn insert_block(
    connection: &Connection,
    row: &BlockRow,
    names: &[&str],
    created_at: Timestamp,
) -> Result<()> {
    let mut insert = connection.cached(INSERT_BLOCK)?;
    execute_insert(&mut insert, row, names, created_at)
}

/// The same with [`INSERT_BLOCK`], which is prepared.
fn execute_insert(
    insert: &mut Statement<'_>,
    row: &BlockRow,
    names: &[&str],
    created_at: Timestamp,
) -> Result<()> {
    let (prefix, low) = block::id_columns(row.id(0));
    let names = (!names.is_empty()).then(|| serde_json::to_string(names)).transpose();
    let inserted = insert.execute(params![
        row.number,
        prefix,
        low,
        row.count,
        row.run().row(),
        parent_column(row.parent().task),
        row.index(0),
        row.is_parent,
        row.kind,
        row.priority,
        row.block.max_retries.get(),
        row.block.timeout_ms,
        created_at.as_millis(),
        row.has_inputs,
        backoff_text(row.block.backoff)?,
        names.map_err(|error| StoreError::Backend(Box::new(error)))?,
    ]);
    if inserted.map_err(fault)? == 0 {
        let row = format!("the task with id {}", row.id(0));
        return Err(StoreError::CorruptRow { row, reason: "another task has its id or its position".into() });
    }
    Ok(())
}

/// A parent, as it is inserted.
struct InsertedParent {
    key: i64,
    run: i64,
    state: i64,
    updated_at: i64,
    due_at: Option<i64>,
    is_sealed: bool,
    total: Option<u32>,
    policy: Option<String>,
    join_open: Option<bool>,
}

impl InsertedParent {
    fn of(new: &NewBlock<'_>, parent: &NewParent<'_>, now: Timestamp) -> Result<Self> {
        Ok(Self {
            key: new.first_key.row(),
            run: new.position.parent.run.row(),
            state: State::Pending.code(),
            updated_at: now.as_millis(),
            due_at: new.due_at.map(Timestamp::as_millis),
            is_sealed: parent.counts.is_sealed(),
            total: parent.counts.total,
            policy: ParentColumns::policy_text(parent.policy)?,
            join_open: parent.join.map(|_| false),
        })
    }
}

fn insert_parents(connection: &Connection, parents: &[InsertedParent]) -> Result<()> {
    insert_rows(connection, INSERT_PARENT, parents, |row| {
        let InsertedParent { key, run, state, updated_at, due_at, is_sealed, total, policy, join_open } = row;
        [key, run, state, updated_at, due_at, is_sealed, total, policy, join_open]
    })
}

/// Stores the inputs of blocks.
fn insert_inputs(connection: &Connection, blocks: &[NewBlock<'_>]) -> Result<()> {
    let mut inputs = InputChunk::default();
    for new in blocks {
        for (offset, input) in (0..new.count).zip(new.inputs) {
            inputs.add(connection, new.first_key.plus(offset), *input)?;
        }
        inputs.finish(connection)?;
    }
    Ok(())
}

/// Inputs of neighbors that are stored in one row: tasks of one block that all have one, up to a number of bytes.
#[derive(Default)]
pub(crate) struct InputChunk {
    first: TaskKey,
    count: u16,
    json: String,
}

impl InputChunk {
    /// Adds the input of the next task of a block.
    pub(crate) fn add(&mut self, connection: &Connection, key: TaskKey, input: Option<&str>) -> Result<()> {
        let Some(input) = input else { return self.finish(connection) };
        if self.count > 0 && self.json.len() + input.len() > INPUT_BYTES {
            self.finish(connection)?;
        }
        if self.count == 0 {
            self.first = key;
        }
        self.json.push(if self.count == 0 { '[' } else { ',' });
        self.json.push_str(input);
        self.count += 1;
        Ok(())
    }

    /// Stores the inputs that are not stored yet.
    pub(crate) fn finish(&mut self, connection: &Connection) -> Result<()> {
        if self.count > 0 {
            self.json.push(']');
            connection.run(INSERT_INPUTS, params![self.first.row(), self.count, self.json])?;
            (self.count, self.json) = (0, String::new());
        }
        Ok(())
    }
}

const INSERT_RUN: &str = "INSERT INTO conductor_runs (id, state, created_at, updated_at, sealed, fanout, children, \
    open_children, failed_children, cancelled_children, pending, running, succeeded, failed, cancelled, policy, \
    join_open, deadline, key) VALUES (?1, ?2, ?3, ?3, ?4, ?5, 0, 0, 0, 0, 0, 0, 0, 0, 0, ?6, ?7, ?8, ?9)";

const INSERT_JOIN: &str = "INSERT INTO conductor_joins (run, parent, id, kind, max_retries, backoff, timeout_ms) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// Inserts nothing if another block has one of the ids or positions: the constraints find a block that begins at the same one
/// only. Of the blocks before the end of the new one, only the nearest can overlap it. A SELECT would need a temporary table,
/// because it reads the table that it inserts into; a prefix without a value breaks a constraint.
const INSERT_BLOCK: &str = "INSERT OR IGNORE INTO conductor_blocks (block, prefix, low, count, run, parent, child_index, \
    is_parent, kind, priority, max_retries, timeout_ms, created_at, has_inputs, backoff, names) \
    VALUES (?1, CASE WHEN coalesce((SELECT low + count FROM conductor_blocks WHERE prefix = ?2 AND low < ?3 + ?4 \
            ORDER BY low DESC LIMIT 1), 0) <= ?3 \
        AND coalesce((SELECT child_index + count FROM conductor_blocks WHERE run = ?5 AND parent = ?6 \
            AND child_index < ?7 + ?4 ORDER BY child_index DESC LIMIT 1), 0) <= ?7 THEN ?2 END, \
        ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";

const INSERT_PARENT: &str = "INSERT INTO conductor_parents (task, run, state, updated_at, due_at, sealed, fanout, \
    children, open_children, failed_children, cancelled_children, policy, join_open) \
    VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, ?, ?)";

const INSERT_INPUTS: &str = "INSERT INTO conductor_inputs (task, count, inputs) VALUES (?1, ?2, ?3)";

const INSERT_SUBMISSION: &str = "INSERT INTO conductor_submissions \
    (run, meta, idempotency_key, payload_version, payload_hash) VALUES (?1, ?2, ?3, ?4, ?5)";
