//! Try settled leaves again: exactly their ancestors reopen.

use super::SqliteStore;
use super::ledger::{Head, Place};
use super::rows;
use super::sql::{Sql, run_key};
use super::task_row::{self, TaskRow};
use super::transit::Brings;
use super::write::Write;
use crate::{NodeId, Revive, ReviveError, ReviveFilter, ReviveOutcome, StoreError};
use conductor_model::{Decision, JoinStatus, NodeType, RunId, Signal, State, TaskId};
use rusqlite::{Connection, params};
use std::collections::HashMap;

impl SqliteStore {
    pub(super) fn revive_tasks(&self, request: &Revive) -> Result<ReviveOutcome, ReviveError> {
        match *request {
            Revive::Leaf { task, now } => self.write(now, |write| revive_leaf(write, task)),
            Revive::All { below, which, cursor: after, limit, now } => {
                self.write(now, |write| revive_all(write, below, which, after, limit.max(1)))
            }
        }
    }
}

fn revive_leaf(write: &mut Write<'_>, id: TaskId) -> Result<ReviveOutcome, ReviveError> {
    let unknown = ReviveError::NotFound(NodeId::Task(id));
    let task = TaskRow::by_id(write.tx(), id)?.ok_or(unknown)?;
    if task.shape == NodeType::Parent {
        return Err(ReviveError::IsParent(id));
    }
    if !task.subject().is_settled() || task.state == State::Succeeded {
        return Err(ReviveError::NotRevivable { task: id, state: task.state });
    }
    let mut revived = ReviveOutcome::default();
    revive(write, task, &mut revived)?;
    Ok(revived)
}

/// Revives a settled leaf, or lets a parent that was cancelled go on, below ancestors that reopen.
fn revive(write: &mut Write<'_>, mut task: TaskRow, revived: &mut ReviveOutcome) -> Result<(), ReviveError> {
    let ancestors = ancestors(write, task.place)?;
    let (tx, ledger, _) = write.parts();
    let run = ledger.run(tx, task.place.run)?.head;
    may_reopen(run, || run_id(tx, task.place.run).map(NodeId::Run))?;
    for ancestor in &ancestors {
        may_reopen(*ledger.parent(tx, ancestor.key)?, || Ok(NodeId::Task(ancestor.id)))?;
    }
    if task.place.is_join && !joins_now(write, task.place)? {
        return Err(ReviveError::JoinNotReady(task.id));
    }
    reopen_run(write, task.place.run, revived)?;
    for mut ancestor in ancestors.into_iter().rev() {
        reopen_parent(write, &mut ancestor, revived)?;
    }
    if task.shape == NodeType::Parent {
        reopen_parent(write, &mut task, revived)?;
    } else {
        let key = task.key;
        let pending = write.transit(&mut task, Signal::Revive, Brings::default());
        pending.map_err(|error| error.in_step(key))?;
        revived.tasks += 1;
    }
    Ok(())
}

/// The parents above a place, the nearest first.
fn ancestors(write: &Write<'_>, place: Place) -> Result<Vec<TaskRow>, StoreError> {
    let mut ancestors = Vec::new();
    let mut parent = place.parent;
    while parent != 0 {
        let row = TaskRow::by_key(write.tx(), parent)?;
        parent = row.place.parent;
        ancestors.push(row);
    }
    Ok(ancestors)
}

/// Whether what is above a leaf can take it back.
fn may_reopen(head: Head, name: impl FnOnce() -> Result<NodeId, StoreError>) -> Result<(), ReviveError> {
    match (head.state, head.standing.join) {
        (State::Succeeded, _) => Err(ReviveError::AncestorSucceeded(name()?)),
        (_, JoinStatus::Open) => Err(ReviveError::JoinRunning(name()?)),
        _ if is_being_cancelled(head) => Err(ReviveError::CancelInProgress(name()?)),
        _ => Ok(()),
    }
}

fn is_being_cancelled(head: Head) -> bool {
    !head.state.is_terminal() && head.standing.cancel_cause.is_some()
}

/// Whether the join of a family could run as its children are.
fn joins_now(write: &mut Write<'_>, family: Place) -> Result<bool, StoreError> {
    let (tx, ledger, _) = write.parts();
    Ok(ledger.head(tx, family)?.standing.reopened().decide() == Decision::StartJoin)
}

fn run_id(tx: &Connection, key: i64) -> Result<RunId, StoreError> {
    let id = tx.first("SELECT id FROM conductor_runs WHERE key = ?1", [key], |row| rows::id(row, 0))?;
    Ok(RunId::from_u128(id.unwrap_or_default()))
}

/// Reopens a run, if it has ended.
fn reopen_run(write: &mut Write<'_>, run: i64, revived: &mut ReviveOutcome) -> Result<(), StoreError> {
    let (tx, ledger, now) = write.parts();
    if !ledger.run(tx, run)?.head.state.is_terminal() {
        return Ok(());
    }
    ledger.transit_run(tx, run, Signal::Reopen, now)?;
    let entry = ledger.run(tx, run)?;
    entry.head.standing = entry.head.standing.reopened();
    // A deadline that passed would end it again at once.
    entry.deadline = entry.deadline.filter(|deadline| *deadline > now.as_millis());
    revived.reopened += 1;
    Ok(())
}

/// Reopens a parent, if it has ended.
fn reopen_parent(
    write: &mut Write<'_>,
    parent: &mut TaskRow,
    revived: &mut ReviveOutcome,
) -> Result<(), StoreError> {
    if !parent.state.is_terminal() {
        return Ok(());
    }
    let key = parent.key;
    write.transit(parent, Signal::Reopen, Brings::default()).map_err(|error| error.in_step(key))?;
    let (tx, ledger, _) = write.parts();
    let head = ledger.parent(tx, key)?;
    head.standing = head.standing.reopened();
    revived.reopened += 1;
    Ok(())
}

fn revive_all(
    write: &mut Write<'_>,
    below: NodeId,
    which: ReviveFilter,
    after: Option<TaskId>,
    limit: u32,
) -> Result<ReviveOutcome, ReviveError> {
    let mut subtree = Subtree::of(write.tx(), below)?.ok_or(ReviveError::NotFound(below))?;
    let mut revived = ReviveOutcome::default();
    let mut place = if let Some(id) = after {
        let task = TaskRow::by_id(write.tx(), id)?.filter(|task| task.place.run == subtree.run);
        let task = task.ok_or(ReviveError::NotFound(NodeId::Task(id)))?;
        (task.place.parent, i64::from(task.ordinal))
    } else {
        revive_head(write, &subtree, which, &mut revived)?;
        (subtree.root, -1)
    };
    for _ in 0..limit {
        let params = params![subtree.run, place.0, place.1];
        let Some(task) = write.tx().first(task_row::SELECT_NEXT, params, TaskRow::read)? else {
            revived.next = None;
            return Ok(revived);
        };
        revived.next = Some(task.id);
        if !subtree.contains(write.tx(), task.place.parent)? {
            place = (task.place.parent, i64::MAX);
            continue;
        }
        place = (task.place.parent, i64::from(task.ordinal));
        if is_wanted(write, &task, which)? {
            revive_or_skip(write, task, &mut revived)?;
        }
    }
    Ok(revived)
}

fn revive_or_skip(
    write: &mut Write<'_>,
    task: TaskRow,
    revived: &mut ReviveOutcome,
) -> Result<(), ReviveError> {
    match revive(write, task, revived) {
        Err(ReviveError::Store(fault)) => Err(fault.into()),
        Err(_) => {
            revived.skipped += 1;
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// What all is to be revived below may have to go on itself.
fn revive_head(
    write: &mut Write<'_>,
    subtree: &Subtree,
    which: ReviveFilter,
    revived: &mut ReviveOutcome,
) -> Result<(), ReviveError> {
    if subtree.root != 0 {
        let task = TaskRow::by_key(write.tx(), subtree.root)?;
        if task.shape == NodeType::Parent && skips_head(write, task.below(), which, revived)? {
            return Ok(());
        }
        return if is_wanted(write, &task, which)? { revive_or_skip(write, task, revived) } else { Ok(()) };
    }
    if skips_head(write, Place::child(subtree.run, 0), which, revived)? {
        return Ok(());
    }
    let (tx, ledger, _) = write.parts();
    if goes_on(ledger.run(tx, subtree.run)?.head, which) {
        reopen_run(write, subtree.run, revived)?;
    }
    Ok(())
}

/// Whether a head is still being cancelled: what the sweep has not come to would be passed over without a word.
fn skips_head(
    write: &mut Write<'_>,
    below: Place,
    which: ReviveFilter,
    revived: &mut ReviveOutcome,
) -> Result<bool, StoreError> {
    let (tx, ledger, _) = write.parts();
    let skips = which.includes(State::Cancelled) && is_being_cancelled(*ledger.head(tx, below)?);
    revived.skipped += u32::from(skips);
    Ok(skips)
}

/// Whether a task is to be revived for its own sake.
fn is_wanted(write: &mut Write<'_>, task: &TaskRow, which: ReviveFilter) -> Result<bool, StoreError> {
    let (tx, ledger, _) = write.parts();
    if task.shape == NodeType::Parent {
        return Ok(goes_on(*ledger.parent(tx, task.key)?, which));
    }
    if !task.subject().is_settled() || !which.includes(task.state) {
        return Ok(false);
    }
    if !task.place.is_join {
        return Ok(true);
    }
    if !joins_now(write, task.place)? {
        return Ok(false);
    }
    // A join starts by itself when its siblings are settled again. So only a join without failed siblings is revived
    // here: while it is open, no sibling could be revived.
    let (tx, ledger, _) = write.parts();
    let has_failed = ledger.head(tx, task.place)?.standing.counts.failed > 0;
    Ok(!(has_failed && which.includes(State::Failed)))
}

/// Returns whether a cancelled parent or run must reopen by itself: some of its children do not exist yet, or no task
/// below it can be revived.
fn goes_on(head: Head, which: ReviveFilter) -> bool {
    let numbers = head.standing.counts;
    let is_incomplete = numbers.total != Some(numbers.created);
    head.state == State::Cancelled
        && which.includes(State::Cancelled)
        && (is_incomplete || (numbers.failed == 0 && numbers.cancelled == 0))
}

/// A run, or a parent with all below it.
struct Subtree {
    run: i64,
    /// The parent; 0 for the whole run.
    root: i64,
    /// Of the parents that were asked for: whether they are the root, or below it.
    known: HashMap<i64, bool>,
}

impl Subtree {
    fn of(tx: &Connection, head: NodeId) -> Result<Option<Self>, StoreError> {
        let (run, root) = match head {
            NodeId::Run(id) => (run_key(tx, id)?, 0),
            NodeId::Task(id) => {
                let task = TaskRow::by_id(tx, id)?;
                (task.as_ref().map(|task| task.place.run), task.map_or(0, |task| task.key))
            }
        };
        Ok(run.map(|run| Self { run, root, known: HashMap::from([(root, true)]) }))
    }

    /// Whether what has this parent is in it.
    fn contains(&mut self, tx: &Connection, parent: i64) -> Result<bool, StoreError> {
        if self.root == 0 {
            return Ok(true);
        }
        let (mut climbed, mut above) = (Vec::new(), parent);
        let is_in = loop {
            if let Some(known) = self.known.get(&above) {
                break *known;
            }
            climbed.push(above);
            let sql = "SELECT parent FROM conductor_tasks WHERE key = ?1";
            above = tx.first(sql, [above], |row| row.get(0))?.unwrap_or(0);
            if above == 0 {
                break false;
            }
        };
        self.known.extend(climbed.into_iter().map(|parent| (parent, is_in)));
        Ok(is_in)
    }
}
