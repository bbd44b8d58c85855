//! The state tree: a run, its tasks and their states. Long lists of siblings are abbreviated with the counters of their
//! parent, so that a million siblings cost as much as three.

use crate::{
    failure::Failure,
    output::{self, Output, counted, grouped},
    queries,
};
use origin_conductor::store::{Query, TaskFilter};
use origin_conductor::{ChildCounts, Run, RunId, State, Task};

/// The longest list of siblings that is shown whole.
const SIBLINGS: u32 = 6;
/// The number of siblings that an abbreviated list shows.
const ABBREVIATED: u32 = 3;

/// One line of the tree.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    label: String,
    state: Option<State>,
    note: String,
}

/// Reads the tree of a run.
pub(crate) fn of(store: &(impl Query + ?Sized), run: RunId) -> Result<Vec<Line>, Failure> {
    let Run { state, child_counts: counts, .. } = queries::run(store, run)?;
    let mut lines = vec![Line { label: format!("run {run}"), state: Some(state), note: String::new() }];
    let mut roots = store.tasks(run, TaskFilter::default(), None, shown(counts))?.items;
    roots.retain(|task| task.parent.is_none());
    siblings(store, &roots, counts, "", &mut lines)?;
    Ok(lines)
}

/// Returns the lines, aligned and coloured.
pub(crate) fn painted(lines: &[Line], output: &Output) -> Vec<String> {
    let width = lines.iter().filter(|line| line.state.is_some()).map(|line| line.label.chars().count());
    let width = width.max().unwrap_or(0);
    let paint = |Line { label, state, note }: &Line| match state {
        None => format!("{label}{}", output.dim(note)),
        Some(state) => {
            let state = output.paint(output::of_state(*state), format_args!("{state:9}"));
            format!("{label:width$}  {state}  {}", output.dim(note)).trim_end().to_owned()
        }
    };
    lines.iter().map(paint).collect()
}

fn shown(counts: ChildCounts) -> u32 {
    if counts.created > SIBLINGS { ABBREVIATED } else { SIBLINGS }
}

/// Adds the first siblings with their descendants, and a summary of the other siblings.
fn siblings(
    store: &(impl Query + ?Sized),
    tasks: &[Task],
    counts: ChildCounts,
    indent: &str,
    lines: &mut Vec<Line>,
) -> Result<(), Failure> {
    let rest = rest(tasks, counts);
    for (at, task) in tasks.iter().enumerate() {
        let is_last = at + 1 == tasks.len() && rest.is_none();
        let (branch, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let label = format!("{indent}{branch}{}", task.name);
        lines.push(Line { label, state: Some(task.state), note: note(task) });
        if let Some(counts) = task.child_counts {
            let children = store.children(task.id, 0, shown(counts))?.items;
            siblings(store, &children, counts, &format!("{indent}{below}"), lines)?;
        }
    }
    lines.extend(rest.map(|note| Line { label: format!("{indent}└─ "), state: None, note }));
    Ok(())
}

/// Returns the remarks on a task besides its state.
fn note(task: &Task) -> String {
    let mut notes = Vec::new();
    if let Some(counts) = task.child_counts {
        notes.push(counted(counts.created, "child", "children"));
        if !counts.is_sealed() {
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

/// Returns a summary of the siblings that are not shown, from the counters of their parent.
fn rest(tasks: &[Task], counts: ChildCounts) -> Option<String> {
    let count = |settled: bool, state: Option<State>| {
        let counts = |task: &&Task| {
            task.status().is_settled() == settled && state.is_none_or(|state| task.state == state)
        };
        u32::try_from(tasks.iter().filter(counts).count()).unwrap_or(u32::MAX)
    };
    let others = [
        (counts.succeeded(), count(true, Some(State::Succeeded)), "SUCCEEDED"),
        (counts.failed, count(true, Some(State::Failed)), "FAILED"),
        (counts.cancelled, count(true, Some(State::Cancelled)), "CANCELLED"),
        (counts.open, count(false, None), "not settled"),
        (counts.total.unwrap_or(counts.created), counts.created, "still to be created"),
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
    use origin_conductor::store::{ReportBatch, Store, Submit};
    use origin_conductor::{Environment, Report, RunDraft, Scope, SqliteStore, TaskDraft};
    use serde_json::json;

    fn tree(input: serde_json::Value, reports: impl Fn(&Task) -> Option<Report>) -> Vec<String> {
        let (store, env) = (SqliteStore::open_in_memory().unwrap(), Environment::system());
        let task = TaskDraft::new("PARENT").input(input);
        let run = RunDraft::new().task(task).validate().unwrap();
        let run = store.submit(&Submit::new(run, &env)).unwrap().run;
        origin_conductor::steps::run_steps_until_idle(&store, Scope::Run(run), &env).unwrap();
        let root = queries::root(&store, run).unwrap();
        let children = queries::children(&store, root.id).unwrap();
        store.report(&ReportBatch::new(children.iter().filter_map(reports), &env)).unwrap();
        let lines = painted(&of(&store, run).unwrap(), &Output::default());
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
    fn grandchildren_are_shown_below_their_parent() {
        let lines = tree(json!({"fanout": [{"fanout": 1}, "leaf"]}), |_| None);
        let names: Vec<&str> = lines[1..].iter().map(|line| line.split("  R").next().unwrap()).collect();
        let names = names.iter().map(|line| line.split("  P").next().unwrap().trim_end());
        assert!(
            names.eq(["└─ PARENT", "   ├─ PARENT#1", "   │  └─ PARENT#1#1", "   └─ PARENT#2"]),
            "{lines:#?}"
        );
    }
}
