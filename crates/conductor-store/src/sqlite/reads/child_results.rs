//! The results of children, by index.

use super::leaf_states;
use crate::backend::{ChildResult, ChildResults, ChildResultsWanted, OffsetSet, ParentKey, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql, fault};
use crate::sqlite::rows::block::{self, BlockRow};
use crate::sqlite::rows::columns;
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::nodes;
use crate::sqlite::rows::range_rows::RangeRow;
use crate::sqlite::rows::texts::{ERRORS, LONG_OUTPUTS, Texts};
use conductor_model::{ErrorText, State};
use rusqlite::{Connection, Row};
use std::ops::ControlFlow;

/// See [`ReadTx::child_results`](crate::backend::ReadTx::child_results).
pub(crate) fn child_results(connection: &Connection, wanted: &ChildResultsWanted) -> Result<ChildResults> {
    let Some(created) = children_of(connection, wanted.parent)? else { return Ok(ChildResults::default()) };
    let mut page = ResultPage { wanted, results: Vec::new(), bytes: wanted.max_bytes };
    let count = wanted.until.saturating_sub(wanted.after);
    nodes::children(connection, wanted.parent, wanted.after, count, |block, set| {
        let block = block::readable(block.clone())?;
        page.add(connection, &block, &set.and(&block.between(None, wanted.until)))?;
        Ok(if page.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(ChildResults { created, results: page.results })
}

struct ResultPage<'a> {
    wanted: &'a ChildResultsWanted,
    results: Vec<ChildResult>,
    bytes: usize,
}

impl ResultPage<'_> {
    fn is_full(&self) -> bool {
        self.results.len() >= self.wanted.limit as usize || self.bytes == 0
    }

    fn add(&mut self, connection: &Connection, block: &BlockRow, set: &OffsetSet) -> Result<()> {
        if self.is_full() {
            return Ok(());
        }
        if block.is_parent {
            return self.add_parent(connection, block);
        }
        match block.keys(set) {
            None => Ok(()),
            Some(keys) if self.wanted.succeeded => self.add_outputs(connection, block, set, keys),
            Some(keys) => self.add_failures(connection, block, set, keys),
        }
    }

    fn add_parent(&mut self, connection: &Connection, block: &BlockRow) -> Result<()> {
        let key = block.block.base;
        let read = connection.first(PARENT_RESULT, [key.row()], |row| {
            Ok((columns::state(row, 0)?, row.get::<_, Option<String>>(1)?))
        })?;
        match read {
            Some((State::Succeeded, output)) if self.wanted.succeeded => {
                self.push(block, 0, State::Succeeded, output, None);
            }
            Some((state, _)) if !self.wanted.succeeded && state != State::Succeeded => {
                self.push(block, 0, state, None, leaf_states::last_error(connection, key)?);
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds the leaves that succeeded. It reads no output behind the last that the page has.
    fn add_outputs(
        &mut self,
        connection: &Connection,
        block: &BlockRow,
        set: &OffsetSet,
        keys: [i64; 2],
    ) -> Result<()> {
        let (elsewhere, _) = leaf_states::in_ranges(connection, block.number, set)?;
        let mut statement = connection.cached(ENDED)?;
        let mut ended = statement.query(keys).map_err(fault)?;
        let mut statement = connection.cached(LONG_OUTPUTS)?;
        let mut outputs = Texts::read(&mut statement, keys)?;
        while !self.is_full()
            && let Some(row) = ended.next().map_err(fault)?
        {
            if let Some((key, offset, State::Succeeded)) = ended_leaf(row, set, &elsewhere)? {
                let short: Option<String> = row.get(2).map_err(fault)?;
                let output = short.map_or_else(|| outputs.of(key), |output| Ok(Some(output)))?;
                self.push(block, offset, State::Succeeded, output, None);
            }
        }
        Ok(())
    }

    /// Adds the leaves in any other state.
    fn add_failures(
        &mut self,
        connection: &Connection,
        block: &BlockRow,
        set: &OffsetSet,
        keys: [i64; 2],
    ) -> Result<()> {
        let (elsewhere, rows) = leaf_states::in_ranges(connection, block.number, set)?;
        let state = |row: &RangeRow| row.condition.status.state;
        let mut leaves: Vec<(u16, State)> =
            rows.iter().flat_map(|row| row.set.iter().map(move |offset| (offset, state(row)))).collect();
        let mut statement = connection.cached(ENDED)?;
        let mut ended = statement.query(keys).map_err(fault)?;
        let left = self.wanted.limit as usize - self.results.len();
        // Leaves elsewhere may stand before those that have ended.
        while (leaves.len() < left || !elsewhere.is_empty())
            && let Some(row) = ended.next().map_err(fault)?
        {
            if let Some((_, offset, state)) = ended_leaf(row, set, &elsewhere)?
                && state != State::Succeeded
            {
                leaves.push((offset, state));
            }
        }
        leaves.sort_unstable_by_key(|(offset, _)| *offset);
        let mut statement = connection.cached(ERRORS)?;
        let mut errors = Texts::read(&mut statement, keys)?;
        for (offset, state) in leaves {
            if self.is_full() {
                break;
            }
            let error = errors.of(block.block.base.plus(offset).row())?;
            self.push(block, offset, state, None, error);
        }
        Ok(())
    }

    fn push(
        &mut self,
        block: &BlockRow,
        offset: u16,
        state: State,
        output: Option<String>,
        error: Option<String>,
    ) {
        let error = error.map(ErrorText::from);
        let size =
            output.as_ref().map_or(0, String::len) + error.as_ref().map_or(0, |error| error.as_str().len());
        self.bytes = self.bytes.saturating_sub(size);
        self.results.push(ChildResult {
            index: block.index(offset),
            id: block.id(offset),
            state,
            output,
            error,
        });
    }
}

/// A row of [`ENDED`], if it is one of these leaves: its key, its offset and its state. Fails for one that is also elsewhere.
fn ended_leaf(row: &Row<'_>, set: &OffsetSet, elsewhere: &OffsetSet) -> Result<Option<(i64, u16, State)>> {
    let key = row.get(0).map_err(fault)?;
    let (_, offset) = block::place(TaskKey::of_row(key));
    if !set.contains(offset) {
        return Ok(None);
    }
    if elsewhere.contains(offset) {
        return Err(leaf_states::in_two_places(TaskKey::of_row(key)));
    }
    Ok(Some((key, offset, columns::state(row, 1).map_err(fault)?)))
}

/// How many children there are; 0 for a leaf.
fn children_of(connection: &Connection, parent: ParentKey) -> Result<Option<u32>> {
    match parent.task {
        None => {
            let sql = "SELECT children FROM conductor_runs WHERE key = ?1";
            connection.first(sql, [parent.run.row()], |row| row.get(0))
        }
        Some(task) => {
            let sql = "SELECT children FROM conductor_parents WHERE task = ?1";
            Ok(Some(connection.first(sql, [task.row()], |row| row.get(0))?.unwrap_or(0)))
        }
    }
}

const PARENT_RESULT: &str = "SELECT state, output FROM conductor_parents WHERE task = ?1";

const ENDED: &str =
    "SELECT task, state, output FROM conductor_ended WHERE task BETWEEN ?1 AND ?2 ORDER BY task";
