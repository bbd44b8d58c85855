//! The numbers of parents and runs, changed once per transaction and row.

use super::damage::{Damaged, readable};
use super::event_log;
use super::rows::{self, bad_row};
use super::sql::Sql;
use crate::Fault;
use conductor_model::{EventBody, Numbers, Shape, Signal, State, Subject, Tally, Timestamp, transition};
use rusqlite::{Connection, params};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Where a task stands in the tree, in row keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The run.
    pub(super) run: i64,
    /// The parent; 0 for a root task.
    pub(super) parent: i64,
}

/// Siblings that come into being (`before` is `None`) or move from one standing to another, all in the same way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    pub(super) before: Option<Subject>,
    pub(super) after: Subject,
    pub(super) count: usize,
}

/// What the transaction knows of a run: its row, as it will be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunEntry {
    pub(super) state: State,
    pub(super) numbers: Numbers,
    pub(super) tally: Tally,
}

/// The runs and parents that a transaction touches, read once and written once, if they changed.
///
/// The order of writing does not matter, but it is that of the keys, so that the same work writes the same pages.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    runs: HashMap<i64, Entered<RunEntry>>,
    parents: HashMap<i64, Entered<Numbers>>,
    /// Those of them that cannot be read: see `damage.rs`.
    pub(super) damaged: Damaged,
}

/// A row as it was read, and as it will be written.
#[derive(Debug)]
struct Entered<T> {
    read: T,
    row: T,
}

impl<T: Copy + PartialEq> Entered<T> {
    fn new(read: T) -> Self {
        Self { read, row: read }
    }

    /// The row, if there is something to write.
    fn changed(&self) -> Option<T> {
        (self.row != self.read).then_some(self.row)
    }
}

impl Ledger {
    /// A run's row, read at first touch.
    pub(super) fn run(&mut self, tx: &Connection, key: i64) -> Result<&mut RunEntry, Fault> {
        match self.runs.entry(key) {
            Entry::Occupied(known) => Ok(&mut known.into_mut().row),
            Entry::Vacant(unknown) => {
                let run = tx.first(SELECT_RUN, [key], |row| {
                    Ok(RunEntry {
                        state: rows::state(row, 0)?,
                        numbers: rows::run_numbers(row, 1)?,
                        tally: rows::tally(row, 7)?,
                    })
                });
                let run = self.damaged.note_run(key, run)?;
                Ok(&mut unknown.insert(Entered::new(run)).row)
            }
        }
    }

    /// A run whose row was inserted in this transaction.
    pub(super) fn insert_run(&mut self, key: i64, entry: RunEntry) {
        self.runs.insert(key, Entered::new(entry));
    }

    /// A parent's numbers, read at first touch.
    pub(super) fn parent(&mut self, tx: &Connection, key: i64) -> Result<&mut Numbers, Fault> {
        match self.parents.entry(key) {
            Entry::Occupied(known) => Ok(&mut known.into_mut().row),
            Entry::Vacant(unknown) => {
                let numbers = tx.first(SELECT_PARENT, [key], |row| rows::numbers(row, 0));
                let numbers = self.damaged.note_parent(key, numbers.map(Option::flatten))?;
                Ok(&mut unknown.insert(Entered::new(numbers)).row)
            }
        }
    }

    /// Counts one task: see [`Ledger::count_many`].
    pub(super) fn count(
        &mut self,
        tx: &Connection,
        place: Place,
        now: Timestamp,
        before: Option<Subject>,
        after: Subject,
    ) -> Result<(), Fault> {
        self.count_many(tx, place, now, Moved { before, after, count: 1 })
    }

    /// Counts siblings that come into being or move, in their parent's numbers, or their run's, and in the run's
    /// tally. The first start of a task starts its run.
    pub(super) fn count_many(
        &mut self,
        tx: &Connection,
        place: Place,
        now: Timestamp,
        Moved { before, after, count }: Moved,
    ) -> Result<(), Fault> {
        if let Some(run) = readable(self.run(tx, place.run))? {
            for _ in 0..count {
                run.tally.count(before.map(|subject| subject.state), after.state);
            }
            if after.state == State::Running && run.state == State::Pending {
                run.state = State::Running;
                event_log::record(tx, place.run, None, now, &EventBody::RunStarted)?;
            }
        }
        let numbers = if place.parent == 0 {
            readable(self.run(tx, place.run))?.map(|run| &mut run.numbers)
        } else {
            readable(self.parent(tx, place.parent))?
        };
        // What cannot be read counts nothing, and stops nobody.
        if let Some(numbers) = numbers {
            for _ in 0..count {
                numbers.count(before, after);
            }
        }
        Ok(())
    }

    /// Carries out a transition of a run.
    pub(super) fn transit_run(
        &mut self,
        tx: &Connection,
        key: i64,
        signal: Signal,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let run = self.run(tx, key)?;
        let subject = Subject { shape: Shape::Run, state: run.state, retry_due: false };
        run.state =
            transition(subject, signal).map_err(|illegal| bad_row("run", key, &illegal.to_string()))?;
        event_log::record_transition(tx, key, None, now, (Shape::Run, signal))
    }

    /// Writes each run and parent that changed, once.
    pub(super) fn flush(self, tx: &Connection, now: Timestamp) -> Result<(), Fault> {
        let mut parents: Vec<_> = self.parents.into_iter().collect();
        parents.sort_unstable_by_key(|(key, _)| *key);
        for (key, parent) in parents {
            if let Some(numbers) = parent.changed() {
                write_parent(tx, key, numbers, now)?;
            }
        }
        let mut runs: Vec<_> = self.runs.into_iter().collect();
        runs.sort_unstable_by_key(|(key, _)| *key);
        for (key, run) in runs {
            if let Some(run) = run.changed() {
                write_run(tx, key, run, now)?;
            }
        }
        Ok(())
    }
}

fn write_run(tx: &Connection, key: i64, run: RunEntry, now: Timestamp) -> Result<(), Fault> {
    let RunEntry { state, numbers, tally } = run;
    let Numbers { total, children, open, failed, cancelled } = numbers;
    tx.run(
        UPDATE_RUN,
        params![
            key,
            rows::state_code(state),
            now.as_millis(),
            i64::from(total.is_some()),
            total,
            children,
            open,
            failed,
            cancelled,
            tally.pending.cast_signed(),
            tally.running.cast_signed(),
            tally.succeeded.cast_signed(),
            tally.failed.cast_signed(),
            tally.cancelled.cast_signed(),
        ],
    )?;
    Ok(())
}

fn write_parent(tx: &Connection, key: i64, numbers: Numbers, now: Timestamp) -> Result<(), Fault> {
    let Numbers { total, children, open, failed, cancelled } = numbers;
    let sealed = i64::from(total.is_some());
    tx.run(UPDATE_PARENT, params![key, now.as_millis(), sealed, total, children, open, failed, cancelled])?;
    Ok(())
}

pub(super) const SELECT_RUN: &str = "SELECT state, sealed, fanout, children, open_children, failed_children, \
    cancelled_children, pending, running, succeeded, failed, cancelled FROM conductor_runs WHERE key = ?1";

pub(super) const SELECT_PARENT: &str = "SELECT sealed, fanout, children, open_children, failed_children, \
    cancelled_children FROM conductor_tasks WHERE key = ?1";

pub(super) const UPDATE_PARENT: &str = "UPDATE conductor_tasks SET updated_at = ?2, sealed = ?3, fanout = ?4, \
    children = ?5, open_children = ?6, failed_children = ?7, cancelled_children = ?8 WHERE key = ?1";

pub(super) const UPDATE_RUN: &str = "UPDATE conductor_runs SET state = ?2, updated_at = ?3, sealed = ?4, \
    fanout = ?5, children = ?6, open_children = ?7, failed_children = ?8, cancelled_children = ?9, pending = ?10, \
    running = ?11, succeeded = ?12, failed = ?13, cancelled = ?14 WHERE key = ?1";
