//! The runs and tasks of the TypeScript version, as a store has read them.

use super::problems::Problems;
use conductor_model::{MAX_JSON_DEPTH, MAX_NAME_BYTES, MaxRetries, RunId, State, TaskId, Timestamp};
use std::collections::HashMap;

/// The largest number of past retries. A larger one would soon overflow the number of attempts.
pub(crate) const MAX_RETRY_COUNT: u32 = 1_000_000;

/// The longest name of a task that fans out, in bytes. The names of its children start with it, and a
/// [`TaskName`](conductor_model::TaskName) has at most four times the bytes of a given name. Of the levels of its input,
/// every second one is a task.
const MAX_PARENT_NAME_BYTES: usize = 4 * MAX_NAME_BYTES - MAX_JSON_DEPTH / 2 * "#10000000".len();

/// A run.
#[derive(Debug)]
pub(crate) struct ImportedRun {
    pub(crate) id: RunId,
    pub(crate) state: State,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// A task without its input and output.
#[derive(Debug)]
pub(crate) struct ImportedTask {
    pub(crate) id: TaskId,
    /// Its run in [`ImportedRows::runs`]; `usize::MAX` if the run is unknown.
    pub(crate) run: usize,
    /// Its parent in [`ImportedRows::tasks`].
    pub(crate) parent: Option<usize>,
    pub(crate) name: Box<str>,
    pub(crate) state: State,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) retry_count: u32,
    pub(crate) max_retries: MaxRetries,
    /// The number of children that its input asks for.
    pub(crate) fanout: Option<u32>,
    pub(crate) has_input: bool,
}

/// All runs and tasks, in the order of their ids, which is the order of their age.
#[derive(Debug, Default)]
pub(crate) struct ImportedRows {
    pub(crate) runs: Vec<ImportedRun>,
    pub(crate) tasks: Vec<ImportedTask>,
    pub(crate) run_of: HashMap<RunId, usize>,
    pub(crate) task_of: HashMap<TaskId, usize>,
}

impl ImportedRows {
    /// Sets the parent of a task. The parent must be in the same run.
    pub(crate) fn set_parent(&mut self, task: usize, parent: TaskId, problems: &mut Problems) {
        let ImportedTask { id, run, .. } = self.tasks[task];
        let why = match self.task_of.get(&parent) {
            Some(&found) if self.tasks[found].run == run => {
                self.tasks[task].parent = Some(found);
                return;
            }
            Some(_) => "belongs to another run",
            None => "does not exist",
        };
        // A task without a run is reported for that.
        if run != usize::MAX {
            problems.add(format!("task {id}: its parent {parent} {why}"));
        }
    }
}

/// Returns why a task that fans out cannot have a name.
pub(crate) fn name_problem(name: &str) -> Option<String> {
    let bytes = name.len();
    (bytes > MAX_PARENT_NAME_BYTES).then(|| {
        format!(
            "must have at most {MAX_PARENT_NAME_BYTES} bytes, because the names of its children start with it, but has {bytes}"
        )
    })
}

#[cfg(test)]
impl ImportedRows {
    /// One run, and its tasks: state, and parent by position.
    pub(super) fn of(run: State, tasks: &[(State, Option<usize>)]) -> Self {
        let at = Timestamp::MIN;
        let mut rows = Self::default();
        rows.runs.push(ImportedRun { id: RunId::from_u128(1), state: run, created_at: at, updated_at: at });
        for (i, (state, parent)) in tasks.iter().enumerate() {
            rows.tasks.push(ImportedTask {
                id: TaskId::from_u128(i as u128),
                run: 0,
                parent: *parent,
                name: "A".into(),
                state: *state,
                created_at: at,
                updated_at: at,
                retry_count: 0,
                max_retries: MaxRetries::default(),
                fanout: None,
                has_input: false,
            });
            rows.task_of.insert(TaskId::from_u128(i as u128), i);
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_or_foreign_parent_is_reported() {
        let mut rows = ImportedRows::of(State::Running, &[(State::Running, None), (State::Pending, None)]);
        let mut problems = Problems::default();
        rows.set_parent(1, rows.tasks[0].id, &mut problems);
        assert!(problems.is_empty());
        assert_eq!(rows.tasks[1].parent, Some(0));
        rows.set_parent(1, TaskId::from_u128(99), &mut problems);
        rows.tasks[0].run = 1;
        rows.set_parent(1, rows.tasks[0].id, &mut problems);
        assert!(problems.shown[0].ends_with("does not exist"), "{problems:?}");
        assert!(problems.shown[1].ends_with("belongs to another run"), "{problems:?}");
        rows.tasks[1].run = usize::MAX;
        rows.set_parent(1, TaskId::from_u128(99), &mut problems);
        assert_eq!(problems.shown.len(), 2);
    }

    #[test]
    fn long_name_of_parent_is_reported() {
        assert_eq!(name_problem(&"x".repeat(MAX_PARENT_NAME_BYTES)), None);
        assert!(name_problem(&"x".repeat(MAX_PARENT_NAME_BYTES + 1)).is_some());
    }
}
