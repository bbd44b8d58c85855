//! Copies the rows of the TypeScript version into the tables.
//!
//! Blocks are numbered in the order of the ids of their tasks, so that the keys of tasks follow the order of ids.

use super::rows::{self, TaskTexts};
use crate::backend::{Block, LeafStatus, OffsetSet, ParentKey, Position, RunKey, TaskKey, continues_block};
use crate::ops::import::{DecidedTask, ImportPlan};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block::{self, BlockRow};
use crate::sqlite::rows::events;
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::parents::write_error;
use crate::sqlite::rows::range_rows::{BlockRanges, Condition, is_range};
use crate::sqlite::writes::insert::{InputChunk, insert_block};
use crate::sqlite::writes::leaves::{insert_ended_leaf, insert_output, is_short};
use crate::{Clock, SystemClock};
use conductor_model::{Backoff, ChildCounts, Json, Timestamp};
use rusqlite::{Connection, params};

/// Writes the rows, the old events in their order, and the first event of each row.
pub(super) fn copy(tx: &Connection, plan: &ImportPlan) -> Result<()> {
    let now = SystemClock.now();
    rows::copy_runs(tx, plan, now)?;
    let kinds = rows::insert_kinds(tx, plan)?;
    let copy = Copy { tx, plan, keys: keys(plan, &kinds), kinds, now };
    let mut open = None;
    rows::each_task(tx, plan, |task, texts| copy.task(&mut open, task, texts))?;
    open.map_or(Ok(()), |block: OpenBlock| block.finish(tx))?;
    rows::each_event(tx, plan, now, |event| {
        let task = event.task.map(|task| copy.keys[task]);
        events::record(tx, run_key(event.run), task, event.at, &event.body)
    })
}

fn run_key(position: usize) -> RunKey {
    RunKey::of_row(rows::run_key(position))
}

/// The key of each task. Neighbors that can share a block have consecutive keys, and any other task begins a block.
fn keys(plan: &ImportPlan, kinds: &[i64]) -> Vec<TaskKey> {
    let mut keys: Vec<TaskKey> = Vec::with_capacity(kinds.len());
    for task in 0..kinds.len() {
        keys.push(match keys.last() {
            Some(last) if share_block(plan, kinds, task - 1) => last.plus(1),
            Some(last) => block::task_key(block::place(*last).0 + 1, 0),
            None => block::task_key(1, 0),
        });
    }
    keys
}

/// Whether a task and the next one can share a block. The ids of a block differ in their last ten bits only, so that it has
/// at most 1,024 tasks.
fn share_block(plan: &ImportPlan, kinds: &[i64], task: usize) -> bool {
    let next = task + 1;
    let [left, right] = [task, next].map(|task| &plan.rows.tasks[task]);
    let are_leaves = [task, next].iter().all(|task| plan.decisions.tasks[*task].counts.is_none());
    are_leaves
        && (left.run, left.parent) == (right.run, right.parent)
        && (left.max_retries, left.created_at) == (right.max_retries, right.created_at)
        && kinds[task] == kinds[next]
        && plan.tree.index[task] + 1 == plan.tree.index[next]
        && left.id.as_u128() + 1 == right.id.as_u128()
        && continues_block(right.id)
        && plan.stored_name(task).is_some() == plan.stored_name(next).is_some()
}

/// A block whose row is inserted, and whose tasks follow.
struct OpenBlock {
    ranges: BlockRanges,
    inputs: InputChunk,
}

impl OpenBlock {
    fn finish(mut self, tx: &Connection) -> Result<()> {
        self.inputs.finish(tx)?;
        self.ranges.save(tx)
    }
}

struct Copy<'a> {
    tx: &'a Connection,
    plan: &'a ImportPlan,
    kinds: Vec<i64>,
    keys: Vec<TaskKey>,
    now: Timestamp,
}

impl Copy<'_> {
    /// Copies a task. `open` is the block of the task before it.
    fn task(&self, open: &mut Option<OpenBlock>, task: usize, texts: &TaskTexts) -> Result<()> {
        let key = self.keys[task];
        let (_, offset) = block::place(key);
        let mut block = match open.take() {
            Some(block) if offset > 0 => block,
            last => {
                last.map_or(Ok(()), |block| block.finish(self.tx))?;
                self.begin_block(task)?
            }
        };
        match self.plan.decisions.tasks[task].counts {
            Some(counts) => self.insert_parent(task, counts, texts)?,
            None => self.insert_leaf(&mut block, task, texts)?,
        }
        if let Some(error) = &texts.last_error {
            write_error(self.tx, key.row(), Some(error))?;
        }
        let input = self.plan.stored_input(task, texts.input.as_ref().map(Json::as_str));
        block.inputs.add(self.tx, key, input)?;
        *open = Some(block);
        Ok(())
    }

    /// Inserts the block that begins with a task.
    fn begin_block(&self, task: usize) -> Result<OpenBlock> {
        let imported = &self.plan.rows.tasks[task];
        let key = self.keys[task];
        let (number, _) = block::place(key);
        let of_block = self.keys[task..].iter().take_while(|key| block::place(**key).0 == number);
        let tasks = task..task + of_block.count();
        let task_above = imported.parent.map(|parent| self.keys[parent]);
        let parent = ParentKey { run: run_key(imported.run), task: task_above };
        let row = BlockRow {
            number,
            count: u16::try_from(tasks.len()).unwrap_or(u16::MAX),
            is_parent: self.plan.decisions.tasks[task].counts.is_some(),
            kind: self.kinds[task],
            priority: 0,
            // They are read later.
            has_inputs: true,
            block: Block {
                base: key,
                base_id: imported.id.as_u128(),
                base_index: self.plan.tree.index[task],
                position: Position { parent, is_join: false },
                max_retries: imported.max_retries,
                backoff: Backoff::NONE,
                timeout_ms: None,
            },
        };
        let names: Vec<&str> = tasks.filter_map(|task| self.plan.stored_name(task)).collect();
        insert_block(self.tx, &row, &names, imported.created_at)?;
        Ok(OpenBlock { ranges: BlockRanges::new(number), inputs: InputChunk::default() })
    }

    /// When a task last changed.
    fn updated_at(&self, task: usize) -> Timestamp {
        if self.plan.decisions.tasks[task].is_changed {
            self.now
        } else {
            self.plan.rows.tasks[task].updated_at
        }
    }

    fn insert_parent(&self, task: usize, counts: ChildCounts, texts: &TaskTexts) -> Result<()> {
        let ChildCounts { total, created, open, failed, cancelled } = counts;
        let imported = &self.plan.rows.tasks[task];
        self.tx.run(
            INSERT_PARENT,
            params![
                self.keys[task].row(),
                run_key(imported.run).row(),
                self.plan.decisions.tasks[task].state.code(),
                self.updated_at(task).as_millis(),
                total,
                created,
                open,
                failed,
                cancelled,
                texts.output.as_ref().map(Json::as_str),
                Some(imported.retry_count).filter(|count| *count > 0),
            ],
        )?;
        Ok(())
    }

    fn insert_leaf(&self, block: &mut OpenBlock, task: usize, texts: &TaskTexts) -> Result<()> {
        let key = self.keys[task];
        let DecidedTask { state, retry_due, attempt, .. } = self.plan.decisions.tasks[task];
        let retry_count = self.plan.rows.tasks[task].retry_count;
        let due_at = retry_due.then_some(self.now);
        let status =
            LeafStatus { state, due_at, attempt, retry_count, lease_losses: None, is_claimed: false };
        let output = texts.output.as_ref().map(Json::as_str);
        let since = self.updated_at(task);
        let short = output.filter(|output| !is_range(&status) && is_short(output));
        if is_range(&status) {
            let condition = Condition { status, engine: None, lease_until: None, since };
            let (_, offset) = block::place(key);
            block.ranges.add(self.tx, OffsetSet::one(offset), condition)?;
        } else {
            insert_ended_leaf(self.tx, &status, (key.row(), short), since)?;
        }
        match output.filter(|_| short.is_none()) {
            Some(output) => insert_output(self.tx, key.row(), output),
            None => Ok(()),
        }
    }
}

const INSERT_PARENT: &str = "INSERT INTO conductor_parents (task, run, state, updated_at, sealed, fanout, children, \
    open_children, failed_children, cancelled_children, output, retry_count) \
    VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
