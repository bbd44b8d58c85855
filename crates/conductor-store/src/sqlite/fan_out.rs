//! Create the children that are missing.

use super::SqliteStore;
use super::children::Family;
use super::damage::readable;
use super::marks::Marks;
use super::rows;
use super::sql::{ScopeKey, Sql};
use super::task_row::TaskRow;
use super::transit::Brings;
use super::turns::{runs_in_turn, share};
use super::write::Write;
use crate::{FanOut, FanOutOutcome, RotationCursor, StoreError};
use conductor_model::{CancelCause, ChildCounts, Fanout, FanoutItem, IdBlock, Json, Signal, State};
use rusqlite::{Connection, params};
use std::ops::RangeInclusive;

/// The largest number of runs that one step visits. Each costs a few seeks; the next step continues behind them.
const RUNS_PER_STEP: usize = 64;
/// A run that needs it gets this part of a step at least.
const PART_OF_STEP: u32 = 8;
/// This one is for a parent with items. Finding the next item means reading all of them, which dominates the cost of
/// small shares.
const PART_OF_STEP_FOR_ITEMS: u32 = 2;
/// The largest number of parents that one step visits. A parent costs as much as 15 children, and may get only a few.
const PARENTS_PER_STEP: u32 = 500;
/// What a child that is a parent itself takes of a step, where another takes 1: it is written in a statement of its own.
const PARENTS_WEIGHT: u32 = 2;
/// How many bytes of inputs one step reads, about: it writes no more than that.
const BYTES_PER_STEP: usize = 8 << 20;

impl SqliteStore {
    pub(super) fn fan_out_step(&self, step: &FanOut) -> Result<FanOutOutcome, StoreError> {
        let nothing = FanOutOutcome { cursor: step.cursor, ..FanOutOutcome::default() };
        if step.ids.is_empty() {
            return Ok(nothing);
        }
        if !self.probe(|connection| {
            Ok(next_run(connection, ScopeKey::of(step.scope, connection)?, 0)?.is_some())
        })? {
            return Ok(nothing);
        }
        self.write(step.now, |write| fan_out(write, step, nothing))
    }
}

/// The next run behind one that has parents whose children are missing.
fn next_run(connection: &Connection, scope: ScopeKey, after: i64) -> Result<Option<i64>, StoreError> {
    let (from, to) = scope.range();
    connection.first(NEXT_RUN, params![from.max(after.saturating_add(1)), to], |row| row.get(0))
}

/// Gives each run an equal share of the ids.
fn fan_out(
    write: &mut Write<'_>,
    step: &FanOut,
    mut done: FanOutOutcome,
) -> Result<FanOutOutcome, StoreError> {
    let scope = ScopeKey::of(step.scope, write.tx())?;
    let most = RUNS_PER_STEP.min(step.ids.len() as usize);
    // One further, to know whether there is one.
    let mut runs = runs_in_turn(step.cursor, most + 1, |after| next_run(write.tx(), scope, after))?;
    done.more = runs.len() > most;
    runs.truncate(most);
    let ids = step.ids;
    let mut left = Left { ids, weight: ids.len(), parents: PARENTS_PER_STEP, bytes: BYTES_PER_STEP };
    let mut marks = Marks::default();
    for (nth, run) in runs.iter().enumerate() {
        if left.is_nothing() {
            done.more = true;
            break;
        }
        let runs_left = runs.len() - nth;
        let share = Share {
            weight: share(left.weight, runs_left).max(ids.len() / PART_OF_STEP).min(left.weight),
            items: ids.len() / PART_OF_STEP_FOR_ITEMS,
            parents: share(left.parents, runs_left),
        };
        fan_out_run(write, &mut marks, *run, share, &mut left, &mut done)?;
        done.cursor = RotationCursor(run.cast_unsigned());
    }
    Ok(done)
}

/// What a step may still use.
struct Left {
    ids: IdBlock,
    /// Of children, together; never more than there are ids.
    weight: u32,
    parents: u32,
    bytes: usize,
}

impl Left {
    fn is_nothing(&self) -> bool {
        self.weight == 0 || self.parents == 0 || self.bytes == 0
    }
}

/// What one run may use of that.
#[derive(Clone, Copy)]
struct Share {
    /// Of its children, together.
    weight: u32,
    /// A parent that has items may get as much as this.
    items: u32,
    parents: u32,
}

/// Creates missing children of one run.
fn fan_out_run(
    write: &mut Write<'_>,
    marks: &mut Marks,
    run: i64,
    mut share: Share,
    left: &mut Left,
    done: &mut FanOutOutcome,
) -> Result<(), StoreError> {
    let parents: Vec<i64> = write.tx().all(TO_FAN_OUT, params![run, share.parents], |row| row.get(0))?;
    done.more |= parents.len() == share.parents as usize;
    for parent in parents {
        if share.weight == 0 || left.bytes == 0 {
            done.more = true;
            break;
        }
        share.items = share.items.min(left.weight);
        let created = create_missing(write, marks, parent, &mut left.ids, share)?;
        share.weight = share.weight.saturating_sub(created.weight);
        left.weight = left.weight.saturating_sub(created.weight);
        left.parents -= 1;
        left.bytes = left.bytes.saturating_sub(created.read);
        done.parents += u32::from(created.count > 0);
        done.children += created.count;
        done.more |= created.more;
    }
    Ok(())
}

/// What became of one parent.
#[derive(Clone, Copy, Default)]
struct Created {
    /// How many children it got.
    count: u32,
    /// What they took of the step.
    weight: u32,
    /// Whether more children are missing.
    more: bool,
    /// How many bytes of input were read, which bounds what was written.
    read: usize,
}

/// Creates the next missing children of one parent.
fn create_missing(
    write: &mut Write<'_>,
    marks: &mut Marks,
    parent: i64,
    ids: &mut IdBlock,
    share: Share,
) -> Result<Created, StoreError> {
    let Some(mut task) = write.found(parent)? else { return Ok(Created::default()) };
    if marks.is_doomed(write, task.place)? {
        // The sweep would come to it as well, but until then every step would find it again.
        let (tx, ledger, now) = write.parts();
        if let Err(fault) = ledger.mark(tx, task.below(), now, CancelCause::Ancestor, None) {
            // One that cannot be read fails before the commit.
            readable::<()>(Err(fault))?;
        }
        return Ok(Created { more: true, ..Created::default() });
    }
    if task.state == State::Pending {
        let started = write.transit(&mut task, Signal::Start, Brings::default());
        started.map_err(|error| error.in_step(parent))?;
    }
    let (tx, ledger, _) = write.parts();
    // One that cannot be read fails before the commit.
    let Some(head) = readable(ledger.parent(tx, parent))? else { return Ok(Created::default()) };
    let numbers = head.standing.counts;
    let input = parents_input(tx, parent);
    let Some(input) = unless_damaged(write, &mut task, input)? else { return Ok(Created::default()) };
    let next = next_children(write, &task, numbers, share, &input);
    let Some(Next { indices, items, family }) = unless_damaged(write, &mut task, next)?.flatten() else {
        return Ok(Created::default());
    };
    let count = indices.end() - indices.start() + 1;
    let Some(taken) = ids.take(count) else { return Ok(Created::default()) };
    let rest = numbers.total.is_some_and(|total| *indices.end() < total);
    write.create_children(&family, indices, taken, &items)?;
    let weight = count.max(items.iter().map(weight).sum());
    Ok(Created { count, weight, more: rest || weight > count, read: input.as_str().len() })
}

/// Unwraps data of a parent. If it cannot be read, the parent fails, and the step continues with the others.
fn unless_damaged<T>(
    write: &mut Write<'_>,
    parent: &mut TaskRow,
    read: Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(StoreError::CorruptRow { reason: why, .. }) => write.fail_damaged(parent, why).map(|()| None),
        Err(fault) => Err(fault),
    }
}

/// What a child of this item takes of a step.
fn weight(item: &FanoutItem<'_>) -> u32 {
    if item.fanout.is_some() { PARENTS_WEIGHT } else { 1 }
}

/// The next children of a parent, and what they come from.
struct Next<'a> {
    indices: RangeInclusive<u32>,
    /// One for each of them, if the parent has items.
    items: Vec<FanoutItem<'a>>,
    family: Family,
}

/// The next missing children of a parent with this input, if all else that they come from can be read.
fn next_children<'a>(
    write: &mut Write<'_>,
    parent: &TaskRow,
    numbers: ChildCounts,
    share: Share,
    input: &'a Json,
) -> Result<Option<Next<'a>>, StoreError> {
    let (tx, ledger, _) = write.parts();
    if readable(ledger.run(tx, parent.place.run))?.is_none() {
        return Err(rows::bad_row("task", parent.key, "its run cannot be read"));
    }
    let asked = Fanout::with_items(input).map_err(|invalid| changed(parent.key, &invalid.to_string()))?;
    let Some((fanout, items)) = asked.filter(|(fanout, _)| numbers.total == Some(fanout.total())) else {
        return Err(changed(parent.key, "it has another number of children"));
    };
    let (limit, items) = match fanout {
        Fanout::Count(_) => (share.weight, items),
        Fanout::Items(_) => {
            let missing = items.get(numbers.created as usize..).unwrap_or_default();
            take_first(missing, share.weight.max(share.items))
        }
    };
    let Some(indices) = numbers.next_indices(limit) else { return Ok(None) };
    places_are_free(tx, parent, &indices)?;
    Ok(Some(Next { indices, items, family: write.family(parent.key)? }))
}

/// The first items, as many as may take so much of a step, one at least; and how many they are.
fn take_first<'a>(items: &[FanoutItem<'a>], most: u32) -> (u32, Vec<FanoutItem<'a>>) {
    let (mut count, mut taken) = (0, 0);
    for item in items {
        if taken >= most {
            break;
        }
        taken += weight(item);
        count += 1;
    }
    (count, items.iter().take(count as usize).copied().collect())
}

/// Whether no child has one of these indices: the parent's number of children says so, unless another program changed it.
fn places_are_free(
    tx: &Connection,
    parent: &TaskRow,
    indices: &RangeInclusive<u32>,
) -> Result<(), StoreError> {
    let params = params![parent.place.run, parent.key, indices.start(), indices.end()];
    match tx.first(TAKEN, params, |row| row.get::<_, i64>(0))? {
        Some(index) => {
            let why = format!("its numbers were changed: child {index} exists, but is not counted");
            Err(rows::bad_row("task", parent.key, &why))
        }
        None => Ok(()),
    }
}

fn parents_input(tx: &Connection, parent: i64) -> Result<Json, StoreError> {
    match rows::read_input(tx, parent) {
        Ok(input) => input.ok_or_else(|| changed(parent, "it is missing")),
        Err(StoreError::CorruptRow { reason: why, .. }) => Err(changed(parent, &why)),
        Err(fault) => Err(fault),
    }
}

fn changed(parent: i64, why: &str) -> StoreError {
    rows::bad_row("task", parent, &format!("its input was changed: {why}"))
}

pub(super) const NEXT_RUN: &str = "SELECT run FROM conductor_tasks INDEXED BY conductor_tasks_wants \
    WHERE wants = 1 AND run BETWEEN ?1 AND ?2 ORDER BY run LIMIT 1";

pub(super) const TO_FAN_OUT: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_wants \
    WHERE wants = 1 AND run = ?1 ORDER BY key LIMIT ?2";

pub(super) const TAKEN: &str = "SELECT ordinal FROM conductor_tasks INDEXED BY conductor_tasks_place \
    WHERE run = ?1 AND parent = ?2 AND ordinal BETWEEN ?3 AND ?4 LIMIT 1";
