//! Removes runs that settled.

use super::state::{RunRow, State, TaskRow};
use conductor_store::backend::{ParentKey, PrunableRun, PruneBudget, PruneWork, Pruned, RunKey};
use conductor_store::model::Timestamp;

impl State {
    /// A run that is being pruned, or else the one that settled first.
    pub(super) fn prune_work(&self, settled_before: Timestamp) -> PruneWork {
        let updated_at = |key: RunKey, run: &RunRow| self.updated_at(ParentKey::run(key), run.updated_at);
        let is_settled = |task: &TaskRow| task.status.node_status().is_settled();
        let begun = self.pruned.first().map(|key| PrunableRun { key: *key, has_begun: true });
        let next = || {
            let runs = self.runs_of(None).filter(|(key, run)| {
                run.state.is_terminal()
                    && updated_at(*key, run) < settled_before
                    && self.tasks_of(Some(*key)).all(is_settled)
            });
            let first = runs.min_by_key(|(key, run)| updated_at(*key, run));
            first.map(|(key, _)| PrunableRun { key, has_begun: false })
        };
        PruneWork { run: begun.or_else(next), has_free_space: false }
    }

    /// From here on the run is not visible.
    pub(super) fn begin_prune(&mut self, key: RunKey) {
        if let Some(run) = self.runs.remove(&key) {
            self.run_ids.remove(&run.id);
            self.pruned.insert(key);
        }
        self.pending.retain(|parent, _| parent.run != key);
        self.failures.retain(|parent| parent.run != key);
    }

    /// Removes rows of a run that is not visible.
    pub(super) fn prune(&mut self, run: RunKey, budget: &mut PruneBudget) -> Pruned {
        let mut pruned = Pruned::default();
        let tasks = self.tasks.values().filter(|task| task.run() == run);
        for task in tasks.map(|task| (**task).clone()).collect::<Vec<_>>() {
            if budget.is_used_up() {
                return pruned;
            }
            let bytes: usize = task.input.iter().chain(&task.output).map(|json| json.as_str().len()).sum();
            budget.spend(1, i64::try_from(bytes).unwrap_or(i64::MAX));
            self.tasks.remove(&task.key);
            self.task_ids.remove(&task.id);
            self.places.remove(&(task.parent(), task.index));
            self.progress.remove(&task.key);
            pruned.tasks += 1;
        }
        let events = self.events.iter().filter(|(_, event)| event.run == run);
        for seq in events.map(|(seq, _)| *seq).collect::<Vec<_>>() {
            if budget.is_used_up() {
                return pruned;
            }
            budget.spend(1, 0);
            self.events.remove(&seq);
            pruned.events += 1;
        }
        self.joins.retain(|parent, _| parent.run != run);
        self.pruned.remove(&run);
        pruned.is_complete = true;
        pruned
    }
}
