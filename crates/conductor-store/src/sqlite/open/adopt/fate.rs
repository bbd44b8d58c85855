//! Decides the state in which each imported task and run continues.
//!
//! The TypeScript version failed a parent and its run as soon as one child failed, and did not correct them after a
//! successful retry. So the import uses settled children only. So failures that can still be retried come due, and what
//! failed above them reopens. ARCHITECTURE.md, "Opening, adopting, refusing", has the rules in a table.

use super::Problems;
use super::survey::{Old, OldTask};
use super::tree::Tree;
use conductor_model::{ChildCounts, NodeStatus, NodeType, State, StateCounts};

/// What becomes of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TaskFate {
    pub(super) state: State,
    /// Whether a retry is due on it.
    pub(super) due: bool,
    /// `None` on a leaf.
    pub(super) numbers: Option<ChildCounts>,
}

/// What becomes of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunFate {
    pub(super) state: State,
    pub(super) numbers: ChildCounts,
    pub(super) tally: StateCounts,
}

/// What becomes of everything.
#[derive(Debug)]
pub(super) struct Fates {
    pub(super) tasks: Vec<TaskFate>,
    pub(super) runs: Vec<RunFate>,
}

/// The final decision for the ancestors of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Above {
    Nothing,
    Succeeded,
    Cancelled,
}

impl Above {
    fn and(self, state: State) -> Self {
        self.max(match state {
            State::Succeeded => Self::Succeeded,
            State::Cancelled => Self::Cancelled,
            State::Pending | State::Running | State::Failed => Self::Nothing,
        })
    }
}

impl Fates {
    pub(super) fn of(old: &Old, tree: &Tree, problems: &mut Problems) -> Self {
        // Otherwise what seems to be missing may be a task that could not be read.
        let all_in_place = problems.are_none();
        let mut above = vec![Above::Nothing; old.tasks.len()];
        for &task in &tree.order {
            let its = &old.tasks[task];
            above[task] = match its.parent {
                Some(parent) => above[parent].and(old.tasks[parent].state),
                None => Above::Nothing.and(old.runs[its.run].state),
            };
        }
        let placeholder = TaskFate { state: State::Pending, due: false, numbers: None };
        let mut tasks = vec![placeholder; old.tasks.len()];
        let mut tallies = vec![StateCounts::default(); old.runs.len()];
        for &task in tree.order.iter().rev() {
            let its = &old.tasks[task];
            let children = &tree.children[task];
            tasks[task] = if children.is_empty() && its.fanout.is_none() {
                leaf(its, above[task])
            } else {
                let total = its.fanout.unwrap_or(0).max(count(children));
                parent(its, above[task], numbers(total, children, &tasks))
            };
            tallies[its.run].apply(None, tasks[task].state);
            if all_in_place {
                note_gap(old, tree, (task, tasks[task]), problems);
            }
        }
        let runs = old.runs.iter().zip(tallies).enumerate().map(|(run, (its, tally))| {
            let roots = &tree.roots[run];
            let numbers = numbers(count(roots), roots, &tasks);
            RunFate { state: run_state(its.state, numbers, tally), numbers, tally }
        });
        Self { runs: runs.collect(), tasks }
    }
}

fn leaf(its: &OldTask, above: Above) -> TaskFate {
    let (state, due) = match (its.state, above) {
        // A cancelled ancestor cancels all open tasks.
        (State::Pending | State::Running, Above::Cancelled) => (State::Cancelled, false),
        (State::Failed, Above::Nothing) => (State::Failed, may_be_retried(its)),
        (state, _) => (state, false),
    };
    TaskFate { state, due, numbers: None }
}

fn parent(its: &OldTask, above: Above, numbers: ChildCounts) -> TaskFate {
    let state = match (its.state, above) {
        (State::Pending | State::Running, Above::Cancelled) => State::Cancelled,
        // The retry of a parent that failed before it had children is that it fans out.
        (State::Failed, Above::Nothing) if numbers.created == 0 && may_be_retried(its) => State::Pending,
        (State::Failed, Above::Nothing) if numbers.open > 0 => State::Running,
        // With its first child a parent is RUNNING; the original left that out.
        (State::Pending, _) if numbers.created > 0 => State::Running,
        (state, _) => state,
    };
    TaskFate { state, due: false, numbers: Some(numbers) }
}

fn run_state(state: State, numbers: ChildCounts, tally: StateCounts) -> State {
    match state {
        State::Failed if numbers.open > 0 => State::Running,
        State::Pending if tally.running + tally.succeeded + tally.failed > 0 => State::Running,
        state => state,
    }
}

fn may_be_retried(its: &OldTask) -> bool {
    its.retry_count < its.max_retries.get()
}

fn numbers(total: u32, children: &[usize], tasks: &[TaskFate]) -> ChildCounts {
    let mut numbers = ChildCounts { total: Some(total), created: count(children), ..ChildCounts::default() };
    for &child in children {
        let TaskFate { state, due, numbers: its } = tasks[child];
        let shape = if its.is_some() { NodeType::Parent } else { NodeType::Leaf };
        let mut counted = ChildCounts::default();
        counted.apply(None, NodeStatus { node_type: shape, state, retry_scheduled: due });
        numbers.open += counted.open;
        numbers.failed += counted.failed;
        numbers.cancelled += counted.cancelled;
    }
    numbers
}

/// More rows than a `u32` counts do not fit into memory.
fn count(tasks: &[usize]) -> u32 {
    u32::try_from(tasks.len()).unwrap_or(u32::MAX)
}

/// Children are created in the order of their indices, so that their number shows which are missing. This does not hold if
/// another program deleted one in between.
fn note_gap(old: &Old, tree: &Tree, (task, fate): (usize, TaskFate), problems: &mut Problems) {
    let Some(numbers) = fate.numbers else { return };
    let goes_on = !fate.state.is_terminal() && numbers.total > Some(numbers.created);
    let last = tree.children[task].iter().map(|&child| tree.index[child]).max().unwrap_or(0);
    if goes_on && last > numbers.created {
        let its = &old.tasks[task];
        problems.add(format!(
            "task {} ({}): child {last} exists, but children with smaller indices are missing",
            its.id, its.name
        ));
    }
}
