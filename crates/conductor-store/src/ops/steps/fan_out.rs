//! Creates the children that are missing.

use crate::backend::{
    CorruptRow, FanOutParent, FanOutWanted, Node, ParentKey, ParentRow, RunKey, RunsWith, Turn,
};
use crate::ops::rotation::share;
use crate::ops::tasks::{NewChildren, create_children};
use crate::ops::tx::{
    ParentChange, Transaction, change_parent, fail_corrupt_parent, is_cancelling_all, learn_above,
    note_corrupt, require_parent, set_cancel_cause,
};
use crate::{FanOut, FanOutOutcome, RotationCursor, StoreError};
use conductor_model::{CancelCause, Fanout, FanoutItem, IdBlock, Json, Signal, State};
use std::collections::HashSet;
use std::ops::RangeInclusive;

/// The largest number of runs that one step visits. The next step continues behind them.
const RUNS_PER_STEP: u32 = 64;
/// A run that needs it gets at least a step divided by this.
const PART_OF_STEP: u32 = 8;
/// A parent with items gets at least a step divided by this. Finding the next item means reading all of them, which dominates the cost of
/// small shares.
const PART_OF_STEP_FOR_ITEMS: u32 = 2;
/// The largest number of parents that one step visits. A parent costs as much as 15 children, and may get only a few.
const PARENTS_PER_STEP: u32 = 500;
/// What a child that is a parent itself takes of a step, where another takes 1: it is a block of its own.
const PARENT_WEIGHT: u32 = 2;
/// How many bytes of inputs one step reads, about: it writes no more than that.
const BYTES_PER_STEP: usize = 8 << 20;

/// What a step may still use.
struct StepBudget {
    ids: IdBlock,
    /// Of children, together; never more than there are ids.
    weight: u32,
}

/// What one run may use of that.
#[derive(Clone, Copy)]
struct RunBudget {
    /// Of its children, together.
    weight: u32,
    /// A parent that has items may get as much as this.
    items: u32,
}

/// Returns what a step without work returns.
pub(crate) fn nothing(step: &FanOut) -> FanOutOutcome {
    FanOutOutcome { cursor: step.cursor, ..FanOutOutcome::default() }
}

/// Gives each run an equal share of the ids.
pub(crate) fn fan_out(t: &mut Transaction<'_, '_>, step: &FanOut) -> Result<FanOutOutcome, StoreError> {
    let mut outcome = nothing(step);
    let limit = RUNS_PER_STEP.min(step.ids.len());
    // One further, to know whether there is one.
    let turn = Turn { with: RunsWith::FanOut(step.scope), after: step.cursor, limit: limit + 1 };
    let mut runs = t.store()?.runs_in_turn(&[turn])?.pop().unwrap_or_default();
    outcome.more = runs.len() > limit as usize;
    runs.truncate(limit as usize);
    let per_run = share(PARENTS_PER_STEP, runs.len());
    let wanted: Vec<(RunKey, u32)> = runs.iter().map(|run| (*run, per_run)).collect();
    let parents = t.store()?.fan_out_parents(FanOutWanted::Missing(&wanted), BYTES_PER_STEP)?;
    let bytes: usize = parents.iter().map(input_len).sum();
    outcome.more |= bytes >= BYTES_PER_STEP;
    let above: Vec<ParentKey> =
        parents.iter().filter_map(|parent| Some(parent.parent.position()?.parent)).collect();
    learn_above(t, &above)?;
    let mut budget = StepBudget { ids: step.ids, weight: step.ids.len() };
    let mut parents = parents.into_iter().peekable();
    for (nth, run) in runs.iter().enumerate() {
        if budget.weight == 0 || parents.peek().is_none() {
            outcome.more = true;
            break;
        }
        let run_budget = RunBudget {
            weight: share(budget.weight, runs.len() - nth)
                .max(step.ids.len() / PART_OF_STEP)
                .min(budget.weight),
            items: step.ids.len() / PART_OF_STEP_FOR_ITEMS,
        };
        let mut of_run = Vec::new();
        while let Some(parent) = parents.next_if(|parent| parent.run == *run) {
            of_run.push(parent);
        }
        outcome.more |= of_run.len() == per_run as usize;
        fan_out_run(t, of_run, run_budget, &mut budget, &mut outcome)?;
        outcome.cursor = RotationCursor::behind(*run);
    }
    Ok(outcome)
}

fn input_len(parent: &FanOutParent) -> usize {
    match &parent.input {
        Some(Ok(input)) => input.as_str().len(),
        _ => 0,
    }
}

/// Creates missing children of one run.
fn fan_out_run(
    t: &mut Transaction<'_, '_>,
    parents: Vec<FanOutParent>,
    mut run: RunBudget,
    budget: &mut StepBudget,
    outcome: &mut FanOutOutcome,
) -> Result<(), StoreError> {
    for parent in parents {
        if run.weight == 0 {
            outcome.more = true;
            break;
        }
        run.items = run.items.min(budget.weight);
        let created = create_missing(t, parent, &mut budget.ids, run)?;
        run.weight = run.weight.saturating_sub(created.weight);
        budget.weight = budget.weight.saturating_sub(created.weight);
        outcome.parents += u32::from(created.count > 0);
        outcome.children += created.count;
        outcome.more |= created.more;
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
}

/// Creates the next missing children of one parent.
fn create_missing(
    t: &mut Transaction<'_, '_>,
    parent: FanOutParent,
    ids: &mut IdBlock,
    budget: RunBudget,
) -> Result<Created, StoreError> {
    let FanOutParent { parent: node, input, template, uncounted_child, .. } = parent;
    let mut row = match node {
        Node::Parent(Ok(row)) => row,
        // One that cannot be read fails before the commit.
        Node::Parent(Err(corrupt)) => {
            note_corrupt(t, corrupt);
            return Ok(Created::default());
        }
        Node::Corrupt(corrupt) => {
            t.store()?.fail_corrupt(CorruptRow::Task(&corrupt))?;
            return Ok(Created::default());
        }
        Node::Leaves(_) => return Ok(Created::default()),
    };
    let above: Vec<ParentKey> = row.node.above.into_iter().collect();
    let cancelling: HashSet<ParentKey> = is_cancelling_all(t, &above)?;
    if !cancelling.is_empty() {
        // The sweep would come to it as well, but until then every step would find it again.
        set_cancel_cause(t, &mut row, CancelCause::Ancestor, None);
        return Ok(Created { more: true, ..Created::default() });
    }
    let key = row.node.key;
    if row.node.state == State::Pending {
        let started = change_parent(t, &mut row, Signal::Start, ParentChange::default());
        started.map_err(|error| error.in_step_of_parent(key))?;
    }
    let next = match &input {
        None => Err("its input was changed: it is missing".into()),
        Some(Err(reason)) => Err(format!("its input was changed: {reason}")),
        Some(Ok(input)) => next_children(t, &row, budget, input, uncounted_child)?,
    };
    let (next, template) = match next.and_then(|next| Ok((next, template?))) {
        Ok((Some(next), template)) => (next, template),
        Ok((None, _)) => return Ok(Created::default()),
        Err(reason) => {
            fail_corrupt_parent(t, &mut row, reason)?;
            return Ok(Created::default());
        }
    };
    let (first, last) = (*next.indices.start(), *next.indices.end());
    let count = last - first + 1;
    let Some(ids) = ids.take(count) else { return Ok(Created::default()) };
    let children = NewChildren { indices: first..=last, ids, items: &next.items };
    create_children(t, key, &template, children)?;
    let weight = count.max(next.items.iter().map(weight).sum());
    let is_incomplete = row.status.counts.total.is_some_and(|total| last < total);
    Ok(Created { count, weight, more: is_incomplete || weight > count })
}

/// What a child of this item takes of a step.
fn weight(item: &FanoutItem<'_>) -> u32 {
    if item.fanout.is_some() { PARENT_WEIGHT } else { 1 }
}

/// The next children of a parent, and what they come from.
struct Next<'a> {
    indices: RangeInclusive<u32>,
    /// One for each of them, if the parent has items.
    items: Vec<FanoutItem<'a>>,
}

/// The next missing children of a parent with this input; or what of it another program changed.
fn next_children<'a>(
    t: &mut Transaction<'_, '_>,
    row: &ParentRow,
    budget: RunBudget,
    input: &'a Json,
    uncounted_child: Option<u32>,
) -> Result<Result<Option<Next<'a>>, String>, StoreError> {
    match require_parent(t, ParentKey::run(row.node.key.run)) {
        Err(StoreError::CorruptRow { .. }) => return Ok(Err("its run cannot be read".into())),
        read => drop(read?),
    }
    let counts = row.status.counts;
    let (fanout, items) = match Fanout::with_items(input) {
        Err(invalid) => return Ok(Err(format!("its input was changed: {invalid}"))),
        Ok(Some((fanout, items))) if counts.total == Some(fanout.total()) => (fanout, items),
        Ok(_) => return Ok(Err("its input was changed: it has another number of children".into())),
    };
    let (limit, items) = match fanout {
        Fanout::Count(_) => (budget.weight, items),
        Fanout::Items(_) => {
            let missing = items.get(counts.created as usize..).unwrap_or_default();
            take_first(missing, budget.weight.max(budget.items))
        }
    };
    let Some(indices) = counts.next_indices(limit) else { return Ok(Ok(None)) };
    if let Some(index) = uncounted_child.filter(|index| indices.contains(index)) {
        return Ok(Err(format!("its numbers were changed: child {index} exists, but is not counted")));
    }
    Ok(Ok(Some(Next { indices, items })))
}

/// The first items, as many as may take so much of a step, one at least; and how many they are.
fn take_first<'a>(items: &[FanoutItem<'a>], max: u32) -> (u32, Vec<FanoutItem<'a>>) {
    let (mut count, mut taken) = (0, 0);
    for item in items {
        if taken >= max {
            break;
        }
        taken += weight(item);
        count += 1;
    }
    (count, items.iter().take(count as usize).copied().collect())
}
