//! What readers ask for, and the rows that stores answer with.

use super::{ParentInput, ParentKey, Position, RunKey, TaskKey};
use crate::{EngineCapabilities, EngineKey, Fence};
use conductor_model::{
    EngineId, ErrorText, EventBody, ExplainTarget, Kind, LeaseLosses, ParentStatus, RunId, State,
    StateCounts, Task, TaskId, Timestamp,
};

/// The rows that fit into one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows<T> {
    /// The rows, in order.
    pub items: Vec<T>,
    /// Whether more rows follow that did not fit. Then there is at least one item, from which the next page goes on.
    pub more: bool,
}

/// Where a run or a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodePlace {
    /// Its key, as the parent of its children.
    pub key: ParentKey,
    /// The parent of the task; `None` for a run.
    pub parent: Option<ParentKey>,
    /// The index of the task, 0 for a join; 0 for a run.
    pub index: u32,
}

/// Which runs are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunsWanted {
    /// The run with this id.
    Id(RunId),
    /// Those that were submitted after this run, in the order of their submission; `None` starts at the first.
    After(Option<RunKey>),
}

/// Which tasks are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TasksWanted {
    /// The task with this id.
    Id(TaskId),
    /// Tasks of a run, joins included, in the order of the keys of their parents (root tasks first) and then of their
    /// indices.
    OfRun {
        /// The run.
        run: RunKey,
        /// Those behind this place: the parent and the index of a task; `None` starts at the first.
        after: Option<(Option<TaskKey>, u32)>,
        /// Those in this state; `None` for all.
        state: Option<State>,
    },
    /// The children of a parent behind an index, by index, without the join.
    Children {
        /// The parent.
        parent: ParentKey,
        /// The index.
        after: u32,
    },
}

/// A task as readers see it, without an input that comes from its parent.
#[derive(Clone, Debug)]
pub struct TaskRecord {
    /// The task. Its input is its own; its parent is `None`, if the row of the parent is missing.
    pub task: Task,
    /// Where it stands.
    pub position: Position,
}

/// Tasks, and what their inputs may come from.
#[derive(Clone, Debug)]
pub struct TaskRecords {
    /// The tasks.
    pub rows: Rows<TaskRecord>,
    /// The inputs of the parents of those tasks that have no input of their own.
    pub parent_inputs: Vec<(ParentKey, ParentInput)>,
}

/// Which children of a parent are wanted, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildResultsWanted {
    /// The parent.
    pub parent: ParentKey,
    /// Whether the children must be SUCCEEDED, or must not be.
    pub succeeded: bool,
    /// Those behind this index.
    pub after: u32,
    /// Those up to this index.
    pub until: u32,
    /// At most this number of children.
    pub limit: u32,
    /// The answer ends behind the child with which the outputs and errors have this number of bytes.
    pub max_bytes: usize,
}

/// The results of children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChildResults {
    /// How many children the parent has, without the join; 0 for a leaf or a parent that is missing.
    pub created: u32,
    /// Those that are wanted.
    pub results: Vec<ChildResult>,
}

/// The result of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildResult {
    /// Its index, from 1.
    pub index: u32,
    /// Its id.
    pub id: TaskId,
    /// Its state.
    pub state: State,
    /// The JSON text of the output, if the child is SUCCEEDED.
    pub output: Option<String>,
    /// The last error, if the child is not SUCCEEDED.
    pub error: Option<ErrorText>,
}

/// Which events are wanted: those that satisfy all conditions, in the order of their commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventsWanted<'a> {
    /// Those of this run.
    pub run: Option<RunKey>,
    /// Those of this task.
    pub task: Option<TaskKey>,
    /// Those with this name. An unknown name has no events.
    pub name: Option<&'a str>,
    /// Those at this time or later.
    pub since: Option<Timestamp>,
    /// Those before this time.
    pub until: Option<Timestamp>,
    /// Those with a larger sequence number.
    pub after: u64,
}

/// Which events of a run are wanted, from the newest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatestEvents {
    /// At most `limit` events, up to the first that is older than a time.
    Since {
        /// The run.
        run: RunKey,
        /// The time.
        since: Timestamp,
        /// The number of events.
        limit: u32,
    },
    /// The newest request to cancel this run or this parent. A store may miss one that is not among the last 1000 such
    /// requests of the run.
    CancelRequest(ParentKey),
    /// The cancel of this leaf at this time. A store may miss one that is neither among the last 500 of the run nor among
    /// the first 500 from this time on.
    Cancel(RunKey, TaskKey, Timestamp),
}

/// What an event says.
#[derive(Clone, Debug, PartialEq)]
pub struct PastEvent {
    /// When it happened.
    pub at: Timestamp,
    /// Its name and payload; `None` if they cannot be read.
    pub body: Option<EventBody>,
}

/// Whose progress is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressWanted {
    /// That of one task.
    Task(TaskId),
    /// That of tasks of a run, in the order of their keys.
    OfRun {
        /// The run.
        run: RunKey,
        /// Those behind this task; `None` starts at the first.
        after: Option<TaskKey>,
    },
}

/// Numbers that are wanted, of one run or of all runs. Tasks of a run that is being pruned count nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountsWanted<'a> {
    /// The tasks in each state.
    States,
    /// The FAILED tasks with a retry.
    RetriesDue,
    /// The FAILED leaves without a retry, and those of them that were retried as often as they may be.
    PermanentFailures,
    /// The tasks that were retried, their retries, and those of them that are SUCCEEDED.
    Retries,
    /// Of one run: the children that are missing below parents whose fan-out is not open; of at most this number of
    /// parents.
    MissingChildren {
        /// The number of parents.
        max_parents: u32,
    },
    /// The rows that [`ReadTx::stuck`](super::ReadTx::stuck) finds without a limit.
    Stuck(StuckWanted<'a>),
    /// Of one run: the events, and those with some names.
    Events,
    /// The earliest of these times: when a retry or a delayed start is due, when the lease of a claim ends, and when the
    /// deadline of an open run without a cancel cause passes.
    NextDue,
}

/// Numbers. Those that are not wanted are 0 or `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The tasks in each state.
    pub states: StateCounts,
    /// The FAILED tasks with a retry.
    pub retries_due: u64,
    /// The FAILED leaves without a retry.
    pub failed_leaves: u64,
    /// Those of them that were retried as often as they may be.
    pub retries_exhausted: u64,
    /// The tasks that were retried.
    pub retried_tasks: u64,
    /// The number of all retries.
    pub total_retries: u64,
    /// The retried tasks that are SUCCEEDED.
    pub succeeded_after_retry: u64,
    /// The children that are missing.
    pub missing_children: u64,
    /// The rows that are stuck.
    pub stuck: u64,
    /// The events of all names.
    pub events: u64,
    /// The events `task.fanned_out`.
    pub fan_out_events: u64,
    /// The events `task.aggregated` and `run.aggregated`.
    pub aggregate_events: u64,
    /// The events `task.retried`.
    pub retry_events: u64,
    /// The earliest time at which something is due; `None` if nothing waits.
    pub next_due: Option<Timestamp>,
}

/// Which present claims of engines are wanted.
#[derive(Clone, Copy, Debug)]
pub enum ClaimsWanted<'a> {
    /// The claims of leaves with these keys.
    Tasks(&'a [TaskKey]),
    /// The claims of these engines.
    Engines {
        /// The engines.
        engines: &'a [EngineKey],
        /// Those of leaves of this kind; `None` for all.
        kind: Option<&'a Kind>,
        /// At most this number of claims of each engine.
        limit: u32,
    },
}

/// A present claim of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimRow {
    /// The fence that is valid for it.
    pub fence: Fence,
    /// The engine; `None` if it is not known any more.
    pub engine: Option<EngineKey>,
}

/// An engine that is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineRow {
    /// Its key.
    pub key: EngineKey,
    /// Its id.
    pub id: EngineId,
    /// What it handles; nothing if that cannot be read.
    pub capabilities: EngineCapabilities,
}

/// A run or a task, with all that explains its state.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainRow {
    /// Its id, and the name of a task.
    pub target: ExplainTarget,
    /// Its key, as the parent of its children.
    pub key: ParentKey,
    /// The parent of the task; `None` for a run.
    pub parent: Option<ParentKey>,
    /// The state.
    pub state: State,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub updated_at: Timestamp,
    /// FAILED: when the retry is due. PENDING: before when it must not start.
    pub due_at: Option<Timestamp>,
    /// The last error of the task.
    pub last_error: Option<ErrorText>,
    /// What it is.
    pub detail: ExplainDetail,
}

/// What an explanation needs of a parent, or of a leaf.
#[derive(Clone, Debug, PartialEq)]
pub enum ExplainDetail {
    /// A parent or a run: what its decision depends on.
    Parent(ParentStatus),
    /// A leaf.
    Leaf(LeafDetail),
}

/// What an explanation needs of a leaf.
#[derive(Clone, Debug, PartialEq)]
pub struct LeafDetail {
    /// The kind.
    pub kind: Kind,
    /// The number of the last attempt.
    pub attempt: u32,
    /// How often it was retried.
    pub retry_count: u32,
    /// How often it may be retried.
    pub max_retries: u32,
    /// When the lease of its claim ends; `None` if no engine claimed it.
    pub lease_until: Option<Timestamp>,
    /// The engine that claimed it, if it is still known.
    pub engine: Option<EngineId>,
    /// How many leases were lost over it in a row.
    pub lease_losses: Option<LeaseLosses>,
}

/// Which child of a parent an explanation continues with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildWanted {
    /// The oldest child that is PENDING, RUNNING, or FAILED with a retry.
    Open,
    /// The oldest child that is FAILED without a retry.
    Failed,
    /// The oldest child that is CANCELLED.
    Cancelled,
    /// The join, if its task exists.
    Join,
}

/// A condition in which a run or a task must not stay for long, and since when it is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StuckCondition {
    /// A RUNNING leaf without a claim: since its last report.
    ExternalAttempt,
    /// A claimed leaf: since the end of its lease.
    ExpiredLease,
    /// A PENDING run, submitted before the time, with a PENDING root task that is a leaf or a parent with missing
    /// children: since this task was due or last changed.
    UnstartedRun,
    /// A parent whose open fan-out waits for an append or its seal: since its last child was created.
    OpenParent,
    /// An open run without a cancel cause: since its last root task was created.
    OpenRun,
    /// A parent that waits for its decision or a sweep: since its row last changed.
    UndecidedParent,
    /// A run that waits for its decision or a sweep: since its row last changed.
    UndecidedRun,
    /// A PENDING task of a RUNNING run without a cancel cause: since it was due. A store may search the first 1000 only.
    OverdueStart,
    /// A FAILED task of a RUNNING run without a cancel cause: since its retry was due. A store may search the first 1000
    /// only.
    OverdueRetry,
    /// A parent in a RUNNING run without a cancel cause whose children are missing: since its row last changed. A store
    /// may search the first 1000 only.
    MissingChildren,
}

/// What counts as stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StuckWanted<'a> {
    /// The conditions, at least one. A row counts once for each of them that it is in.
    pub conditions: &'a [StuckCondition],
    /// A row is stuck if it is in one of the conditions since before this time.
    pub before: Timestamp,
}

/// A run or a task that is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StuckRow {
    /// Its key.
    pub key: ParentKey,
    /// The id of the run.
    pub run: RunId,
    /// The id of the task; `None` for a run.
    pub task: Option<TaskId>,
    /// Since when it is in its condition.
    pub since: Timestamp,
}
