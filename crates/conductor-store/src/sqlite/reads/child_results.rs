//! The results of children, by index.

use super::leaf_states::{self, LeafState};
use crate::backend::{ChildResult, ChildResults, ChildResultsWanted, OffsetSet, ParentKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block::{self, BlockRow};
use crate::sqlite::rows::columns;
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::nodes;
use conductor_model::{ErrorText, State};
use rusqlite::Connection;
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
            let key = block.block.base.row();
            let read = connection.first(PARENT_RESULT, [key], |row| {
                Ok((columns::state(row, 0)?, row.get::<_, Option<String>>(1)?))
            })?;
            return match read {
                Some((state, output)) => self.push(connection, block, 0, (state, output)),
                None => Ok(()),
            };
        }
        for LeafState { offset, status, .. } in leaf_states::of(connection, block.number, set)? {
            if self.is_full() {
                break;
            }
            let key = block.block.base.plus(offset);
            let is_wanted = self.wanted.succeeded && status.state == State::Succeeded;
            let output = if is_wanted { leaf_states::output(connection, key)? } else { None };
            self.push(connection, block, offset, (status.state, output))?;
        }
        Ok(())
    }

    fn push(
        &mut self,
        connection: &Connection,
        block: &BlockRow,
        offset: u16,
        (state, output): (State, Option<String>),
    ) -> Result<()> {
        let succeeded = state == State::Succeeded;
        if succeeded != self.wanted.succeeded {
            return Ok(());
        }
        let key = block.block.base.plus(offset);
        let (output, error) = if succeeded {
            (output, None)
        } else {
            (None, leaf_states::last_error(connection, key)?.map(ErrorText::from))
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
        Ok(())
    }
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
