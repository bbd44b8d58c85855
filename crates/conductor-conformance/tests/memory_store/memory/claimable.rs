//! Ready leaves with all that a claim needs, and parents with what their children come from.

use super::counting::next;
use super::groups::push_in_order;
use super::state::{State, TaskRow};
use super::work::is_ready;
use conductor_store::backend::{
    Above, AboveRun, AboveTask, ChildTemplate, FanOutParent, FanOutWanted, JoinRow, Node, ParentInput,
    ParentKey, PlannedJoin, ReadyGroup, ReadyTasks, ReadyWanted, Rows, RunKey, TaskKey,
};
use conductor_store::model::{Json, NextStep};
use std::cmp::Reverse;
use std::collections::BTreeSet;

impl State {
    /// Ready leaves: what is wanted, in this order, and at most `max` leaves.
    pub(super) fn ready(&self, wanted: &[ReadyWanted<'_>], max: u32) -> ReadyTasks {
        let mut ready = ReadyTasks::default();
        let mut taken: BTreeSet<TaskKey> = BTreeSet::new();
        let mut leaves = Vec::new();
        for (nth, wanted) in wanted.iter().enumerate() {
            let mut found: Vec<&TaskRow> = self
                .tasks_of(wanted.run)
                .filter(|task| is_ready(task, wanted.kind, wanted.isolated) && !taken.contains(&task.key))
                .collect();
            found.sort_by_key(|task| (task.run(), Reverse(task.priority), task.key));
            let first = found.first().map(|task| task.run());
            found.retain(|task| Some(task.run()) == first);
            found.truncate((wanted.limit as usize).min(max as usize - taken.len()));
            taken.extend(found.iter().map(|task| task.key));
            ready.groups.extend(self.ready_groups(&found).into_iter().map(|group| (nth, group)));
            leaves.extend(found);
        }
        let parents: BTreeSet<ParentKey> = leaves.iter().map(|task| task.parent()).collect();
        ready.above = self.above(parents);
        let heirs = leaves.into_iter().filter(|task| task.input.is_none());
        ready.parent_inputs = self.parent_inputs(heirs);
        ready
    }

    /// Leaves in the order of a claim, with their inputs.
    fn ready_groups(&self, leaves: &[&TaskRow]) -> Vec<ReadyGroup> {
        let mut groups = Vec::new();
        for leaf in leaves {
            push_in_order(&mut groups, leaf);
        }
        let input = |key: TaskKey| self.task(key).and_then(|task| task.input.clone()).map(Ok);
        let ready = |group: conductor_store::backend::TaskGroup| {
            let inputs: Vec<Option<Result<Json, String>>> = group.keys().iter().map(input).collect();
            let inputs = if inputs.iter().all(Option::is_none) { Vec::new() } else { inputs };
            ReadyGroup { group, inputs }
        };
        groups.into_iter().map(ready).collect()
    }

    /// The inputs of the parents of tasks that have none of their own.
    pub(super) fn parent_inputs<'r>(
        &self,
        heirs: impl IntoIterator<Item = &'r TaskRow>,
    ) -> Vec<(ParentKey, ParentInput)> {
        let parents: BTreeSet<ParentKey> = heirs.into_iter().map(TaskRow::parent).collect();
        let input = |parent: ParentKey| {
            let input = self.task(parent.task?)?.input.clone().map(Ok);
            Some((parent, ParentInput { input, imported: false }))
        };
        parents.into_iter().filter_map(input).collect()
    }

    /// What stands above children of these parents.
    pub(super) fn above(&self, parents: impl IntoIterator<Item = ParentKey>) -> Above {
        let mut keys: BTreeSet<ParentKey> = BTreeSet::new();
        for parent in parents {
            let mut next = Some(parent);
            while let Some(key) = next.filter(|key| keys.insert(*key)) {
                next = key.task.and_then(|task| self.task(task)).map(TaskRow::parent);
            }
            keys.insert(ParentKey::run(parent.run));
        }
        let mut above = Above::default();
        for key in keys {
            match (key.task.and_then(|task| self.task(task)), self.run(key.run)) {
                (Some(task), _) => above.tasks.extend(task.family.map(|family| AboveTask {
                    key: task.key,
                    id: task.id,
                    parent: task.parent(),
                    cancel_cause: family.status.cancel_cause,
                })),
                (None, Some(run)) if key.task.is_none() => above.runs.push(AboveRun {
                    key: key.run,
                    id: run.id,
                    state: run.state,
                    cancel_cause: run.family.status.cancel_cause,
                }),
                _ => {}
            }
        }
        above
    }

    /// Parents and what their children come from.
    pub(super) fn fan_out_parents(&self, wanted: FanOutWanted<'_>, max_bytes: usize) -> Rows<FanOutParent> {
        let (runs, children) = match wanted {
            FanOutWanted::Missing { runs, children } => (runs, children),
            FanOutWanted::Parent(parent) => {
                let task = parent.task.and_then(|task| self.task(task));
                let items = task.map(|task| self.fan_out_parent(task, None)).into_iter().collect();
                return Rows { items, more: false };
            }
        };
        let (mut parents, mut bytes) = (Rows { items: Vec::new(), more: false }, 0);
        for (run, limit) in runs {
            let (mut missing, first) = (0, bytes);
            for task in self.missing_children_of(*run).take(*limit as usize) {
                if bytes >= max_bytes || bytes - first >= FanOutWanted::SMALL && missing >= children {
                    parents.more = true;
                    break;
                }
                bytes += task.input.as_ref().map_or(0, |input| input.as_str().len());
                let parent = self.fan_out_parent(task, task.input.clone());
                if let Node::Parent(Ok(row)) = &parent.parent {
                    let counts = row.status.counts;
                    missing += counts.total.map_or(0, |total| total - counts.created).min(children / 2);
                }
                parents.items.push(parent);
            }
        }
        parents
    }

    fn missing_children_of(&self, run: RunKey) -> impl Iterator<Item = &TaskRow> {
        let rows = self.parents_of(Some(run)).filter(|row| next(row) == Some(NextStep::FanOut));
        rows.filter_map(|row| self.task(row.node.key.task?))
    }

    fn fan_out_parent(&self, task: &TaskRow, input: Option<Json>) -> FanOutParent {
        let template = ChildTemplate {
            name: task.name.clone(),
            kind: task.kind.clone(),
            priority: task.priority,
            max_retries: task.block.max_retries,
            backoff: task.block.backoff,
            timeout_ms: task.block.timeout_ms,
        };
        FanOutParent {
            run: task.run(),
            parent: Node::Parent(self.read_parent(task.as_parent())),
            input: input.map(Ok),
            template: Ok(template),
            uncounted_child: None,
        }
    }

    /// The join of a parent or a run.
    pub(super) fn join_row(&self, parent: ParentKey) -> JoinRow {
        if let Some(task) = self.join_task(parent) {
            let output = task.output.as_ref().map(ToString::to_string);
            return JoinRow { task: self.nodes([task]).pop(), output, planned: None };
        }
        let priority = parent.task.and_then(|task| self.task(task)).map_or(0, |task| task.priority);
        let planned = self.joins.get(&parent).map(|plan| {
            Ok(PlannedJoin {
                id: plan.id,
                kind: plan.join.kind.clone(),
                priority,
                max_retries: plan.join.max_retries,
                backoff: plan.join.backoff,
                timeout_ms: plan.join.timeout_ms,
            })
        });
        JoinRow { task: None, output: None, planned }
    }
}
