//! Tasks, as readers see them.

use super::leaf_states::{self, LeafState};
use super::runs::join;
use crate::backend::{
    OffsetSet, ParentInput, ParentKey, Rows, TaskKey, TaskRecord, TaskRecords, TasksWanted,
};
use crate::sqlite::connection::sql::{Result, Sql, break_if};
use crate::sqlite::rows::block::{self, BlockRow, ReadBlock, block_columns};
use crate::sqlite::rows::columns;
use crate::sqlite::rows::columns::bad_row;
use crate::sqlite::rows::inputs;
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::nodes;
use crate::sqlite::rows::parents::run_id;
use crate::sqlite::rows::texts::{ERRORS, LONG_OUTPUTS, Texts};
use conductor_model::{
    Backoff, ErrorText, Json, Kind, MaxRetries, RunId, State, Task, TaskId, TaskName, Timestamp,
};
use rusqlite::{Connection, Row};
use std::collections::BTreeSet;

/// What the tasks of a block have in common for readers.
pub(crate) struct BlockDetail {
    pub(crate) block: BlockRow,
    run: RunId,
    parent: Option<TaskId>,
    parent_name: Option<TaskName>,
    names: Option<Vec<TaskName>>,
    pub(crate) kind: Kind,
    pub(crate) created_at: Timestamp,
    max_retries: MaxRetries,
    backoff: Backoff,
}

impl BlockDetail {
    /// Reads a block; `None` if another program damaged it, or the run does not exist.
    pub(crate) fn read(connection: &Connection, block: i64) -> Result<Option<Self>> {
        Ok(connection.first(BLOCK_DETAIL, [block], Self::of_row)?.flatten())
    }

    fn of_row(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let Ok(block) = block::read(row, 9)? else { return Ok(None) };
        let parent_prefix = row.get_ref(6)?.as_str_or_null()?;
        let parent = parent_prefix.map(|prefix| block::base_id(prefix, row.get(7)?, 6)).transpose()?;
        Ok(Some(Self {
            block,
            run: run_id(row, 0)?,
            parent: parent.map(TaskId::from_u128),
            parent_name: names(row, 8)?.and_then(|names| names.into_iter().next()),
            names: names(row, 1)?,
            kind: columns::text::<Kind>(row, 2)?.ok_or_else(|| columns::unreadable(2, "it has no kind"))?,
            created_at: columns::timestamp(row, 3)?,
            max_retries: columns::max_retries(row, 4)?,
            backoff: columns::backoff(row, 5)?,
        }))
    }

    /// The name of a task: its own, or that of the parent with the index.
    pub(crate) fn name(&self, offset: u16) -> Result<TaskName> {
        let own = self.names.as_ref().and_then(|names| names.get(usize::from(offset))).cloned();
        let derived = || self.parent_name.as_ref().map(|name| name.child(self.block.index(offset)));
        own.or_else(derived).ok_or_else(|| bad_row("block", self.block.number, "a task has no name"))
    }
}

fn names(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Vec<TaskName>>> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    let read = |json| serde_json::from_str(json).map_err(|error| columns::unreadable(column, error));
    text.map(read).transpose()
}

/// See [`ReadTx::tasks`](crate::backend::ReadTx::tasks).
pub(crate) fn tasks(
    connection: &Connection,
    wanted: TasksWanted,
    limit: u32,
    max_bytes: usize,
) -> Result<TaskRecords> {
    let state = if let TasksWanted::OfRun { state, .. } = wanted { state } else { None };
    let rows = Rows { items: Vec::new(), more: false };
    let mut page = TaskPage { rows, remaining: limit, bytes: max_bytes, state };
    let visit = |block: &ReadBlock, set: &OffsetSet| {
        page.add(connection, &block::readable(block.clone())?, set)?;
        Ok(break_if(page.rows.more))
    };
    match wanted {
        TasksWanted::Id(id) => {
            if let Some((block, offset)) = block::by_id(connection, id)? {
                page.add(connection, &block, &OffsetSet::one(offset))?;
            }
        }
        TasksWanted::Children { parent, after } => {
            nodes::children(connection, parent, after, u32::MAX, visit)?;
        }
        TasksWanted::OfRun { run, after, .. } => {
            // The join of a run is a root task with index 0.
            let from = after.map_or((None, 0), |(parent, index)| (parent, index.saturating_add(1)));
            nodes::from(connection, run, from, u32::MAX, visit)?;
        }
    }
    let parent_inputs = parent_inputs(connection, &page.rows.items)?;
    Ok(TaskRecords { rows: page.rows, parent_inputs })
}

/// The first tasks, up to a number and a number of bytes.
struct TaskPage {
    rows: Rows<TaskRecord>,
    remaining: u32,
    bytes: usize,
    state: Option<State>,
}

impl TaskPage {
    /// Adds tasks of a block.
    fn add(&mut self, connection: &Connection, block: &BlockRow, offsets: &OffsetSet) -> Result<()> {
        if self.remaining == 0 || self.bytes == 0 {
            self.rows.more = self.state.is_none() || self.has_state(connection, block, offsets)?;
            return Ok(());
        }
        let Some(detail) = BlockDetail::read(connection, block.number)? else { return Ok(()) };
        if block.is_parent {
            self.push(parent_record(connection, &detail)?);
            return Ok(());
        }
        // One more than the page takes, to know whether there are more.
        let most = if self.state.is_none() { self.remaining.saturating_add(1) } else { u32::MAX };
        let states = leaf_states::of(connection, block.number, &offsets.smallest(most), self.state)?;
        self.add_leaves(connection, &detail, states)
    }

    fn add_leaves(
        &mut self,
        connection: &Connection,
        detail: &BlockDetail,
        states: Vec<LeafState>,
    ) -> Result<()> {
        let block = &detail.block;
        let shown: OffsetSet = states.iter().take(self.remaining as usize).map(|leaf| leaf.offset).collect();
        let Some(keys) = block.keys(&shown) else { return Ok(()) };
        let inputs =
            if block.has_inputs { inputs::of_block(connection, block.number, &shown)? } else { Vec::new() };
        let (mut outputs, mut errors) = (connection.cached(LONG_OUTPUTS)?, connection.cached(ERRORS)?);
        let mut outputs = Texts::read(&mut outputs, keys)?;
        let mut errors = Texts::read(&mut errors, keys)?;
        for (mut leaf, input) in states.into_iter().zip(inputs.into_iter().chain(std::iter::repeat(None))) {
            if self.remaining == 0 || self.bytes == 0 {
                self.rows.more = true;
                return Ok(());
            }
            let key = block.block.base.plus(leaf.offset).row();
            if leaf.output.is_none() {
                leaf.output = outputs.of(key)?;
            }
            self.push(leaf_record(detail, leaf, input, errors.of(key)?)?);
        }
        Ok(())
    }

    fn has_state(&self, connection: &Connection, block: &BlockRow, offsets: &OffsetSet) -> Result<bool> {
        if block.is_parent {
            let state =
                connection.first(PARENT_STATE, [block.block.base.row()], |row| columns::state(row, 0))?;
            return Ok(state.is_some_and(|state| self.state.is_none_or(|wanted| wanted == state)));
        }
        Ok(!leaf_states::of(connection, block.number, offsets, self.state)?.is_empty())
    }

    fn push(&mut self, record: TaskRecord) {
        if self.state.is_some_and(|state| state != record.task.state) {
            return;
        }
        let size = |json: &Option<Json>| json.as_ref().map_or(0, |json| json.as_str().len());
        self.bytes = self.bytes.saturating_sub(size(&record.task.input) + size(&record.task.output));
        self.remaining -= 1;
        self.rows.items.push(record);
    }
}

fn json(block: &BlockRow, text: Option<String>) -> Result<Option<Json>> {
    let read = |text: String| {
        text.parse::<Json>()
            .map_err(|error| bad_row("block", block.number, &format!("an output of it: {error}")))
    };
    text.map(read).transpose()
}

fn leaf_record(
    detail: &BlockDetail,
    LeafState { offset, condition, output }: LeafState,
    input: Option<inputs::ReadInput>,
    error: Option<String>,
) -> Result<TaskRecord> {
    let (block, status) = (&detail.block, condition.status);
    let mut task = blank(detail, offset)?;
    task.input = inputs::readable(block.block.base.plus(offset), input)?;
    task.state = status.state;
    task.updated_at = condition.since;
    task.due_at = status.due_at;
    task.output = json(block, output)?;
    task.retry_count = status.retry_count;
    task.attempt = status.attempt;
    task.lease_until = condition.lease_until;
    task.last_error = error.map(ErrorText::from);
    Ok(TaskRecord { task, position: block.block.position })
}

/// A task with what its block says of it.
fn blank(detail: &BlockDetail, offset: u16) -> Result<Task> {
    let block = &detail.block;
    Ok(Task {
        id: block.id(offset),
        run: detail.run,
        parent: detail.parent,
        index: block.index(offset),
        name: detail.name(offset)?,
        kind: detail.kind.clone(),
        state: State::Pending,
        created_at: detail.created_at,
        updated_at: detail.created_at,
        due_at: None,
        input: None,
        output: None,
        retry_count: 0,
        max_retries: detail.max_retries,
        backoff: detail.backoff,
        timeout_ms: block.block.timeout_ms,
        priority: i16::try_from(block.priority).unwrap_or_default(),
        attempt: 0,
        lease_until: None,
        last_error: None,
        child_counts: None,
        policy: conductor_model::Policy::default(),
        cancel_cause: None,
        join: None,
    })
}

fn parent_record(connection: &Connection, detail: &BlockDetail) -> Result<TaskRecord> {
    let key = detail.block.block.base;
    let mut task = blank(detail, 0)?;
    task.input = inputs::read(connection, key)?;
    let read = connection.first(PARENT_RECORD, [key.row()], |row| {
        task.state = columns::state(row, 0)?;
        task.updated_at = columns::timestamp(row, 1)?;
        task.due_at = columns::due_at(row, 2)?;
        task.child_counts = Some(columns::child_counts(row, 3)?);
        task.policy = columns::policy(row, 9)?;
        task.cancel_cause = columns::cancel_cause(row, 10)?;
        task.join = join(row, 11)?;
        task.output = columns::text::<Json>(row, 13)?;
        task.retry_count = row.get(14)?;
        Ok(())
    })?;
    if read.is_none() {
        return Err(bad_row("parent", key.row(), "it is missing"));
    }
    task.last_error = leaf_states::last_error(connection, key)?.map(ErrorText::from);
    Ok(TaskRecord { task, position: detail.block.block.position })
}

/// The inputs of the parents of those tasks that have no input of their own. All tasks are of one run.
fn parent_inputs(connection: &Connection, records: &[TaskRecord]) -> Result<Vec<(ParentKey, ParentInput)>> {
    let without = records.iter().filter(|record| record.task.input.is_none());
    let parents: BTreeSet<ParentKey> = without.map(|record| record.position.parent).collect();
    let parents: Vec<_> = parents.into_iter().filter_map(|parent| Some((parent, parent.task?))).collect();
    let read =
        |(parent, task): (ParentKey, TaskKey)| Ok((parent, inputs::of_parent(connection, parent.run, task)?));
    parents.into_iter().map(read).collect()
}

/// The parent of root tasks is 0, which is in no block.
const BLOCK_DETAIL: &str = concat!(
    "SELECT r.id, b.names, k.name, b.created_at, b.max_retries, b.backoff, p.prefix, p.low, p.names, ",
    block_columns!(),
    " FROM conductor_blocks b JOIN conductor_runs r ON r.key = b.run JOIN conductor_kinds k ON k.key = b.kind \
     LEFT JOIN conductor_blocks p ON p.block = b.parent / 1024 AND b.parent <> 0 WHERE b.block = ?1"
);

const PARENT_STATE: &str = "SELECT state FROM conductor_parents WHERE task = ?1";

const PARENT_RECORD: &str = "SELECT t.state, t.updated_at, t.due_at, t.sealed, t.fanout, t.children, t.open_children, \
    t.failed_children, t.cancelled_children, t.policy, t.cancel_cause, j.id, k.name, t.output, coalesce(t.retry_count, 0) \
    FROM conductor_parents t \
    LEFT JOIN conductor_joins j ON t.join_open IS NOT NULL AND j.run = t.run AND j.parent = t.task \
    LEFT JOIN conductor_kinds k ON k.key = j.kind WHERE t.task = ?1";
