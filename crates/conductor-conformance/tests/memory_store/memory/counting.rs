//! Counts: rows of parents and runs with the changes that are not added up, and adding these up.

use super::state::{Family, Pending, State};
use conductor_store::NodeId;
use conductor_store::backend::{
    CorruptParent, CountChange, Decidable, ParentKey, ParentNode, ParentRow, ReadParent, RunKey, TaskKey,
};
use conductor_store::model::{CountDelta, NextStep, NodeType, StateCounts, Timestamp, next_step};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The keys of a run and of all its tasks.
fn keys_of(run: RunKey) -> std::ops::RangeInclusive<ParentKey> {
    ParentKey::run(run)..=ParentKey::task(run, TaskKey(u64::MAX))
}

/// Reads.
impl State {
    /// A parent or a run, with all changes.
    pub(super) fn parent_row(&self, key: ParentKey) -> Option<ParentRow> {
        let mut row = key.task.map_or_else(|| self.run_row(key.run), |task| self.task_row(task))?;
        if let Some(pending) = self.pending.get(&key) {
            row.status.counts.add(&pending.delta);
        }
        Some(row)
    }

    fn task_row(&self, key: TaskKey) -> Option<ParentRow> {
        let task = self.task(key)?;
        let Family { status, swept } = task.family?;
        let node = ParentNode {
            key: task.as_parent(),
            id: NodeId::Task(task.id),
            above: Some(task.parent()),
            index: task.index,
            state: task.status.state,
            due_at: task.status.due_at,
        };
        Some(ParentRow { node, status, swept, deadline: None, state_counts: StateCounts::default() })
    }

    fn run_row(&self, key: RunKey) -> Option<ParentRow> {
        let run = self.run(key)?;
        let Family { status, swept } = run.family;
        let node = ParentNode {
            key: ParentKey::run(key),
            id: NodeId::Run(run.id),
            above: None,
            index: 0,
            state: run.state,
            due_at: None,
        };
        let state_counts = self.state_counts(key);
        Some(ParentRow { node, status, swept, deadline: run.deadline, state_counts })
    }

    pub(super) fn read_parent(&self, key: ParentKey) -> ReadParent {
        self.parent_row(key).ok_or(CorruptParent { key, node: None, reason: "it is not a parent".into() })
    }

    /// The state counts of a run, with all changes.
    pub(super) fn state_counts(&self, run: RunKey) -> StateCounts {
        let mut counts = self.run(run).map(|run| run.state_counts).unwrap_or_default();
        self.pending.range(keys_of(run)).for_each(|(_, pending)| counts.add(&pending.delta));
        counts
    }

    /// When a parent or a run last changed, its counts included.
    pub(super) fn updated_at(&self, key: ParentKey, row: Timestamp) -> Timestamp {
        let last = match key.task {
            Some(_) => self.pending.get(&key).map(|pending| pending.at),
            None => self.pending.range(keys_of(key.run)).map(|(_, pending)| pending.at).max(),
        };
        last.map_or(row, |last| last.max(row))
    }

    /// The parents of a run, or of all runs, in the order of their keys.
    pub(super) fn parents_of(&self, run: Option<RunKey>) -> impl Iterator<Item = ParentRow> {
        let parents = self.tasks_of(run).filter(|task| !task.is_leaf());
        parents.filter_map(|task| self.parent_row(task.as_parent()))
    }

    /// The runs as parents of their root tasks.
    pub(super) fn run_rows_of(&self, run: Option<RunKey>) -> impl Iterator<Item = ParentRow> {
        self.runs_of(run).filter_map(|(key, _)| self.parent_row(ParentKey::run(key)))
    }

    /// Whether changes of a run, or of all runs, are not added up, or a failure was not decided.
    pub(super) fn is_counting(&self, run: Option<RunKey>) -> bool {
        let is_wanted = |key: &ParentKey| run.is_none_or(|run| key.run == run);
        self.pending.keys().any(is_wanted) || self.failures.iter().any(is_wanted)
    }
}

/// The step that a parent or a run needs next.
pub(super) fn next(row: &ParentRow) -> Option<NextStep> {
    let node = row.node;
    let node_type = if node.key.task.is_some() { NodeType::Parent } else { NodeType::Run };
    next_step(node_type, node.state, row.status, node.due_at.is_some(), row.swept)
}

/// Writes.
impl State {
    /// Keeps changes until they are added up.
    pub(super) fn keep_changes(&mut self, changes: &[CountChange], at: Timestamp) {
        for CountChange { parent, delta } in changes {
            let zero = Pending { delta: CountDelta::default(), at };
            let pending = self.pending.entry(*parent).or_insert(zero);
            pending.at = at;
            let children = pending.delta.children.iter_mut().zip(delta.children);
            children.for_each(|(sum, by)| *sum += by);
            let states = pending.delta.states.iter_mut().zip(delta.states);
            states.for_each(|(sum, by)| *sum += by);
            if delta.has_failures() {
                self.failures.insert(*parent);
            }
        }
    }

    /// Adds up the changes of a parent or a run; returns whether its child counts changed.
    pub(super) fn add_up(&mut self, key: ParentKey) -> bool {
        let Some(Pending { delta, at }) = self.pending.remove(&key) else { return false };
        if let Some(run) = self.runs.get_mut(&key.run) {
            let run = Arc::make_mut(run);
            run.state_counts.add(&delta);
            run.updated_at = run.updated_at.max(at);
            if key.task.is_none() {
                run.family.status.counts.add(&delta);
            }
        }
        if let Some(task) = key.task.and_then(|task| self.tasks.get_mut(&task)) {
            let task = Arc::make_mut(task);
            task.updated_at = task.updated_at.max(at);
            if let Some(family) = &mut task.family {
                family.status.counts.add(&delta);
            }
        }
        delta.children != [0; 4]
    }

    /// Adds changes up, and reads the parents and runs whose counts changed or that can be decided.
    pub(super) fn decidable(&mut self, run: Option<RunKey>, limit: u32) -> Vec<Decidable> {
        let rows = self.parents_of(run).chain(self.run_rows_of(run));
        let aggregates = rows.filter(|row| next(row) == Some(NextStep::Aggregate)).map(|row| row.node.key);
        let changed = self.pending.keys().chain(&self.failures).copied();
        let is_wanted = |key: &ParentKey| run.is_none_or(|run| key.run == run);
        let keys = aggregates.chain(changed).filter(is_wanted);
        // Parents before runs.
        let keys: BTreeSet<(bool, ParentKey)> = keys.map(|key| (key.task.is_none(), key)).collect();
        let mut decidable = Vec::new();
        for (_, key) in keys {
            if decidable.len() == limit as usize {
                break;
            }
            let changed = self.add_up(key);
            let new_failures = self.failures.remove(&key);
            let parent = self.read_parent(key);
            let is_due = parent.as_ref().is_ok_and(|row| next(row) == Some(NextStep::Aggregate));
            if changed || new_failures || is_due {
                decidable.push(Decidable { parent, new_failures });
            }
        }
        decidable
    }
}
