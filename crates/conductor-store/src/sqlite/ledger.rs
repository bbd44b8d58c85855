//! What the transaction knows of parents and runs, changed once per transaction and row.

use super::damage::{Damaged, readable};
use super::event_log;
use super::rows::{self, bad_row};
use super::sql::Sql;
use crate::StoreError;
use conductor_model::{
    CancelCause, ChildCounts, Decision, ErrorText, EventBody, JoinStatus, NodeStatus, NodeType, ParentStatus,
    Signal, State, StateCounts, Timestamp, transition,
};
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
    /// Whether it runs after the children of its parent, or of its run, and so is none of them.
    pub(super) is_join: bool,
}

impl Place {
    /// A child's place, or a root task's.
    pub(super) fn child(run: i64, parent: i64) -> Self {
        Self { run, parent, is_join: false }
    }
}

/// Siblings that come into being (`before` is `None`) or move from one standing to another, all in the same way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    pub(super) before: Option<NodeStatus>,
    pub(super) after: NodeStatus,
    pub(super) count: usize,
}

/// A parent or a run, as its row will be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) state: State,
    pub(super) standing: ParentStatus,
    /// Up to which ordinal its children were swept.
    pub(super) swept: u32,
}

/// A parent, and the run that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ParentEntry {
    run: i64,
    head: Head,
}

/// What the transaction knows of a run: its row, as it will be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunEntry {
    pub(super) head: Head,
    pub(super) tally: StateCounts,
    pub(super) deadline: Option<i64>,
}

/// The runs and parents that a transaction touches, read once and written once, if they changed.
///
/// The order of writing does not matter, but it is that of the keys, so that the same work writes the same pages.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    runs: HashMap<i64, Entered<RunEntry>>,
    parents: HashMap<i64, Entered<ParentEntry>>,
    /// Those of them that cannot be read: see `damage.rs`.
    pub(super) damaged: Damaged,
    /// How many marks this transaction has set.
    pub(super) marks: u32,
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
    pub(super) fn run(&mut self, tx: &Connection, key: i64) -> Result<&mut RunEntry, StoreError> {
        match self.runs.entry(key) {
            Entry::Occupied(known) => Ok(&mut known.into_mut().row),
            Entry::Vacant(unknown) => {
                let run = tx.first(SELECT_RUN, [key], |row| {
                    Ok(RunEntry {
                        head: Head {
                            state: rows::state(row, 0)?,
                            standing: rows::standing(row, rows::run_numbers(row, 1)?, 7)?,
                            swept: rows::swept(row, 10)?,
                        },
                        tally: rows::tally(row, 11)?,
                        deadline: row.get(16)?,
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

    /// A parent's row, read at first touch.
    pub(super) fn parent(&mut self, tx: &Connection, key: i64) -> Result<&mut Head, StoreError> {
        Ok(&mut self.parent_entry(tx, key)?.head)
    }

    fn parent_entry(&mut self, tx: &Connection, key: i64) -> Result<&mut ParentEntry, StoreError> {
        match self.parents.entry(key) {
            Entry::Occupied(known) => Ok(&mut known.into_mut().row),
            Entry::Vacant(unknown) => {
                let parent = tx.first(SELECT_PARENT, [key], |row| {
                    let Some(numbers) = rows::numbers(row, 0)? else { return Ok(None) };
                    let head = Head {
                        state: rows::state(row, 10)?,
                        standing: rows::standing(row, numbers, 6)?,
                        swept: rows::swept(row, 9)?,
                    };
                    Ok(Some(ParentEntry { run: row.get(11)?, head }))
                });
                let parent = self.damaged.note_parent(key, parent.map(Option::flatten))?;
                Ok(&mut unknown.insert(Entered::new(parent)).row)
            }
        }
    }

    /// The head of the family that a task at this place belongs to: its parent, or its run.
    pub(super) fn head(&mut self, tx: &Connection, place: Place) -> Result<&mut Head, StoreError> {
        if place.parent == 0 { Ok(&mut self.run(tx, place.run)?.head) } else { self.parent(tx, place.parent) }
    }

    /// A parent went over to another state, which its own row says already.
    pub(super) fn parent_moved(&mut self, key: i64, state: State) {
        if let Some(entered) = self.parents.get_mut(&key) {
            (entered.read.head.state, entered.row.head.state) = (state, state);
        }
    }

    /// Whether a parent is marked, if this transaction knows it.
    pub(super) fn is_marked(&self, key: i64) -> Option<bool> {
        self.parents.get(&key).map(|entered| entered.row.head.standing.cancel_cause.is_some())
    }

    /// Marks the head of the family at this place.
    pub(super) fn mark(
        &mut self,
        tx: &Connection,
        place: Place,
        now: Timestamp,
        by: CancelCause,
        reason: Option<&ErrorText>,
    ) -> Result<(), StoreError> {
        let head = self.head(tx, place)?;
        head.standing.cancel_cause = Some(by);
        head.swept = 0;
        self.marks += 1;
        let reason = reason.cloned();
        if place.parent == 0 {
            event_log::record(tx, place.run, None, now, &EventBody::RunCancelRequested { cause: by, reason })
        } else {
            event_log::record(
                tx,
                place.run,
                Some(place.parent),
                now,
                &EventBody::TaskCancelRequested { cause: by, reason },
            )
        }
    }

    /// Counts one task: see [`Ledger::count_many`].
    pub(super) fn count(
        &mut self,
        tx: &Connection,
        place: Place,
        now: Timestamp,
        before: Option<NodeStatus>,
        after: NodeStatus,
    ) -> Result<(), StoreError> {
        self.count_many(tx, place, now, Moved { before, after, count: 1 })
    }

    /// Counts siblings that come into being or move, in their parent's numbers, or their run's, and in the run's
    /// tally. The first start of a task starts its run, and a failure that a policy does not bear marks the parent. A join
    /// is in no number and no tally: it only opens and ends.
    pub(super) fn count_many(
        &mut self,
        tx: &Connection,
        place: Place,
        now: Timestamp,
        Moved { before, after, count }: Moved,
    ) -> Result<(), StoreError> {
        if let Some(run) = readable(self.run(tx, place.run))?
            && !place.is_join
        {
            for _ in 0..count {
                run.tally.apply(before.map(|subject| subject.state), after.state);
            }
            if after.state == State::Running && run.head.state == State::Pending {
                run.head.state = State::Running;
                event_log::record(tx, place.run, None, now, &EventBody::RunStarted)?;
            }
        }
        // A row that cannot be read counts nothing, and does not stop the transaction.
        let Some(head) = readable(self.head(tx, place))? else { return Ok(()) };
        if place.is_join {
            head.standing.join =
                if after.is_settled() { JoinStatus::Settled(after.state) } else { JoinStatus::Open };
            return Ok(());
        }
        for _ in 0..count {
            head.standing.counts.apply(before, after);
        }
        // Only a new failure: otherwise an old failure would cancel the siblings that were revived after it.
        let is_failure = after.state == State::Failed && after.is_settled();
        match head.standing.decide() {
            Decision::CancelOpenChildren(by) if is_failure && !head.state.is_terminal() => {
                self.mark(tx, place, now, by, None)
            }
            _ => Ok(()),
        }
    }

    /// The state of a run, if this transaction knows it.
    pub(super) fn known_state(&self, run: i64) -> Option<State> {
        self.runs.get(&run).map(|entered| entered.row.head.state)
    }

    /// Carries out a transition of a run.
    pub(super) fn transit_run(
        &mut self,
        tx: &Connection,
        key: i64,
        signal: Signal,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let run = self.run(tx, key)?;
        let subject = NodeStatus { node_type: NodeType::Run, state: run.head.state, retry_scheduled: false };
        run.head.state =
            transition(subject, signal).map_err(|illegal| bad_row("run", key, &illegal.to_string()))?;
        event_log::record_transition(tx, key, None, now, (NodeType::Run, signal))
    }

    /// Writes each run and parent that changed, once.
    pub(super) fn flush(self, tx: &Connection, now: Timestamp) -> Result<(), StoreError> {
        let mut parents: Vec<_> = self.parents.into_iter().collect();
        parents.sort_unstable_by_key(|(key, _)| *key);
        for (key, parent) in parents {
            if let Some(parent) = parent.changed() {
                write_parent(tx, key, parent.head, now)?;
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

fn write_run(tx: &Connection, key: i64, run: RunEntry, now: Timestamp) -> Result<(), StoreError> {
    let RunEntry { head: Head { state, standing, swept }, tally, deadline } = run;
    let ChildCounts { total, created: children, open, failed, cancelled } = standing.counts;
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
            standing.cancel_cause.map(rows::mark_code),
            standing.cancel_cause.map(|_| swept),
            rows::joining_code(standing.join),
            deadline,
        ],
    )?;
    Ok(())
}

fn write_parent(tx: &Connection, key: i64, head: Head, now: Timestamp) -> Result<(), StoreError> {
    let Head { standing, swept, .. } = head;
    let ChildCounts { total, created: children, open, failed, cancelled } = standing.counts;
    tx.run(
        UPDATE_PARENT,
        params![
            key,
            now.as_millis(),
            i64::from(total.is_some()),
            total,
            children,
            open,
            failed,
            cancelled,
            standing.cancel_cause.map(rows::mark_code),
            standing.cancel_cause.map(|_| swept),
            rows::joining_code(standing.join),
        ],
    )?;
    Ok(())
}

pub(super) const SELECT_RUN: &str = "SELECT state, sealed, fanout, children, open_children, failed_children, \
    cancelled_children, policy, mark, joining, swept, pending, running, succeeded, failed, cancelled, deadline \
    FROM conductor_runs WHERE key = ?1";

pub(super) const SELECT_PARENT: &str = "SELECT sealed, fanout, children, open_children, failed_children, \
    cancelled_children, policy, mark, joining, swept, state, run FROM conductor_tasks WHERE key = ?1";

pub(super) const UPDATE_PARENT: &str = "UPDATE conductor_tasks SET updated_at = ?2, sealed = ?3, fanout = ?4, \
    children = ?5, open_children = ?6, failed_children = ?7, cancelled_children = ?8, mark = ?9, swept = ?10, \
    joining = ?11 WHERE key = ?1";

pub(super) const UPDATE_RUN: &str = "UPDATE conductor_runs SET state = ?2, updated_at = ?3, sealed = ?4, \
    fanout = ?5, children = ?6, open_children = ?7, failed_children = ?8, cancelled_children = ?9, pending = ?10, \
    running = ?11, succeeded = ?12, failed = ?13, cancelled = ?14, mark = ?15, swept = ?16, joining = ?17, \
    deadline = ?18 WHERE key = ?1";
