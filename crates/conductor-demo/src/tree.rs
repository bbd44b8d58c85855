//! The state tree: a run, its tasks, and what became of them. Long lists of siblings are abbreviated from the
//! numbers of their parent, so that a million of them cost no more than three.

use crate::{
    failure::Failure,
    look,
    screen::{self, Screen, counted, grouped},
};
use conductor_model::{ChildCounts, Run, RunId, State, Task};
use conductor_store::{Query, TaskFilter};

/// How many siblings are shown before their list is abbreviated …
const SIBLINGS: u32 = 6;
/// … and how many of an abbreviated list.
const ABBREVIATED: u32 = 3;

/// One line of the tree.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    label: String,
    state: Option<State>,
    note: String,
}

/// The tree of a run.
pub(crate) fn of(store: &(impl Query + ?Sized), run: RunId) -> Result<Vec<Line>, Failure> {
    let Run { state, child_counts: numbers, .. } = look::run(store, run)?;
    let mut lines = vec![Line { label: format!("run {run}"), state: Some(state), note: String::new() }];
    let mut roots = store.tasks(run, TaskFilter::default(), None, shown(numbers))?.items;
    roots.retain(|task| task.parent.is_none());
    siblings(store, &roots, numbers, "", &mut lines)?;
    Ok(lines)
}

/// The lines, aligned and in colour.
pub(crate) fn painted(lines: &[Line], screen: &Screen) -> Vec<String> {
    let width = lines.iter().filter(|line| line.state.is_some()).map(|line| line.label.chars().count());
    let width = width.max().unwrap_or(0);
    let paint = |Line { label, state, note }: &Line| match state {
        None => format!("{label}{}", screen.dim(note)),
        Some(state) => {
            let state = screen.paint(screen::of_state(*state), format_args!("{state:9}"));
            format!("{label:width$}  {state}  {}", screen.dim(note)).trim_end().to_owned()
        }
    };
    lines.iter().map(paint).collect()
}

fn shown(numbers: ChildCounts) -> u32 {
    if numbers.created > SIBLINGS { ABBREVIATED } else { SIBLINGS }
}

/// The first siblings with all that is below them, and a summary of the others.
fn siblings(
    store: &(impl Query + ?Sized),
    tasks: &[Task],
    numbers: ChildCounts,
    indent: &str,
    lines: &mut Vec<Line>,
) -> Result<(), Failure> {
    let rest = rest(tasks, numbers);
    for (at, task) in tasks.iter().enumerate() {
        let is_last = at + 1 == tasks.len() && rest.is_none();
        let (branch, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let label = format!("{indent}{branch}{}", task.name);
        lines.push(Line { label, state: Some(task.state), note: note(task) });
        if let Some(numbers) = task.child_counts {
            let children = store.children(task.id, 0, shown(numbers))?.items;
            siblings(store, &children, numbers, &format!("{indent}{below}"), lines)?;
        }
    }
    lines.extend(rest.map(|note| Line { label: format!("{indent}└─ "), state: None, note }));
    Ok(())
}

/// What there is to say of a task besides its state.
fn note(task: &Task) -> String {
    let mut notes = Vec::new();
    if let Some(numbers) = task.child_counts {
        notes.push(counted(numbers.created, "child", "children"));
        if !numbers.is_sealed() {
            notes.push("still open".to_owned());
        }
    }
    if task.retry_count > 0 {
        notes.push(format!("retried {} of {}", task.retry_count, task.max_retries.get()));
    }
    if task.state == State::Failed && task.due_at.is_some() {
        notes.push("a retry is due".to_owned());
    }
    if let Some(error) = task.last_error.as_ref().filter(|_| task.state == State::Failed) {
        notes.push(format!("“{error}”"));
    }
    notes.join(", ")
}

/// What became of the siblings that are not shown, from the numbers of their parent.
fn rest(tasks: &[Task], numbers: ChildCounts) -> Option<String> {
    let count = |settled: bool, state: Option<State>| {
        let counts = |task: &&Task| {
            task.status().is_settled() == settled && state.is_none_or(|state| task.state == state)
        };
        u32::try_from(tasks.iter().filter(counts).count()).unwrap_or(u32::MAX)
    };
    let others = [
        (numbers.succeeded(), count(true, Some(State::Succeeded)), "SUCCEEDED"),
        (numbers.failed, count(true, Some(State::Failed)), "FAILED"),
        (numbers.cancelled, count(true, Some(State::Cancelled)), "CANCELLED"),
        (numbers.open, count(false, None), "not settled"),
        (numbers.total.unwrap_or(numbers.created), numbers.created, "still to be created"),
    ];
    let mut parts = Vec::new();
    for (all, shown, what) in others {
        let more = all.saturating_sub(shown);
        if more > 0 {
            let word = if parts.is_empty() { " more" } else { "" };
            parts.push(format!("{}{word} {what}", grouped(more)));
        }
    }
    (!parts.is_empty()).then(|| format!("… {}", parts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_model::{RunDraft, TaskDraft};
    use conductor_store::{Environment, Report, ReportBatch, Scope, SqliteStore, Store, Submit};
    use serde_json::json;

    fn tree(input: serde_json::Value, reports: impl Fn(&Task) -> Option<Report>) -> Vec<String> {
        let (store, env) = (SqliteStore::open_in_memory().unwrap(), Environment::system());
        let task = TaskDraft::new("PARENT").input(input);
        let run = RunDraft::new().task(task).validate().unwrap();
        let run = store.submit(&Submit::new(run, &env)).unwrap().run;
        conductor_workers::steps::run_steps_until_idle(&store, Scope::Run(run), &env).unwrap();
        let root = look::root(&store, run).unwrap();
        let children = look::children(&store, root.id).unwrap();
        store.report(&ReportBatch::new(children.iter().filter_map(reports), &env)).unwrap();
        let lines = painted(&of(&store, run).unwrap(), &Screen::default());
        lines.iter().map(|line| line.replace(&run.to_string(), "1")).collect()
    }

    #[test]
    fn short_lists_are_shown_whole() {
        let lines = tree(json!({"fanout": 2}), |task| match task.index {
            1 => Some(Report::succeeded(task.id)),
            _ => Some(Report::failed(task.id, "timeout")),
        });
        assert_eq!(
            lines[1..],
            [
                "└─ PARENT                       RUNNING    2 children",
                "   ├─ PARENT#1                  SUCCEEDED",
                "   └─ PARENT#2                  FAILED     a retry is due, “timeout”",
            ]
        );
    }

    #[test]
    fn long_lists_are_abbreviated() {
        let lines = tree(json!({"fanout": 100}), |task| match task.index {
            2 | 7..=8 => Some(Report::failed_permanently(task.id, "no")),
            99.. => None,
            _ => Some(Report::succeeded(task.id)),
        });
        assert_eq!(lines.len(), 6);
        assert_eq!(lines[5], "   └─ … 93 more SUCCEEDED, 2 FAILED, 2 not settled");
    }

    #[test]
    fn what_is_below_a_child_is_shown_below_it() {
        let lines = tree(json!({"fanout": [{"fanout": 1}, "leaf"]}), |_| None);
        let names: Vec<&str> = lines[1..].iter().map(|line| line.split("  R").next().unwrap()).collect();
        let names = names.iter().map(|line| line.split("  P").next().unwrap().trim_end());
        assert!(
            names.eq(["└─ PARENT", "   ├─ PARENT#1", "   │  └─ PARENT#1#1", "   └─ PARENT#2"]),
            "{lines:#?}"
        );
    }
}
