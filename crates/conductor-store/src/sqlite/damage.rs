//! Rows that another program made unreadable: what is decided of them, so that they stop no step.
//!
//! A task is carried through its states by its own row. What is counted of it elsewhere is counted where that can be read,
//! and nowhere else. A parent or a run whose numbers cannot be read fails, once, in the transaction that met it.

use super::event_log;
use super::rows::bad_row;
use super::sql::Sql;
use super::task_row::TaskRow;
use super::transit::Brings;
use super::write::Write;
use crate::StoreError;
use conductor_model::{AttemptFailure, Jitter, NodeType, Signal, State};
use rusqlite::params;
use std::collections::{BTreeMap, BTreeSet};

/// The greatest attempt and number of retries that the table takes: only another program writes it.
pub(super) const MAX_COUNT: u32 = 2_000_000_000;

/// The parents and runs that a transaction met and could not read.
#[derive(Debug, Default)]
pub(super) struct Damaged {
    /// By row key: what is wrong.
    parents: BTreeMap<i64, String>,
    runs: BTreeSet<i64>,
}

impl Damaged {
    /// A run's row as it was read.
    pub(super) fn note_run<T>(
        &mut self,
        key: i64,
        row: Result<Option<T>, StoreError>,
    ) -> Result<T, StoreError> {
        let row = found("run", key, row, "its row is missing");
        if matches!(row, Err(StoreError::CorruptRow { .. })) {
            self.runs.insert(key);
        }
        row
    }

    /// A parent's row as it was read.
    pub(super) fn note_parent<T>(
        &mut self,
        key: i64,
        row: Result<Option<T>, StoreError>,
    ) -> Result<T, StoreError> {
        let row = found("task", key, row, "it is not a parent");
        if let Err(StoreError::CorruptRow { reason: why, .. }) = &row {
            self.parents.insert(key, format!("its numbers were changed: {why}"));
        }
        row
    }

    /// The join of a parent, or of a run (`parent` 0), cannot come into being.
    pub(super) fn note_join(&mut self, run: i64, parent: i64, why: &str) {
        match parent {
            0 => drop(self.runs.insert(run)),
            parent => drop(self.parents.insert(parent, format!("its join was changed: {why}"))),
        }
    }
}

fn found<T>(
    what: &str,
    key: i64,
    row: Result<Option<T>, StoreError>,
    missing: &str,
) -> Result<T, StoreError> {
    match row {
        Ok(row) => row.ok_or_else(|| bad_row(what, key, missing)),
        Err(StoreError::CorruptRow { reason: why, .. }) => Err(bad_row(what, key, &why)),
        Err(fault) => Err(fault),
    }
}

/// What was read; nothing if it cannot be read.
pub(super) fn readable<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(StoreError::CorruptRow { .. }) => Ok(None),
        Err(fault) => Err(fault),
    }
}

impl Write<'_> {
    /// A task that a step found; `None` if its own row cannot be read, and then it is found no more.
    pub(super) fn found(&mut self, key: i64) -> Result<Option<TaskRow>, StoreError> {
        match TaskRow::by_key(self.tx(), key) {
            Ok(task) => Ok(Some(task)),
            Err(StoreError::CorruptRow { reason: why, .. }) => self.set_aside(key, &why).map(|()| None),
            Err(fault) => Err(fault),
        }
    }

    /// Fails a task whose own row cannot be read. It writes the state only, because the counts to change are unknown.
    pub(super) fn set_aside(&mut self, key: i64, why: &str) -> Result<(), StoreError> {
        let why = format!("its row was changed: {why}");
        self.tx().run(SET_ASIDE, params![key, self.now.as_millis(), why]).map(drop)
    }

    /// Fails a task permanently, by legal transitions.
    pub(super) fn fail_damaged(&mut self, task: &mut TaskRow, why: String) -> Result<(), StoreError> {
        let key = task.key;
        if task.state == State::Pending {
            let started = self.transit(task, Signal::Start, Brings::default());
            started.map_err(|error| error.in_step(key))?;
        }
        // A permanent failure has no retry, and so no random delay.
        self.fail_in_step(task, &AttemptFailure::fatal(why), Jitter(0))
    }

    /// Before the commit: fails the parents and runs that this transaction could not read, so that no caller waits for them.
    pub(super) fn fail_what_is_damaged(&mut self) -> Result<(), StoreError> {
        // A parent that fails is counted in its own, which may be the next one.
        while let Some((key, why)) = self.ledger.damaged.parents.pop_first() {
            if let Some(mut parent) = readable(TaskRow::by_key(self.tx(), key))?
                && !parent.state.is_terminal()
            {
                self.fail_damaged(&mut parent, why)?;
            }
        }
        for key in std::mem::take(&mut self.ledger.damaged.runs) {
            if let Some(state) = self.ledger.known_state(key) {
                // The run itself can be read: it is something else that it needs and that is gone.
                self.fail_run(key, state)?;
            } else if self.tx().run(FAIL_RUN, [key, self.now.as_millis()])? > 0 {
                event_log::record_transition(self.tx(), key, None, self.now, (NodeType::Run, Signal::Fail))?;
            }
        }
        Ok(())
    }

    /// Fails a run by the way that the state machine knows, unless it has ended.
    fn fail_run(&mut self, key: i64, state: State) -> Result<(), StoreError> {
        let (tx, ledger, now) = self.parts();
        if state == State::Pending {
            ledger.transit_run(tx, key, Signal::Start, now)?;
        }
        if !state.is_terminal() {
            ledger.transit_run(tx, key, Signal::Fail, now)?;
        }
        Ok(())
    }
}

/// SQLite checks the constraints of what is written here, and not of what was there.
pub(super) const SET_ASIDE: &str = "UPDATE conductor_tasks SET state = 3, updated_at = ?2, due_at = NULL, \
    lease_until = NULL, holder = NULL, last_error = ?3 WHERE key = ?1";

/// A run whose numbers cannot be read: its state is written, and nothing else.
pub(super) const FAIL_RUN: &str =
    "UPDATE conductor_runs SET state = 3, updated_at = ?2 WHERE key = ?1 AND state IN (0, 1)";
