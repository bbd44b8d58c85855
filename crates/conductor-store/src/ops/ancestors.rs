//! Whether an ancestor of a task is being cancelled, and why.

use crate::backend::{Above, AboveRun, AboveTask, ParentKey, RunKey, TaskKey};
use conductor_model::CancelCause;
use std::collections::HashMap;

/// What is known of the parents and runs above tasks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ancestors {
    runs: HashMap<RunKey, AboveRun>,
    tasks: HashMap<TaskKey, AboveTask>,
}

impl Ancestors {
    /// Adds what was read. It replaces what was known before.
    pub(crate) fn learn(&mut self, above: &Above) {
        self.runs.extend(above.runs.iter().map(|run| (run.key, *run)));
        self.tasks.extend(above.tasks.iter().map(|task| (task.key, *task)));
    }

    /// Notes the cancel cause of a parent or a run.
    pub(crate) fn set_cancel_cause(&mut self, parent: ParentKey, cause: Option<CancelCause>) {
        match parent.task {
            Some(task) => {
                if let Some(task) = self.tasks.get_mut(&task) {
                    task.cancel_cause = cause;
                }
            }
            None => {
                if let Some(run) = self.runs.get_mut(&parent.run) {
                    run.cancel_cause = cause;
                }
            }
        }
    }

    /// Returns whether this parent, or anything above it, has a cancel cause. What could not be read has none.
    pub(crate) fn is_cancelling(&self, parent: ParentKey) -> bool {
        let mut top = parent;
        let some_task_is = self.climb(parent).any(|task| {
            top = task.parent;
            task.cancel_cause.is_some()
        });
        let run_is = || self.runs.get(&parent.run).is_some_and(|run| run.cancel_cause.is_some());
        some_task_is || (top.task.is_none() && run_is())
    }

    /// Returns whether this parent is a given task, or stands below it.
    pub(crate) fn is_at_or_below(&self, parent: ParentKey, task: TaskKey) -> bool {
        parent.task == Some(task) || self.climb(parent).any(|above| above.key == task)
    }

    /// Returns the nearest parent or run, from this one on, that has a cancel cause of its own and not that of an
    /// ancestor: without one it is the run. `None` if a parent on the way is not known.
    pub(crate) fn cancel_origin(&self, parent: ParentKey) -> Option<ParentKey> {
        let mut top = parent;
        for task in self.climb(parent) {
            if task.cancel_cause.is_some_and(|cause| cause != CancelCause::Ancestor) {
                return Some(ParentKey::task(parent.run, task.key));
            }
            top = task.parent;
        }
        top.task.is_none().then_some(top)
    }

    /// The parents from this one up, as far as they were read.
    fn climb(&self, parent: ParentKey) -> impl Iterator<Item = &AboveTask> {
        let mut next = parent.task;
        // As many steps as there are parents: another program may have made a circle of them.
        (0..self.tasks.len()).map_while(move |_| {
            let task = self.tasks.get(&next?)?;
            next = task.parent.task;
            Some(task)
        })
    }

    /// Returns whether what stands above the children of this parent was read.
    pub(crate) fn knows(&self, parent: ParentKey) -> bool {
        match parent.task {
            Some(task) => self.tasks.contains_key(&task),
            None => self.runs.contains_key(&parent.run),
        }
    }

    /// Returns a run, if it was read.
    pub(crate) fn run(&self, run: RunKey) -> Option<&AboveRun> {
        self.runs.get(&run)
    }

    /// Returns a parent, if it was read.
    pub(crate) fn task(&self, task: TaskKey) -> Option<&AboveTask> {
        self.tasks.get(&task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_model::{RunId, State, TaskId};

    const RUN: RunKey = RunKey(1);

    fn task(key: u64) -> ParentKey {
        ParentKey::task(RUN, TaskKey(key))
    }

    /// A run, and tasks by key with their parents and causes.
    fn ancestors(run: Option<CancelCause>, tasks: &[(u64, ParentKey, Option<CancelCause>)]) -> Ancestors {
        let id = RunId::from_u128(1);
        let runs = vec![AboveRun { key: RUN, id, state: State::Running, cancel_cause: run }];
        let above_task = |(key, parent, cause): &(u64, ParentKey, Option<CancelCause>)| {
            let id = TaskId::from_u128((*key).into());
            AboveTask { key: TaskKey(*key), id, parent: *parent, cancel_cause: *cause }
        };
        let mut ancestors = Ancestors::default();
        ancestors.learn(&Above { runs, tasks: tasks.iter().map(above_task).collect() });
        ancestors
    }

    #[test]
    fn ancestor_is_origin_of_cancel() {
        let (above, own) = (Some(CancelCause::Ancestor), Some(CancelCause::FailFast));
        let tree =
            [(1, ParentKey::run(RUN), None), (2, task(1), own), (3, task(2), above), (4, task(3), None)];
        let ancestors = ancestors(None, &tree);
        assert!(ancestors.is_cancelling(task(4)) && ancestors.is_cancelling(task(2)));
        assert!(!ancestors.is_cancelling(task(1)) && !ancestors.is_cancelling(ParentKey::run(RUN)));
        assert_eq!(ancestors.cancel_origin(task(4)), Some(task(2)));
        assert_eq!(ancestors.cancel_origin(task(1)), Some(ParentKey::run(RUN)));
    }

    #[test]
    fn cancelled_run_is_origin() {
        let ancestors = ancestors(Some(CancelCause::Deadline), &[(1, ParentKey::run(RUN), None)]);
        assert!(ancestors.is_cancelling(task(1)));
        assert_eq!(ancestors.cancel_origin(task(1)), Some(ParentKey::run(RUN)));
    }

    #[test]
    fn missing_parents_and_circles_end_search() {
        let ancestors = ancestors(None, &[(1, task(2), None), (2, task(1), None), (3, task(9), None)]);
        for key in [1, 2, 3, 9] {
            assert!(!ancestors.is_cancelling(task(key)));
            assert_eq!(ancestors.cancel_origin(task(key)), None);
        }
    }
}
