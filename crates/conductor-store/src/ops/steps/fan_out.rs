//! Creates the children that are missing.

use crate::backend::{
    CorruptRow, FanOutParent, FanOutWanted, Node, ParentKey, ParentRow, RunKey, RunsWith, Turn,
};
use crate::ops::rotation::share;
use crate::ops::tasks::{CountedChildren, NewChildren, count_children, insert_children};
use crate::ops::tx::{
    ParentChange, Transaction, change_parent, fail_corrupt_parent, is_cancelling, learn_above, load_parents,
    note_corrupt, set_cancel_cause,
};
use crate::{FanOut, FanOutOutcome, RotationCursor, StoreError};
use conductor_model::{CancelCause, Fanout, FanoutItem, IdBlock, Signal, State};
use std::collections::HashSet;
use std::ops::RangeInclusive;

/// The largest number of runs that one step visits. The next step continues behind them.
const RUNS_PER_STEP: u32 = 64;
/// A run that needs it gets at least a step divided by this.
const PART_OF_STEP: u32 = 8;
/// A parent with items gets at least a step divided by this. Finding the next item means reading all of them, which
/// dominates the cost of small shares.
const PART_OF_STEP_FOR_ITEMS: u32 = 2;
/// The largest number of parents that one step visits. A parent costs as much as 15 children, and may get only a few.
const PARENTS_PER_STEP: u32 = 500;
/// What a child that is a parent itself takes of a step, where another takes 1: it is a block of its own.
const PARENT_WEIGHT: u32 = 2;
/// How many bytes of inputs one step reads, about: it writes no more than that.
const BYTES_PER_STEP: usize = 8 << 20;

/// A step on its way.
struct Progress<'p> {
    ids: IdBlock,
    /// What may still be used of the step by children; never more than there are ids.
    weight: u32,
    unreadable_runs: HashSet<RunKey>,
    children: Vec<CountedChildren<'p>>,
    outcome: FanOutOutcome,
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
    let wanted = FanOutWanted::Missing { runs: &wanted, children: step.ids.len() };
    let parents = t.store()?.fan_out_parents(wanted, BYTES_PER_STEP)?;
    outcome.more |= parents.more;
    let parents = parents.items;
    let above: Vec<ParentKey> =
        parents.iter().filter_map(|parent| Some(parent.parent.position()?.parent)).collect();
    learn_above(t, &above)?;
    let unreadable_runs = unreadable_runs(t, &runs)?;
    let (ids, weight) = (step.ids, step.ids.len());
    let mut progress = Progress { ids, weight, unreadable_runs, children: Vec::new(), outcome };
    let mut rest = parents.as_slice();
    for (nth, run) in runs.iter().enumerate() {
        if progress.weight == 0 || rest.is_empty() {
            progress.outcome.more = true;
            break;
        }
        let budget = RunBudget {
            weight: share(progress.weight, runs.len() - nth)
                .max(step.ids.len() / PART_OF_STEP)
                .min(progress.weight),
            items: step.ids.len() / PART_OF_STEP_FOR_ITEMS,
        };
        let (of_run, others) = rest.split_at(rest.iter().take_while(|parent| parent.run == *run).count());
        rest = others;
        progress.outcome.more |= of_run.len() == per_run as usize;
        fan_out_run(t, of_run, budget, &mut progress)?;
        progress.outcome.cursor = RotationCursor::behind(*run);
    }
    insert_children(t, &progress.children)?;
    Ok(progress.outcome)
}

fn unreadable_runs(t: &mut Transaction<'_, '_>, runs: &[RunKey]) -> Result<HashSet<RunKey>, StoreError> {
    let keys: Vec<ParentKey> = runs.iter().copied().map(ParentKey::run).collect();
    let rows = load_parents(t, &keys)?;
    Ok(runs.iter().zip(rows).filter(|(_, row)| row.is_err()).map(|(run, _)| *run).collect())
}

/// Creates missing children of one run.
fn fan_out_run<'p>(
    t: &mut Transaction<'_, '_>,
    parents: &'p [FanOutParent],
    mut run: RunBudget,
    step: &mut Progress<'p>,
) -> Result<(), StoreError> {
    for parent in parents {
        if run.weight == 0 {
            step.outcome.more = true;
            break;
        }
        run.items = run.items.min(step.weight);
        let created = create_missing(t, parent, run, step)?;
        run.weight = run.weight.saturating_sub(created.weight);
        step.weight = step.weight.saturating_sub(created.weight);
        step.outcome.parents += u32::from(created.count > 0);
        step.outcome.children += created.count;
        step.outcome.more |= created.more;
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
fn create_missing<'p>(
    t: &mut Transaction<'_, '_>,
    parent: &'p FanOutParent,
    budget: RunBudget,
    step: &mut Progress<'p>,
) -> Result<Created, StoreError> {
    let mut row = match &parent.parent {
        Node::Parent(Ok(row)) => *row,
        // One that cannot be read fails before the commit.
        Node::Parent(Err(corrupt)) => {
            note_corrupt(t, corrupt.clone());
            return Ok(Created::default());
        }
        Node::Corrupt(corrupt) => {
            t.store()?.fail_corrupt(CorruptRow::Task(corrupt))?;
            return Ok(Created::default());
        }
        Node::Leaves(_) => return Ok(Created::default()),
    };
    if let Some(above) = row.node.above
        && is_cancelling(t, above)?
    {
        // The sweep would come to it as well, but until then every step would find it again.
        set_cancel_cause(t, &mut row, CancelCause::Ancestor, None);
        return Ok(Created { more: true, ..Created::default() });
    }
    let key = row.node.key;
    if row.node.state == State::Pending {
        let started = change_parent(t, &mut row, Signal::Start, ParentChange::default());
        started.map_err(|error| error.in_step_of_parent(key))?;
    }
    let is_run_readable = !step.unreadable_runs.contains(&key.run);
    let next = next_children(&row, budget, parent, is_run_readable);
    let template = parent.template.as_ref().map_err(String::clone);
    let (next, template) = match next.and_then(|next| Ok((next, template?))) {
        Ok((Some(next), template)) => (next, template),
        Ok((None, _)) => return Ok(Created::default()),
        Err(reason) => {
            fail_corrupt_parent(t, &mut row, reason)?;
            return Ok(Created::default());
        }
    };
    let Next { indices, items } = next;
    let last = *indices.end();
    let count = last - *indices.start() + 1;
    let weight = count.max(items.iter().map(weight).sum());
    let Some(ids) = step.ids.take(count) else { return Ok(Created::default()) };
    let children = NewChildren { parent: key, template, indices, ids, items };
    step.children.push(count_children(t, children)?);
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

/// The next missing children of a parent; or what another program changed.
fn next_children<'p>(
    row: &ParentRow,
    budget: RunBudget,
    parent: &'p FanOutParent,
    is_run_readable: bool,
) -> Result<Option<Next<'p>>, String> {
    let input = match &parent.input {
        None => return Err("its input was changed: it is missing".into()),
        Some(Err(reason)) => return Err(format!("its input was changed: {reason}")),
        Some(Ok(input)) => input,
    };
    if !is_run_readable {
        return Err("its run cannot be read".into());
    }
    let counts = row.status.counts;
    let (fanout, items) = match Fanout::with_items(input) {
        Err(invalid) => return Err(format!("its input was changed: {invalid}")),
        Ok(Some((fanout, items))) if counts.total == Some(fanout.total()) => (fanout, items),
        Ok(_) => return Err("its input was changed: it has another number of children".into()),
    };
    let (limit, items) = match fanout {
        Fanout::Count(_) => (budget.weight, items),
        Fanout::Items(_) => {
            let missing = items.get(counts.created as usize..).unwrap_or_default();
            take_first(missing, budget.weight.max(budget.items))
        }
    };
    let Some(indices) = counts.next_indices(limit) else { return Ok(None) };
    if let Some(index) = parent.uncounted_child.filter(|index| indices.contains(index)) {
        return Err(format!("its numbers were changed: child {index} exists, but is not counted"));
    }
    Ok(Some(Next { indices, items }))
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
