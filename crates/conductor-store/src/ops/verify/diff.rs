//! Differences between what rows say and what follows from the events.

use super::replay::RunAudit;
use crate::backend::{ParentColumns, RunColumns, StoredPosition, TaskColumns, TaskKey};
use crate::{DivergenceKind, StoreError};
use conductor_model::{CancelCause, ParentStatus, ReplayedRun, RunReplayTask, State, TaskId, Timestamp};

/// What a row says in one respect, and what follows from the events.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) kind: DivergenceKind,
    pub(crate) stored: String,
    pub(crate) computed: String,
}

impl Difference {
    /// A difference.
    pub(super) fn new(kind: DivergenceKind, stored: impl Into<String>, computed: impl Into<String>) -> Self {
        Self { kind, stored: stored.into(), computed: computed.into() }
    }
}

/// The columns of a parent or a run that follow from the events; those of a leaf, which has no status.
pub(crate) fn parent_columns(status: Option<ParentStatus>) -> Result<ParentColumns, StoreError> {
    status.map_or_else(|| Ok(ParentColumns::default()), ParentColumns::of)
}

fn parent_differences(stored: &ParentColumns, computed: &ParentColumns, differences: &mut Vec<Difference>) {
    if stored == computed {
        return;
    }
    let mut compare = |kind, show: fn(&ParentColumns) -> String, differs: bool| {
        if differs {
            differences.push(Difference::new(kind, show(stored), show(computed)));
        }
    };
    let counts =
        |row: &ParentColumns| (row.sealed, [row.total, row.created, row.open, row.failed, row.cancelled]);
    compare(DivergenceKind::ChildCounts, counts_text, counts(stored) != counts(computed));
    let policy = |row: &ParentColumns| row.policy.clone().unwrap_or_else(|| "the default".into());
    compare(DivergenceKind::Policy, policy, stored.policy != computed.policy);
    compare(DivergenceKind::CancelCause, cause_text, stored.cancel_cause != computed.cancel_cause);
    compare(DivergenceKind::JoinStatus, join_text, stored.join_open != computed.join_open);
}

fn counts_text(row: &ParentColumns) -> String {
    let Some(sealed) = row.sealed else { return "a leaf".into() };
    let number = |number: Option<i64>| number.map_or_else(|| "?".into(), |number| number.to_string());
    let total = if sealed { number(row.total) } else { "open".into() };
    format!(
        "{} children of {total}, {} open, {} failed, {} cancelled",
        number(row.created),
        number(row.open),
        number(row.failed),
        number(row.cancelled)
    )
}

fn cause_text(row: &ParentColumns) -> String {
    let Some(code) = row.cancel_cause else { return "no cancel cause".into() };
    CancelCause::from_code(code).map_or_else(|| format!("cancel cause {code}"), |cause| format!("{cause:?}"))
}

fn join_text(row: &ParentColumns) -> String {
    let text = match row.join_open {
        None => "no join",
        Some(true) => "an open join",
        Some(false) => "a join that is not open",
    };
    text.into()
}

/// The differences between the row of a task and its events.
pub(crate) fn task_differences(
    row: &TaskColumns,
    audit: &RunAudit,
    number: u32,
    task: &RunReplayTask,
) -> Result<Vec<Difference>, StoreError> {
    let mut differences = Vec::new();
    let id = audit.keys.id_of(number);
    if row.id.is_none_or(|stored| id.is_some_and(|id| id != stored)) {
        let show = |id: Option<TaskId>, none: &str| id.map_or_else(|| none.into(), |id| id.to_string());
        differences.push(Difference::new(DivergenceKind::Id, show(row.id, "no id"), show(id, "an id")));
    }
    let position = position(audit, task);
    if row.position != position {
        let (stored, computed) = (position_text(row.position), position_text(position));
        differences.push(Difference::new(DivergenceKind::Position, stored, computed));
    }
    if row.state != task.state.code() {
        let (stored, computed) = (state_text(row.state), task.state.to_string());
        differences.push(Difference::new(DivergenceKind::State, stored, computed));
    }
    differences.extend(due_difference(row, task));
    let mut compare = |kind, stored: i64, computed: u32| {
        if stored != i64::from(computed) {
            differences.push(Difference::new(kind, stored.to_string(), computed.to_string()));
        }
    };
    compare(DivergenceKind::RetryCount, row.retry_count, task.retry_count);
    let is_leaf = task.status.is_none();
    if is_leaf {
        compare(DivergenceKind::Attempt, row.attempt, task.attempt);
    }
    let is_running_leaf = is_leaf && task.state == State::Running;
    if !is_running_leaf && (row.lease_until.is_some() || row.engine.is_some()) {
        let computed = format!("no claim in state {}", task.state);
        differences.push(Difference::new(DivergenceKind::Lease, "a claim", computed));
    }
    parent_differences(&row.as_parent, &parent_columns(task.status)?, &mut differences);
    Ok(differences)
}

/// When the row must be looked at again, and when the events say so, if these differ.
fn due_difference(row: &TaskColumns, task: &RunReplayTask) -> Option<Difference> {
    let computed = task.due_at.map(Timestamp::as_millis);
    let agrees = match task.state {
        // A delayed start is no event.
        State::Pending if may_be_delayed(task) => true,
        // An imported retry is due, and no event says when.
        State::Failed if task.retry_scheduled && computed.is_none() => row.due_at.is_some(),
        _ => row.due_at == computed,
    };
    if agrees {
        return None;
    }
    let show = |due_at: Option<i64>| match due_at {
        None => "no due time".into(),
        Some(millis) => Timestamp::from_millis(millis)
            .map_or_else(|_| format!("{millis} ms"), |due_at| due_at.to_string()),
    };
    let is_any_time = task.retry_scheduled && computed.is_none();
    let computed = if is_any_time { "a due time".into() } else { show(computed) };
    Some(Difference::new(DivergenceKind::DueAt, show(row.due_at), computed))
}

/// Whether a task that is PENDING may have to wait for its time: a root task that was submitted so and never started.
/// Children and joins begin at once.
pub(crate) fn may_be_delayed(task: &RunReplayTask) -> bool {
    task.attempt == 0 && task.retry_count == 0 && task.parent.is_none() && task.index > 0
}

/// The parent of a task whose parent has no known key.
const UNKNOWN_PARENT: TaskKey = TaskKey(u64::MAX);

/// Where a task stands according to the events.
pub(crate) fn position(audit: &RunAudit, task: &RunReplayTask) -> StoredPosition {
    let parent = task.parent.map(|parent| audit.keys.key_of(parent).unwrap_or(UNKNOWN_PARENT));
    StoredPosition { parent, index: i64::from(task.index) }
}

/// Whether the parent of a position has a valid key.
pub(crate) fn has_known_parent(position: StoredPosition) -> bool {
    position.parent.is_none_or(|parent| parent.0 <= i64::MAX.cast_unsigned())
}

fn position_text(StoredPosition { parent, index }: StoredPosition) -> String {
    match parent {
        None => format!("root task {index}"),
        Some(parent) => format!("child {index} of {parent}"),
    }
}

fn state_text(code: i64) -> String {
    State::from_code(code).map_or_else(|| format!("state {code}"), |state| state.to_string())
}

/// The differences between the row of a run and its events.
pub(crate) fn run_differences(row: &RunColumns, run: &ReplayedRun) -> Result<Vec<Difference>, StoreError> {
    let mut differences = Vec::new();
    if row.state != run.state.code() {
        let (stored, computed) = (state_text(row.state), run.state.to_string());
        differences.push(Difference::new(DivergenceKind::State, stored, computed));
    }
    parent_differences(&row.as_parent, &parent_columns(Some(run.status))?, &mut differences);
    let counts = State::ALL.map(|state| run.state_counts.of(state).cast_signed());
    if row.state_counts != counts {
        let (stored, computed) = (state_counts_text(row.state_counts), state_counts_text(counts));
        differences.push(Difference::new(DivergenceKind::StateCounts, stored, computed));
    }
    Ok(differences)
}

fn state_counts_text(counts: [i64; 5]) -> String {
    let counts = counts.iter().zip(State::ALL).map(|(count, state)| format!("{count} {state}"));
    counts.collect::<Vec<_>>().join(", ")
}
