//! What operations ask for beside tasks and parents, and what stores answer.

use super::{CorruptTask, Node, ParentKey, ReadParent, RunKey, TaskGroup, TaskKey};
use conductor_model::{
    Backoff, CancelCause, IdempotencyKey, Json, Kind, MaxRetries, PayloadHash, RunId, State, TaskId, TaskName,
};

/// What stands above tasks that were read: their runs, and all parents up to these.
///
/// A parent or a run may be missing, where another program removed it or it cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Above {
    /// The runs.
    pub runs: Vec<AboveRun>,
    /// The parents, in any order.
    pub tasks: Vec<AboveTask>,
}

/// A run above tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AboveRun {
    /// Its key.
    pub key: RunKey,
    /// Its id.
    pub id: RunId,
    /// Its state.
    pub state: State,
    /// Why what is open below it is cancelled, if it is.
    pub cancel_cause: Option<CancelCause>,
}

/// A parent above tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AboveTask {
    /// Its key.
    pub key: TaskKey,
    /// Its id.
    pub id: TaskId,
    /// Its own parent.
    pub parent: ParentKey,
    /// Why what is open below it is cancelled, if it is.
    pub cancel_cause: Option<CancelCause>,
}

/// The ready leaves that an operation wants.
#[derive(Clone, Copy, Debug)]
pub struct ReadyWanted<'a> {
    /// Their kind.
    pub kind: &'a Kind,
    /// Their run; `None` for the first run that has any.
    pub run: Option<RunKey>,
    /// Whether the leaves must be isolated, or must not be.
    pub isolated: bool,
    /// At most this number of leaves, those with the highest priority first, then the oldest.
    pub limit: u32,
}

/// Ready leaves that the transaction took.
#[derive(Clone, Debug, Default)]
pub struct ReadyTasks {
    /// The leaves: by position in the request, then in the order of the claim.
    pub groups: Vec<(usize, ReadyGroup)>,
    /// Those that cannot be read: by position in the request.
    pub corrupt: Vec<(usize, CorruptTask)>,
    /// What stands above the leaves.
    pub above: Above,
    /// The inputs of the parents whose children have none of their own.
    pub parent_inputs: Vec<(ParentKey, ParentInput)>,
}

/// Ready leaves of one block.
#[derive(Clone, Debug)]
pub struct ReadyGroup {
    /// The leaves.
    pub group: TaskGroup,
    /// The input of each leaf, in the order of the offsets; or why it cannot be read. Empty if no leaf has one.
    pub inputs: Vec<Option<Result<Json, String>>>,
}

/// The input that children without one of their own may have from their parent.
#[derive(Clone, Debug, Default)]
pub struct ParentInput {
    /// The input of the parent; or why it cannot be read.
    pub input: Option<Result<Json, String>>,
    /// Whether the run was imported from the TypeScript version. It matters only for a parent without an input, or with
    /// the input `null`; a store may say `false` for every other parent.
    pub imported: bool,
}

/// Which parents are wanted with what their children come from.
#[derive(Clone, Copy, Debug)]
pub enum FanOutWanted<'a> {
    /// Parents whose children are missing: of each run at most so many, the oldest first.
    Missing {
        /// The runs, each with its number of parents.
        runs: &'a [(RunKey, u32)],
        /// The parents of a run that miss so many children together are enough, where a parent counts for at most half of
        /// them. This holds only where the inputs have [`FanOutWanted::SMALL`] bytes already.
        children: u32,
    },
    /// This parent, without its input.
    Parent(ParentKey),
}

impl FanOutWanted<'_> {
    /// Inputs with fewer bytes together are read without asking whether they are needed.
    pub const SMALL: usize = 256 << 10;
}

/// A parent whose children are missing, and all that they come from.
#[derive(Clone, Debug)]
pub struct FanOutParent {
    /// The run.
    pub run: RunKey,
    /// The parent.
    pub parent: Node,
    /// Its input; or why it cannot be read.
    pub input: Option<Result<Json, String>>,
    /// What its children have from it; or why it cannot be read.
    pub template: Result<ChildTemplate, String>,
    /// The first child that exists and is not counted: another program changed the counts.
    pub uncounted_child: Option<u32>,
}

/// What a child has from its parent.
#[derive(Clone, Debug)]
pub struct ChildTemplate {
    /// The name of the parent.
    pub name: TaskName,
    /// The kind.
    pub kind: Kind,
    /// The priority.
    pub priority: i16,
    /// How often an attempt may be repeated.
    pub max_retries: MaxRetries,
    /// How long a retry waits.
    pub backoff: Backoff,
    /// How long an attempt may take.
    pub timeout_ms: Option<u32>,
}

/// A parent or a run that may be decided.
#[derive(Clone, Debug)]
pub struct Decidable {
    /// It, with counts that include all changes which the store has added up.
    pub parent: ReadParent,
    /// Whether a permanent failure of a child was added up that no earlier answer showed, though the child may have been
    /// revived since. The operation applies the policy of the parent to it.
    pub new_failures: bool,
}

/// The join of a parent or a run.
#[derive(Clone, Debug, Default)]
pub struct JoinRow {
    /// Its task, if it exists.
    pub task: Option<Node>,
    /// The output of its task: JSON.
    pub output: Option<String>,
    /// What its task will be; or why it cannot be read.
    pub planned: Option<Result<PlannedJoin, String>>,
}

/// A join that is to come.
#[derive(Clone, Debug)]
pub struct PlannedJoin {
    /// The id of its task.
    pub id: TaskId,
    /// The kind.
    pub kind: Kind,
    /// The priority of its parent; 0 for the join of a run.
    pub priority: i16,
    /// How often an attempt may be repeated.
    pub max_retries: MaxRetries,
    /// How long a retry waits.
    pub backoff: Backoff,
    /// How long an attempt may take.
    pub timeout_ms: Option<u32>,
}

/// Which tasks an operation reads.
#[derive(Clone, Copy, Debug)]
pub enum NodesWanted {
    /// The task with this id.
    Id(TaskId),
    /// The next children of a parent behind an index, without the join, in any order.
    Children {
        /// The parent.
        parent: ParentKey,
        /// The index.
        after: u32,
        /// At most this number of children.
        limit: u32,
    },
    /// The next tasks of a run from a position on, joins included, in the order of the keys of their parents (root tasks
    /// first) and then of their indices. All tasks of a group stand before those of the next.
    From {
        /// The run.
        run: RunKey,
        /// The parent and the index of the first task.
        position: (Option<TaskKey>, u32),
        /// At most this number of tasks.
        limit: u32,
    },
}

/// What a submission would add.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExistingWanted<'a> {
    /// The idempotency key of the run.
    pub idempotency_key: Option<&'a IdempotencyKey>,
    /// The id of the run.
    pub run: Option<RunId>,
    /// The ids of tasks.
    pub tasks: &'a [TaskId],
}

/// What of a submission exists already.
#[derive(Clone, Copy, Debug, Default)]
pub struct Existing {
    /// What was submitted with the idempotency key.
    pub submission: Option<Submission>,
    /// The run with the id. A run that is being pruned does not exist.
    pub run: Option<RunKey>,
    /// The first id that is taken.
    pub task: Option<TaskId>,
}

/// What is stored of an earlier submission with an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The run.
    pub run: RunId,
    /// The version of the hash.
    pub payload_version: u8,
    /// The hash of what was submitted.
    pub payload_hash: PayloadHash,
}
