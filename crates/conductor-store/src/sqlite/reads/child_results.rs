//! The results of children, by index.

use super::leaf_states;
use crate::backend::{ChildResult, ChildResults, ChildResultsWanted, OffsetSet, ParentKey};
use crate::sqlite::connection::sql::{Result, Sql, break_if, fault};
use crate::sqlite::rows::block::{self, BlockRow};
use crate::sqlite::rows::columns;
use crate::sqlite::rows::keys::{RowKey, key};
use crate::sqlite::rows::nodes;
use crate::sqlite::rows::texts::{ERRORS, LONG_OUTPUTS, Texts};
use conductor_model::{ErrorText, State};
use rusqlite::{Connection, Row};

/// See [`ReadTx::child_results`](crate::backend::ReadTx::child_results).
pub(crate) fn child_results(connection: &Connection, wanted: &ChildResultsWanted) -> Result<ChildResults> {
    let Some(created) = children_of(connection, wanted.parent)? else { return Ok(ChildResults::default()) };
    let mut page = ResultPage { wanted, results: Vec::new(), bytes: wanted.max_bytes };
    let count = wanted.until.saturating_sub(wanted.after);
    nodes::children(connection, wanted.parent, wanted.after, count, |block, set| {
        let block = block::readable(block.clone())?;
        page.add(connection, &block, &set.and(&block.between(None, wanted.until)))?;
        Ok(break_if(page.is_full()))
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
        if block.is_parent {
            return self.add_parent(connection, block);
        }
        match block.keys(set) {
            None => Ok(()),
            Some(keys) => self.add_leaves(connection, block, set, keys),
        }
    }

    fn add_parent(&mut self, connection: &Connection, block: &BlockRow) -> Result<()> {
        let key = block.block.base;
        let read = connection.first(PARENT_RESULT, [key.row()], |row| {
            Ok((columns::state(row, 0)?, row.get::<_, Option<String>>(1)?))
        })?;
        match read {
            Some((State::Succeeded, output)) if self.wanted.succeeded => {
                self.push(block, 0, State::Succeeded, output);
            }
            Some((state, _)) if !self.wanted.succeeded && state != State::Succeeded => {
                self.push(block, 0, state, leaf_states::last_error(connection, key)?);
            }
            _ => {}
        }
        Ok(())
    }

    fn add_leaves(
        &mut self,
        connection: &Connection,
        block: &BlockRow,
        set: &OffsetSet,
        keys: [i64; 2],
    ) -> Result<()> {
        let (succeeded, left) = (self.wanted.succeeded, self.wanted.limit as usize - self.results.len());
        let (elsewhere, rows) = leaf_states::in_ranges(connection, block.number, set)?;
        let mut leaves = Vec::new();
        for row in rows.iter().filter(|_| !succeeded) {
            leaves.extend(row.set.iter().map(|offset| (offset, row.condition.status.state, None)));
        }
        // Leaves elsewhere may stand before those that have ended.
        let is_in_order = leaves.is_empty();
        connection.each(ENDED, keys, |row| {
            if let Some((offset, state)) = ended_leaf(row, set, &elsewhere)?
                && succeeded == (state == State::Succeeded)
            {
                let output: Option<String> = if succeeded { row.get(2).map_err(fault)? } else { None };
                leaves.push((offset, state, output));
            }
            let is_full = is_in_order && leaves.len() == left;
            Ok(break_if(is_full))
        })?;
        leaves.sort_unstable_by_key(|(offset, ..)| *offset);
        let mut statement = connection.cached(if succeeded { LONG_OUTPUTS } else { ERRORS })?;
        let mut texts = Texts::read(&mut statement, keys)?;
        for (offset, state, output) in leaves {
            if self.is_full() {
                break;
            }
            let key = block.block.base.plus(offset).row();
            let text = output.map_or_else(|| texts.of(key), |output| Ok(Some(output)))?;
            self.push(block, offset, state, text);
        }
        Ok(())
    }

    /// Adds a child with its output, if it succeeded, or else with its last error.
    fn push(&mut self, block: &BlockRow, offset: u16, state: State, text: Option<String>) {
        let (output, error) = match state {
            State::Succeeded => (text, None),
            _ => (None, text.map(ErrorText::from)),
        };
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

/// A row of [`ENDED`], if it is one of these leaves: its offset and its state. Fails for one that is also elsewhere.
fn ended_leaf(row: &Row<'_>, set: &OffsetSet, elsewhere: &OffsetSet) -> Result<Option<(u16, State)>> {
    let key = key(row, 0).map_err(fault)?;
    let (_, offset) = block::place(key);
    if !set.contains(offset) {
        return Ok(None);
    }
    if elsewhere.contains(offset) {
        return Err(leaf_states::in_two_places(key));
    }
    Ok(Some((offset, columns::state(row, 1).map_err(fault)?)))
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
