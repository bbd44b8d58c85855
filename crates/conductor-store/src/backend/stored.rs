//! Rows as they are stored, with values that another program may have changed: for verifications and repairs.

use super::{ParentKey, RunKey, TaskKey};
use crate::StoreError;
use conductor_model::{CancelCause, EventBody, JoinStatus, ParentStatus, Policy, RunId, TaskId};

/// What a row of a task says, in numbers that need not be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskColumns {
    /// The run.
    pub run: RunKey,
    /// The id; `None` if the row has no valid one.
    pub id: Option<TaskId>,
    /// Where it stands in the tree.
    pub position: StoredPosition,
    /// The [code](conductor_model::State::code) of the state.
    pub state: i64,
    /// When it must be looked at again: milliseconds since 1970.
    pub due_at: Option<i64>,
    /// The number of the last attempt.
    pub attempt: i64,
    /// How often it was retried.
    pub retry_count: i64,
    /// When its lease ends: milliseconds since 1970.
    pub lease_until: Option<i64>,
    /// The key of the engine that claimed it.
    pub engine: Option<i64>,
    /// What the row says of the task as a parent.
    pub as_parent: ParentColumns,
    /// Up to which index its children were swept; `None` without a cancel cause.
    pub swept: Option<i64>,
}

/// What a row of a run says, in numbers that need not be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunColumns {
    /// The id; `None` if the row has no valid one.
    pub id: Option<RunId>,
    /// The [code](conductor_model::State::code) of the state.
    pub state: i64,
    /// What the row says of the run as the parent of its root tasks.
    pub as_parent: ParentColumns,
    /// The number of its tasks in each state, in the order of [`State::ALL`](conductor_model::State::ALL).
    pub state_counts: [i64; 5],
    /// Up to which index its root tasks were swept; `None` without a cancel cause.
    pub swept: Option<i64>,
}

/// What a row says of a parent or a run, in numbers that need not be valid. All is `None` for a leaf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentColumns {
    /// Whether the number of its children is final.
    pub sealed: Option<bool>,
    /// The final number of its children.
    pub total: Option<i64>,
    /// The number of its children that exist.
    pub created: Option<i64>,
    /// The number of its children that are open.
    pub open: Option<i64>,
    /// The number of its children that failed.
    pub failed: Option<i64>,
    /// The number of its children that were cancelled.
    pub cancelled: Option<i64>,
    /// The policy as JSON; `None` for the default.
    pub policy: Option<String>,
    /// The [code](conductor_model::CancelCause::code) of the cancel cause.
    pub cancel_cause: Option<i64>,
    /// Whether the task of its join is open; `None` without a join.
    pub join_open: Option<bool>,
}

impl ParentColumns {
    /// The columns of a parent or a run with this status. A verification expects exactly these.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the policy cannot be written as JSON.
    pub fn of(status: ParentStatus) -> Result<Self, StoreError> {
        let ParentStatus { counts, policy, cancel_cause, join } = status;
        Ok(Self {
            sealed: Some(counts.is_sealed()),
            total: counts.total.map(i64::from),
            created: Some(i64::from(counts.created)),
            open: Some(i64::from(counts.open)),
            failed: Some(i64::from(counts.failed)),
            cancelled: Some(i64::from(counts.cancelled)),
            policy: Self::policy_text(policy)?,
            cancel_cause: cancel_cause.map(CancelCause::code),
            join_open: Self::join_open_of(join),
        })
    }

    /// The policy as it is stored.
    pub(crate) fn policy_text(policy: Policy) -> Result<Option<String>, StoreError> {
        let text = (policy != Policy::default()).then(|| serde_json::to_string(&policy)).transpose();
        text.map_err(|error| StoreError::Backend(Box::new(error)))
    }

    /// The status of a join as it is stored. The task of the join says how it ended.
    pub(crate) fn join_open_of(join: JoinStatus) -> Option<bool> {
        match join {
            JoinStatus::None => None,
            JoinStatus::Open => Some(true),
            JoinStatus::NotStarted | JoinStatus::Settled(_) => Some(false),
        }
    }
}

/// Where a row says that its task stands. The parent need not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredPosition {
    /// The parent; `None` for a root task.
    pub parent: Option<TaskKey>,
    /// The index among its siblings: 0 for a join. It is negative for a row that has lost its position.
    pub index: i64,
}

/// A stored task, and whether what belongs to it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditTask {
    /// Its key.
    pub key: TaskKey,
    /// What its row says.
    pub row: TaskColumns,
    /// The number that its row has for its kind, if no kind has this number.
    pub unknown_kind: Option<i64>,
    /// Whether it has an input of its own.
    pub has_input: bool,
}

/// Whether a run has a row.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditRun {
    /// It has one.
    Stored(RunColumns),
    /// It has none, though a task, an event or a join plan names the run, and it is not being pruned.
    Missing,
    /// It has none, and it is being pruned or nothing names it.
    Gone,
}

/// A stored event of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEvent {
    /// Its position among all events.
    pub seq: u64,
    /// The task; `None` for an event of the run itself.
    pub task: Option<TaskKey>,
    /// The name of the event; `?` if it is unknown.
    pub name: &'static str,
    /// What it says; or why it cannot be read.
    pub body: Result<EventBody, String>,
}

/// A stored join plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditJoin {
    /// The parent or the run that has the join. It need not exist.
    pub parent: ParentKey,
    /// The id that the task of the join has; `None` if the plan has no valid one.
    pub id: Option<TaskId>,
    /// The number that the plan has for the kind, if no kind has this number.
    pub unknown_kind: Option<i64>,
}

/// Tasks that were created together, so that their ids follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The id of the first task.
    pub first: TaskId,
    /// The number of tasks; at least 1.
    pub count: u32,
}

/// Tasks that were created together, and whose keys follow each other like their ids.
///
/// A store returns the blocks that they were inserted in, as far as it can tell from the rows that are left; or one part,
/// if the keys of all tasks follow each other that one transaction creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedPart {
    /// The number of tasks.
    pub count: u32,
    /// Which key the first of them has. Each row that is left says it. Where another program changed keys, the rows
    /// differ: then it is each key that a row says, in ascending order. It is empty if no row is left.
    pub first_keys: Vec<FirstKey>,
}

/// A key that the first of some tasks has, according to rows of these tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstKey {
    /// The key. It need not be valid.
    pub key: TaskKey,
    /// The number of rows that agree on it, as far as they were read.
    pub rows: u32,
}

/// Keys that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key.
    pub first: TaskKey,
    /// The number of keys.
    pub count: u32,
}

/// What a write of a repair did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminWritten {
    /// Nothing changed.
    Unchanged,
    /// A row changed.
    Changed,
    /// A task was restored with this key.
    Restored(TaskKey),
    /// A task was not restored: the row of its parent or of its kind is missing.
    NoTemplate,
    /// A task was not restored: no key is free for it.
    NoKey,
}

/// Keys of tasks whose rows are damaged or lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeysFound {
    /// For each range, its parts.
    pub parts: Vec<Vec<CreatedPart>>,
    /// The keys that no row has; `None` if that cannot be said.
    pub lost: Option<KeyRange>,
}

/// What was found that belongs to no run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// The tasks of inputs that do not exist.
    pub stray_inputs: Vec<TaskKey>,
    /// The key behind which the next inputs stand; `None` after the last.
    pub next: Option<TaskKey>,
    /// Descriptions of damage.
    pub damage: Vec<String>,
}
