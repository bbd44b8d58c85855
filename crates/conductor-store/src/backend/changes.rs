//! What an operation hands to an open transaction to write.

use super::{
    CorruptParent, CorruptTask, KeySet, LeafStatus, ParentKey, ParentRow, Position, ReadParent, RunKey,
    TaskGroup, TaskKey,
};
use crate::EngineKey;
use conductor_model::{
    Backoff, ChildCounts, CountDelta, ErrorText, EventBody, Json, Kind, MaxRetries, NewJoin, NewRun, Policy,
    Progress, RunId, TaskId, Timestamp,
};

/// A run to insert.
#[derive(Clone, Copy, Debug)]
pub struct NewRunRow<'a> {
    /// Its key.
    pub key: RunKey,
    /// Its id.
    pub id: RunId,
    /// What was submitted: the policy, the meta data and the idempotency key come from here.
    pub run: &'a NewRun,
    /// The counts of its root tasks, of which none exists yet.
    pub counts: ChildCounts,
    /// When what is open of it is cancelled.
    pub deadline: Option<Timestamp>,
    /// The id that the task of its join will have; `None` without a join.
    pub join_id: Option<TaskId>,
}

/// Up to [`OffsetSet::MAX`](super::OffsetSet::MAX) PENDING siblings to insert, which have all in common but their key,
/// id, index, name and input. Their ids have all but the last ten bits in common.
#[derive(Clone, Copy, Debug)]
pub struct NewBlock<'a> {
    /// The key of the first task; the keys of the others follow.
    pub first_key: TaskKey,
    /// The id of the first task; the ids of the others follow.
    pub first_id: TaskId,
    /// The index of the first task; the indices of the others follow.
    pub first_index: u32,
    /// The number of tasks.
    pub count: u16,
    /// Where they stand.
    pub position: Position,
    /// Their kind.
    pub kind: &'a Kind,
    /// Their priority.
    pub priority: i16,
    /// How often an attempt may be repeated.
    pub max_retries: MaxRetries,
    /// How long a retry waits.
    pub backoff: Backoff,
    /// How long an attempt may take.
    pub timeout_ms: Option<u32>,
    /// Before when they must not start.
    pub due_at: Option<Timestamp>,
    /// Their names, in the order of the indices. Empty where a name is that of the parent, `#` and the index.
    pub names: &'a [&'a str],
    /// Their inputs as JSON text, in the order of the indices. Empty if no task has an input of its own.
    pub inputs: &'a [Option<&'a str>],
    /// What the only task is as a parent; `None` for leaves.
    pub parent: Option<NewParent<'a>>,
}

/// What a new task is as a parent.
#[derive(Clone, Copy, Debug)]
pub struct NewParent<'a> {
    /// The counts of its children, of which none exists yet.
    pub counts: ChildCounts,
    /// How failures of its children count.
    pub policy: Policy,
    /// Its join, and the id that the task of the join will have.
    pub join: Option<(TaskId, &'a NewJoin)>,
}

/// Leaves of one block that go from one condition to another, all in the same way.
#[derive(Clone, Debug)]
pub struct LeafWrite<'a> {
    /// The leaves, as they are.
    pub before: TaskGroup,
    /// Their condition from now on.
    pub after: LeafStatus,
    /// The engine that claims them; `None` if no engine holds them from now on.
    pub claim: Option<ClaimWrite>,
    /// The outputs of those that have one, by ascending offset. The others keep theirs.
    pub outputs: Vec<(u16, &'a Json)>,
    /// Whether earlier outputs are removed.
    pub clears_output: bool,
    /// The last error from now on; `None` keeps the earlier one.
    pub error: Option<ErrorText>,
}

/// The claim of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimWrite {
    /// The engine.
    pub engine: EngineKey,
    /// When the lease ends.
    pub lease_until: Timestamp,
}

/// A parent or a run, as it is from now on.
///
/// Of [`ChildCounts`] only `total` is written; the other counts and the state counts change by [`CountChange`] alone.
#[derive(Clone, Debug)]
pub struct ParentWrite {
    /// The new row.
    pub row: ParentRow,
    /// Whether only the state, the due time, the output and the error are written, because the rest of the present row
    /// cannot be read.
    pub is_corrupt: bool,
    /// The output of a task that succeeded.
    pub output: Option<Json>,
    /// Whether an earlier output is removed.
    pub clears_output: bool,
    /// The last error from now on; `None` keeps the earlier one.
    pub error: Option<ErrorText>,
}

/// What is added to the counts of a parent, and to the state counts of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountChange {
    /// The parent.
    pub parent: ParentKey,
    /// What is added.
    pub delta: CountDelta,
}

/// What a store answers to a count.
#[derive(Clone, Debug)]
pub enum Counted {
    /// The new counts.
    Now {
        /// The parents whose child counts changed: one for each change whose [`CountDelta::children`] are not all 0, in
        /// their order.
        parents: Vec<ReadParent>,
        /// The runs of these parents that cannot be read.
        corrupt_runs: Vec<CorruptParent>,
    },
    /// The store keeps the changes, and adds them up after the commit; then
    /// [`WriteTx::decidable`](super::WriteTx::decidable) returns the parents. Until then no policy applies to new
    /// failures: siblings may be claimed. Every read shows the sums already.
    Later,
}

/// An event to record.
#[derive(Clone, Debug, PartialEq)]
pub enum NewEvent {
    /// An event of a run.
    Run(RunKey, EventBody),
    /// An event of a task.
    Task(RunKey, TaskKey, EventBody),
    /// One event for each of these leaves: the body is that of the first, and [`EventBody::of_sibling`] that of the others.
    Leaves(RunKey, Vec<KeySet>, EventBody),
}

/// Keys for new rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewKeys {
    /// The key of a run; 0 if none was wanted.
    pub run: RunKey,
    /// The first key of each block.
    pub blocks: Vec<TaskKey>,
}

/// A row that cannot be read.
#[derive(Clone, Copy, Debug)]
pub enum CorruptRow<'a> {
    /// A task.
    Task(&'a CorruptTask),
    /// A run.
    Run(RunKey),
}

/// The progress of a running attempt.
#[derive(Clone, Copy, Debug)]
pub struct ProgressWrite<'a> {
    /// The run.
    pub run: RunKey,
    /// The task.
    pub task: TaskKey,
    /// The attempt.
    pub attempt: u32,
    /// What its handler reported.
    pub progress: &'a Progress,
}
