//! Tasks, as readers see them.

use super::leaf_states::{self, LeafState};
use super::runs::join;
use crate::backend::{
    OffsetSet, ParentInput, ParentKey, Rows, RunKey, TaskKey, TaskRecord, TaskRecords, TasksWanted,
};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block::{self, BlockRow};
use crate::sqlite::rows::columns;
use crate::sqlite::rows::columns::bad_row;
use crate::sqlite::rows::inputs;
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::nodes;
use crate::sqlite::rows::parents::run_id;
use crate::sqlite::rows::range_rows::is_range;
use crate::sqlite::rows::texts::{LeafStatements, LeafTexts};
use conductor_model::{
    Backoff, ErrorText, Json, Kind, MaxRetries, RunId, State, Task, TaskId, TaskName, Timestamp,
};
use rusqlite::{Connection, Row};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// What the tasks of a block have in common for readers.
pub(crate) struct BlockDetail {
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
    /// Reads what the tasks of a block have in common; `None` if the run does not exist.
    pub(crate) fn read(connection: &Connection, block: &BlockRow) -> Result<Option<Self>> {
        connection.first(BLOCK_DETAIL, [block.number], Self::of_row)
    }

    fn of_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let parent_prefix = row.get_ref(6)?.as_str_or_null()?;
        let parent = parent_prefix.map(|prefix| block::base_id(prefix, row.get(7)?, 6)).transpose()?;
        Ok(Self {
            run: run_id(row, 0)?,
            parent: parent.map(TaskId::from_u128),
            parent_name: names(row, 8)?.and_then(|names| names.into_iter().next()),
            names: names(row, 1)?,
            kind: columns::text::<Kind>(row, 2)?.ok_or_else(|| columns::unreadable(2, "it has no kind"))?,
            created_at: columns::timestamp(row, 3)?,
            max_retries: columns::max_retries(row, 4)?,
            backoff: columns::backoff(row, 5)?,
        })
    }

    /// The name of a task: its own, or that of the parent with the index.
    pub(crate) fn name(&self, block: &BlockRow, offset: u16) -> Result<TaskName> {
        let own = self.names.as_ref().and_then(|names| names.get(usize::from(offset))).cloned();
        let derived = || self.parent_name.as_ref().map(|name| name.child(block.index(offset)));
        own.or_else(derived).ok_or_else(|| bad_row("block", block.number, "a task has no name"))
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
    let mut page = TaskPage {
        rows: Rows { items: Vec::new(), more: false },
        remaining: limit,
        bytes: max_bytes,
        state: None,
    };
    match wanted {
        TasksWanted::Id(id) => {
            if let Some((block, offset)) = block::by_id(connection, id)? {
                page.add(connection, &block, &OffsetSet::one(offset))?;
            }
        }
        TasksWanted::Children { parent, after } => {
            nodes::children(connection, parent, after, u32::MAX, |block, set| {
                page.add(connection, &block::readable(block.clone())?, set)?;
                Ok(if page.rows.more { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        }
        TasksWanted::OfRun { run, after, state } => {
            page.state = state;
            page.add_of_run(connection, run, after)?;
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
    fn add_of_run(
        &mut self,
        connection: &Connection,
        run: RunKey,
        after: Option<(Option<TaskKey>, u32)>,
    ) -> Result<()> {
        // The join of a run is a root task with index 0.
        let mut position =
            after.map_or((0, 0), |(parent, index)| (parent.map_or(0, TaskKey::row), index.saturating_add(1)));
        while !self.rows.more {
            let blocks =
                nodes::from(connection, (run.row(), position.0, position.1), u32::from(OffsetSet::MAX))?;
            let before = position;
            let first = (Some(TaskKey::of_row(position.0)).filter(|_| position.0 != 0), position.1);
            for block in blocks {
                let set = nodes::behind(&block, first);
                let block = block::readable(block)?;
                self.add(connection, &block, &set)?;
                position = (block.parent().task.map_or(0, TaskKey::row), block.index(block.count - 1) + 1);
            }
            // There are no more, or another program damaged the count of a block.
            if position <= before {
                break;
            }
        }
        Ok(())
    }

    /// Adds tasks of a block.
    fn add(&mut self, connection: &Connection, block: &BlockRow, offsets: &OffsetSet) -> Result<()> {
        if self.rows.more || offsets.is_empty() {
            return Ok(());
        }
        if self.remaining == 0 || self.bytes == 0 {
            self.rows.more = self.state.is_none() || self.has_state(connection, block, offsets)?;
            return Ok(());
        }
        let Some(detail) = BlockDetail::read(connection, block)? else { return Ok(()) };
        if block.is_parent {
            let record = parent_record(connection, block, &detail)?;
            self.push(record);
            return Ok(());
        }
        // One more than the page takes, to know whether there are more.
        let most = if self.state.is_none() { self.remaining.saturating_add(1) } else { u32::MAX };
        let mut states = leaf_states::of(connection, block.number, &offsets.smallest(most))?;
        states.retain(|leaf| self.state.is_none_or(|wanted| wanted == leaf.status.state));
        self.add_leaves(connection, (block, &detail), &states)
    }

    fn add_leaves(
        &mut self,
        connection: &Connection,
        common: (&BlockRow, &BlockDetail),
        states: &[LeafState],
    ) -> Result<()> {
        let (block, _) = common;
        let shown: OffsetSet = states.iter().take(self.remaining as usize).map(|leaf| leaf.offset).collect();
        let Some(keys) = block.keys(&shown) else { return Ok(()) };
        let inputs =
            if block.has_inputs { inputs::of_block(connection, block.number, &shown)? } else { Vec::new() };
        let mut statements = LeafStatements::new(connection)?;
        let mut texts = statements.read(keys)?;
        for (leaf, input) in states.iter().zip(inputs.into_iter().chain(std::iter::repeat(None))) {
            if self.remaining == 0 || self.bytes == 0 {
                self.rows.more = true;
                return Ok(());
            }
            let record = leaf_record(&mut texts, common, leaf, input)?;
            self.push(record);
        }
        Ok(())
    }

    fn has_state(&self, connection: &Connection, block: &BlockRow, offsets: &OffsetSet) -> Result<bool> {
        let is_wanted = |state| self.state.is_none_or(|wanted| wanted == state);
        if block.is_parent {
            let state =
                connection.first(PARENT_STATE, [block.block.base.row()], |row| columns::state(row, 0))?;
            return Ok(state.is_some_and(is_wanted));
        }
        Ok(leaf_states::of(connection, block.number, offsets)?
            .iter()
            .any(|leaf| is_wanted(leaf.status.state)))
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
    texts: &mut LeafTexts<'_>,
    (block, detail): (&BlockRow, &BlockDetail),
    leaf: &LeafState,
    input: Option<inputs::ReadInput>,
) -> Result<TaskRecord> {
    let LeafState { offset, status, lease_until, updated_at, .. } = *leaf;
    let key = block.block.base.plus(offset);
    let output = texts.output(key.row(), !is_range(&status))?;
    let mut task = blank(block, detail, offset)?;
    task.input = inputs::readable(key, input)?;
    task.state = status.state;
    task.updated_at = updated_at;
    task.due_at = status.due_at;
    task.output = json(block, output)?;
    task.retry_count = status.retry_count;
    task.attempt = status.attempt;
    task.lease_until = lease_until;
    task.last_error = texts.error(key.row())?.map(ErrorText::from);
    Ok(TaskRecord { task, position: block.block.position })
}

/// A task with what its block says of it.
fn blank(block: &BlockRow, detail: &BlockDetail, offset: u16) -> Result<Task> {
    Ok(Task {
        id: block.id(offset),
        run: detail.run,
        parent: detail.parent,
        index: block.index(offset),
        name: detail.name(block, offset)?,
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

fn parent_record(connection: &Connection, block: &BlockRow, detail: &BlockDetail) -> Result<TaskRecord> {
    let key = block.block.base;
    let mut task = blank(block, detail, 0)?;
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
    Ok(TaskRecord { task, position: block.block.position })
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
const BLOCK_DETAIL: &str = "SELECT r.id, b.names, k.name, b.created_at, b.max_retries, b.backoff, p.prefix, p.low, p.names \
    FROM conductor_blocks b JOIN conductor_runs r ON r.key = b.run JOIN conductor_kinds k ON k.key = b.kind \
    LEFT JOIN conductor_blocks p ON p.block = b.parent / 1024 AND b.parent <> 0 WHERE b.block = ?1";

const PARENT_STATE: &str = "SELECT state FROM conductor_parents WHERE task = ?1";

const PARENT_RECORD: &str = "SELECT t.state, t.updated_at, t.due_at, t.sealed, t.fanout, t.children, t.open_children, \
    t.failed_children, t.cancelled_children, t.policy, t.cancel_cause, j.id, k.name, t.output, coalesce(t.retry_count, 0) \
    FROM conductor_parents t \
    LEFT JOIN conductor_joins j ON t.join_open IS NOT NULL AND j.run = t.run AND j.parent = t.task \
    LEFT JOIN conductor_kinds k ON k.key = j.kind WHERE t.task = ?1";
