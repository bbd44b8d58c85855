//! What an open transaction or snapshot can be asked.

use super::{
    Above, AuditEvent, AuditJoin, AuditJoins, AuditKeys, AuditRun, AuditRuns, AuditTask, AuditTasks,
    ChildResults, ChildResultsWanted, ChildWanted, ClaimRow, ClaimsWanted, Counts, CountsWanted, EngineRow,
    EventsWanted, Examine, Examined, Existing, ExistingWanted, ExplainRow, JoinRow, KeySet, KeysFound,
    LatestEvents, Node, NodePlace, NodesWanted, ParentKey, PastEvent, ProgressWanted, PruneWork, ReadParent,
    Rows, RunKey, RunsWanted, StuckRow, StuckWanted, TaskGroup, TaskKey, TaskRecords, TasksWanted, Work,
};
use crate::{NodeId, RunBlockers, StoreError};
use conductor_model::{Event, Json, Run, TaskProgress, Timestamp};

/// Reads of one transaction or snapshot.
///
/// In a [`WriteTx`](super::WriteTx), a read sees the writes of the transaction before it, and no other transaction can
/// change what it returned before the commit. The same holds for what [`existing`](ReadTx::existing) did not find. Only
/// [`has_work`](ReadTx::has_work) promises nothing about later moments.
///
/// All counts include every change: a store that [counts later](super::Counted::Later) adds to each row that it returns
/// what it has not added up, and looks for rows by such sums. A row changed last when its counts did.
///
/// A row that another program damaged is part of the answer, where the type says how. Elsewhere it is the error
/// [`StoreError::CorruptRow`].
pub trait ReadTx {
    /// Returns whether there is work of this kind. It may say yes where there is none, but not the reverse. A store that
    /// adds changes of counts up later says yes to [`Work::Aggregate`], while it has such changes.
    ///
    /// # Errors
    /// [`StoreError::RunNotFound`] for the scope of an unknown run.
    fn has_work(&mut self, work: &Work<'_>) -> Result<bool, StoreError>;

    /// Reads tasks. A task of a run that is being pruned does not exist. Where no order is promised, a group has all leaves
    /// of its block that are in its condition, or some of them: two groups of one block may lie between each other.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn nodes(&mut self, wanted: NodesWanted) -> Result<Vec<Node>, StoreError>;

    /// Finds leaves by their keys, in any order. What is missing, is not a leaf or cannot be read is left out.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn leaves(&mut self, keys: &[KeySet]) -> Result<Vec<TaskGroup>, StoreError>;

    /// Reads parents and runs: one answer for each key, at its place in `keys`. One that does not exist is an `Err` without
    /// a node.
    ///
    /// In a transaction, a store that counts later may add the changes of these parents up for good. It then still returns
    /// those with a new failure from [`decidable`](super::WriteTx::decidable). A snapshot writes nothing.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn parents(&mut self, keys: &[ParentKey]) -> Result<Vec<ReadParent>, StoreError>;

    /// Reads what stands above children of these parents: the parents, all above these, and their runs.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn above(&mut self, parents: &[ParentKey]) -> Result<Above, StoreError>;

    /// Reads the joins of parents and runs: one answer for each parent, at its place in `parents`. It is empty where no join
    /// is planned or exists.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn joins(&mut self, parents: &[ParentKey]) -> Result<Vec<JoinRow>, StoreError>;

    /// Finds what a submission would meet: an earlier one with the same idempotency key, the run, and the first of the
    /// tasks whose id another task has, or is planned for a join.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn existing(&mut self, wanted: &ExistingWanted<'_>) -> Result<Existing, StoreError>;

    // The reads behind queries and monitoring.

    /// Finds a run or a task by its id. A run that is being pruned does not exist, and neither do its tasks.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn locate(&mut self, id: NodeId) -> Result<Option<NodePlace>, StoreError>;

    /// Reads runs, at most `limit`.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store or one of the rows cannot be read.
    fn runs(&mut self, wanted: RunsWanted, limit: u32) -> Result<Rows<Run>, StoreError>;

    /// Reads tasks, at most `limit`. The answer ends behind the task with which the inputs and outputs have `max_bytes`
    /// bytes.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store or one of the rows cannot be read. A parent's input that cannot be read is
    /// part of the answer.
    fn tasks(&mut self, wanted: TasksWanted, limit: u32, max_bytes: usize)
    -> Result<TaskRecords, StoreError>;

    /// Reads the results of children.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store or one of the rows cannot be read.
    fn child_results(&mut self, wanted: &ChildResultsWanted) -> Result<ChildResults, StoreError>;

    /// Reads events, at most `limit`. An event that cannot be read is an item of the answer, with the error
    /// [`StoreError::CorruptRow`].
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn events(
        &mut self,
        wanted: &EventsWanted<'_>,
        limit: u32,
    ) -> Result<Rows<Result<Event, StoreError>>, StoreError>;

    /// Reads events of a run, the newest first.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store or the time of an event cannot be read.
    fn latest_events(&mut self, wanted: LatestEvents) -> Result<Vec<PastEvent>, StoreError>;

    /// Reads the progress of the present attempts of RUNNING tasks, at most `limit`.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store or one of the rows cannot be read.
    fn progress(&mut self, wanted: ProgressWanted, limit: u32) -> Result<Rows<TaskProgress>, StoreError>;

    /// Reads numbers of one run, or of all runs.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store or a number that it keeps cannot be read.
    fn counts(&mut self, run: Option<RunKey>, wanted: &[CountsWanted<'_>]) -> Result<Counts, StoreError>;

    /// Returns what the open tasks of a run wait for; at most `limit` items of each type. Of all runs, it returns only the
    /// kinds that are ready.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn blockers(&mut self, run: Option<RunKey>, limit: u32) -> Result<RunBlockers, StoreError>;

    /// Reads present claims of engines.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn claims(&mut self, wanted: &ClaimsWanted<'_>) -> Result<Vec<ClaimRow>, StoreError>;

    /// Returns the registered engines that live, as far as the store knows at this moment.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn live_engines(&mut self) -> Result<Vec<EngineRow>, StoreError>;

    /// Reads runs and tasks with all that explains their states: one answer for each key, at its place in `keys`; `None`
    /// for what is missing.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store or one of the rows cannot be read.
    fn explain_rows(&mut self, keys: &[ParentKey]) -> Result<Vec<Option<ExplainRow>>, StoreError>;

    /// Finds a child of a parent, or its join. If the parent has more than some hundred children, a store may search a
    /// bounded part of them, and return `None` or a younger child.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn find_child(&mut self, parent: ParentKey, child: ChildWanted) -> Result<Option<TaskKey>, StoreError>;

    /// Reads what is stuck, of one run or of all runs: the longest first, at most `limit`.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store or one of the rows cannot be read.
    fn stuck(
        &mut self,
        run: Option<RunKey>,
        wanted: &StuckWanted<'_>,
        limit: u32,
    ) -> Result<Vec<StuckRow>, StoreError>;

    // The reads of verifications, repairs and prunes. They return rows as they are, also damaged ones.

    /// Reads the row of a run; `None` if there is no such run.
    ///
    /// # Errors
    /// [`StoreError::RunNotFound`] for the scope of an unknown run.
    fn audit_run(&mut self, wanted: AuditRuns) -> Result<Option<(RunKey, AuditRun)>, StoreError>;

    /// Reads the next `limit` events of a run behind a position (0: from the first on), in the order of their commits.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn audit_events(&mut self, run: RunKey, after: u64, limit: u32) -> Result<Vec<AuditEvent>, StoreError>;

    /// Finds keys of tasks whose rows are damaged or lost.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn audit_keys(&mut self, wanted: AuditKeys<'_>) -> Result<KeysFound, StoreError>;

    /// Reads tasks. Those that do not exist are left out.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn audit_tasks(&mut self, tasks: AuditTasks<'_>) -> Result<Vec<AuditTask>, StoreError>;

    /// Reads join plans, in any order.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn audit_joins(&mut self, joins: AuditJoins) -> Result<Vec<AuditJoin>, StoreError>;

    /// Reads the input that is stored for a task itself.
    ///
    /// # Errors
    /// [`StoreError::CorruptRow`], if it is not JSON.
    fn own_input(&mut self, task: TaskKey) -> Result<Option<Json>, StoreError>;

    /// Examines what belongs to no run.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn examine(&mut self, wanted: Examine) -> Result<Examined, StoreError>;

    /// Finds what a prune can do: a run that an earlier transaction began to prune, or else the first that settled
    /// before this time and below which nothing is open, or else space that can be returned to the system.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn prune_work(&mut self, settled_before: Timestamp) -> Result<PruneWork, StoreError>;
}
