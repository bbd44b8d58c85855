//! Decides the state in which each imported task and run continues.
//!
//! The TypeScript version failed a parent and its run as soon as one child failed, and did not correct them after a
//! successful retry. So the import uses settled children only: failures that can still be retried come due, and what failed
//! above them reopens.

use super::problems::Problems;
use super::rows::{ImportedRows, ImportedTask};
use super::tree::Tree;
use conductor_model::{ChildCounts, NodeStatus, NodeType, State, StateCounts};

/// How a task continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DecidedTask {
    pub(crate) state: State,
    /// Whether a retry is due.
    pub(crate) retry_due: bool,
    /// `None` for a leaf.
    pub(crate) counts: Option<ChildCounts>,
    /// The number of its last attempt.
    pub(crate) attempt: u32,
    /// Whether its row changes at the import.
    pub(crate) is_changed: bool,
}

/// How a run continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DecidedRun {
    pub(crate) state: State,
    pub(crate) counts: ChildCounts,
    pub(crate) state_counts: StateCounts,
    /// Whether its row changes at the import.
    pub(crate) is_changed: bool,
}

/// How everything continues, by task and by run.
#[derive(Debug)]
pub(crate) struct Decisions {
    pub(crate) tasks: Vec<DecidedTask>,
    pub(crate) runs: Vec<DecidedRun>,
}

/// The final decision for the ancestors of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Above {
    Open,
    Succeeded,
    Cancelled,
}

impl Above {
    fn and(self, state: State) -> Self {
        self.max(match state {
            State::Succeeded => Self::Succeeded,
            State::Cancelled => Self::Cancelled,
            State::Pending | State::Running | State::Failed => Self::Open,
        })
    }
}

impl Decisions {
    pub(super) fn new(rows: &ImportedRows, tree: &Tree, problems: &mut Problems) -> Self {
        // After a problem, a child that seems to be missing may be a task that could not be read.
        let is_complete = problems.is_empty();
        let above = above(rows, tree);
        let unknown = DecidedTask {
            state: State::Pending,
            retry_due: false,
            counts: None,
            attempt: 0,
            is_changed: false,
        };
        let mut tasks = vec![unknown; rows.tasks.len()];
        let mut state_counts = vec![StateCounts::default(); rows.runs.len()];
        for &task in tree.order.iter().rev() {
            let row = &rows.tasks[task];
            let children = &tree.children[task];
            tasks[task] = if children.is_empty() && row.fanout.is_none() {
                leaf(row, above[task])
            } else {
                let total = row.fanout.unwrap_or(0).max(count(children));
                parent(row, above[task], child_counts(total, children, &tasks))
            };
            state_counts[row.run].apply(None, tasks[task].state);
            if is_complete {
                report_gap(rows, tree, (task, tasks[task]), problems);
            }
        }
        let runs = rows.runs.iter().zip(state_counts).enumerate().map(|(run, (row, state_counts))| {
            let roots = &tree.roots[run];
            let counts = child_counts(count(roots), roots, &tasks);
            let state = run_state(row.state, counts, state_counts);
            DecidedRun { state, counts, state_counts, is_changed: state != row.state }
        });
        Self { runs: runs.collect(), tasks }
    }
}

/// By task: the final decision for its ancestors.
fn above(rows: &ImportedRows, tree: &Tree) -> Vec<Above> {
    let mut above = vec![Above::Open; rows.tasks.len()];
    for &task in &tree.order {
        let row = &rows.tasks[task];
        above[task] = match row.parent {
            Some(parent) => above[parent].and(rows.tasks[parent].state),
            None => Above::Open.and(rows.runs[row.run].state),
        };
    }
    above
}

fn leaf(row: &ImportedTask, above: Above) -> DecidedTask {
    let (state, retry_due) = match (row.state, above) {
        // A cancelled ancestor cancels all open tasks.
        (State::Pending | State::Running, Above::Cancelled) => (State::Cancelled, false),
        (State::Failed, Above::Open) => (State::Failed, can_be_retried(row)),
        (state, _) => (state, false),
    };
    // Each retry followed a start, and a task that runs or has ended started once more. The TypeScript version counted neither.
    let has_started = matches!(state, State::Running | State::Succeeded | State::Failed);
    let attempt = row.retry_count.saturating_add(u32::from(has_started));
    DecidedTask { state, retry_due, counts: None, attempt, is_changed: retry_due || state != row.state }
}

fn parent(row: &ImportedTask, above: Above, counts: ChildCounts) -> DecidedTask {
    let state = match (row.state, above) {
        (State::Pending | State::Running, Above::Cancelled) => State::Cancelled,
        // The retry of a parent that failed before it had children is that it fans out.
        (State::Failed, Above::Open) if counts.created == 0 && can_be_retried(row) => State::Pending,
        (State::Failed, Above::Open) if counts.open > 0 => State::Running,
        // A parent with a child is RUNNING; the TypeScript version left that out.
        (State::Pending, _) if counts.created > 0 => State::Running,
        (state, _) => state,
    };
    DecidedTask { state, retry_due: false, counts: Some(counts), attempt: 0, is_changed: state != row.state }
}

fn run_state(state: State, counts: ChildCounts, state_counts: StateCounts) -> State {
    match state {
        State::Failed if counts.open > 0 => State::Running,
        State::Pending if state_counts.running + state_counts.succeeded + state_counts.failed > 0 => {
            State::Running
        }
        state => state,
    }
}

fn can_be_retried(row: &ImportedTask) -> bool {
    row.retry_count < row.max_retries.get()
}

fn child_counts(total: u32, children: &[usize], tasks: &[DecidedTask]) -> ChildCounts {
    let mut sum = ChildCounts { total: Some(total), created: count(children), ..ChildCounts::default() };
    for &child in children {
        let DecidedTask { state, retry_due, counts, .. } = tasks[child];
        let node_type = if counts.is_some() { NodeType::Parent } else { NodeType::Leaf };
        let mut one = ChildCounts::default();
        one.apply(None, NodeStatus { node_type, state, retry_scheduled: retry_due });
        sum.open += one.open;
        sum.failed += one.failed;
        sum.cancelled += one.cancelled;
    }
    sum
}

/// More rows than a `u32` counts do not fit into memory.
fn count(tasks: &[usize]) -> u32 {
    u32::try_from(tasks.len()).unwrap_or(u32::MAX)
}

/// Children are created in the order of their indices, so that their number shows which are missing. This does not hold if
/// another program deleted one in between.
fn report_gap(
    rows: &ImportedRows,
    tree: &Tree,
    (task, decided): (usize, DecidedTask),
    problems: &mut Problems,
) {
    let Some(counts) = decided.counts else { return };
    let creates_more = !decided.state.is_terminal() && counts.total > Some(counts.created);
    let last = tree.children[task].iter().map(|&child| tree.index[child]).max().unwrap_or(0);
    if creates_more && last > counts.created {
        let ImportedTask { id, name, .. } = &rows.tasks[task];
        problems.add(format!(
            "task {id} ({name}): child {last} exists, but children with smaller indices are missing"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Cancelled, Failed, Pending, Running, Succeeded};

    fn decide(rows: &ImportedRows) -> (Decisions, Problems) {
        let mut problems = Problems::default();
        let tree = Tree::new(rows, &mut problems);
        (Decisions::new(rows, &tree, &mut problems), problems)
    }

    #[test]
    fn failure_with_retries_reopens_its_ancestors() {
        let rows = ImportedRows::of(Failed, &[(Failed, None), (Failed, Some(0)), (Succeeded, Some(0))]);
        let (decided, problems) = decide(&rows);
        assert!(problems.is_empty());
        assert_eq!(
            decided.tasks.iter().map(|task| task.state).collect::<Vec<_>>(),
            [Running, Failed, Succeeded]
        );
        assert_eq!(decided.tasks.iter().map(|task| task.retry_due).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(decided.tasks.iter().map(|task| task.attempt).collect::<Vec<_>>(), [0, 1, 1]);
        assert_eq!(decided.tasks.iter().map(|task| task.is_changed).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!((decided.runs[0].state, decided.runs[0].counts.open), (Running, 1));
    }

    #[test]
    fn failure_without_retries_stays_failed() {
        let mut rows = ImportedRows::of(Failed, &[(Failed, None)]);
        rows.tasks[0].retry_count = rows.tasks[0].max_retries.get();
        let (decided, _) = decide(&rows);
        assert!(!decided.tasks[0].retry_due && !decided.tasks[0].is_changed && !decided.runs[0].is_changed);
        assert_eq!((decided.runs[0].state, decided.runs[0].counts.failed), (Failed, 1));
    }

    #[test]
    fn cancelled_ancestor_cancels_open_tasks() {
        let rows = ImportedRows::of(Running, &[(Cancelled, None), (Running, Some(0)), (Failed, Some(0))]);
        let (decided, _) = decide(&rows);
        assert_eq!((decided.tasks[1].state, decided.tasks[1].is_changed), (Cancelled, true));
        assert_eq!((decided.tasks[2].state, decided.tasks[2].retry_due), (Failed, false));
    }

    #[test]
    fn missing_child_before_last_is_reported() {
        let mut rows = ImportedRows::of(Running, &[(Running, None), (Pending, Some(0))]);
        rows.tasks[0].fanout = Some(3);
        rows.tasks[1].name = "A#2".into();
        let (_, problems) = decide(&rows);
        assert!(problems.shown[0].contains("child 2 exists"), "{problems:?}");
    }
}
