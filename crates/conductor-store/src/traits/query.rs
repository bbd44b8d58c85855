//! Reads a store.

use crate::{
    ChildFailure, ChildOutput, EngineKey, EventFilter, Fence, NodeId, Page, RunBlockers, Scope, StoreError,
    TaskFilter, WriteNotifier,
};
use conductor_model::{
    Event, Explanation, Kind, Run, RunId, StateCounts, Task, TaskId, TaskProgress, Timestamp,
};

/// The questions of readers.
///
/// Every list comes in pages of at most [`MAX_PAGE`](crate::MAX_PAGE) items. `limit` is the size of the page; 0 counts as 1.
/// To get the next page, pass [`Page::next`] as the cursor.
pub trait Query: Send + Sync {
    /// Returns a run, or `None` if it does not exist.
    ///
    /// # Errors
    /// [`StoreError`]
    fn run(&self, id: RunId) -> Result<Option<Run>, StoreError>;

    /// Lists the runs in the order of their submission.
    ///
    /// # Errors
    /// [`StoreError`]
    fn runs(&self, cursor: Option<RunId>, limit: u32) -> Result<Page<Run, RunId>, StoreError>;

    /// Returns a task, or `None` if it does not exist.
    ///
    /// # Errors
    /// [`StoreError`]
    fn task(&self, id: TaskId) -> Result<Option<Task>, StoreError>;

    /// Lists the tasks of a run: root tasks first, then the children of each parent by index.
    ///
    /// # Errors
    /// [`StoreError`]
    fn tasks(
        &self,
        run: RunId,
        filter: TaskFilter,
        cursor: Option<TaskId>,
        limit: u32,
    ) -> Result<Page<Task, TaskId>, StoreError>;

    /// Lists the children of a parent by index.
    ///
    /// The cursor is the index of the last child already read; 0 starts at the first.
    ///
    /// # Errors
    /// [`StoreError`]
    fn children(&self, parent: TaskId, cursor: u32, limit: u32) -> Result<Page<Task, u32>, StoreError>;

    /// Lists the outputs of the SUCCEEDED children of a parent, or root tasks of a run, by index.
    ///
    /// The cursor 0 is the start. A page may be empty although another one follows.
    ///
    /// # Errors
    /// [`StoreError`]
    fn child_outputs(
        &self,
        parent: NodeId,
        cursor: u32,
        limit: u32,
    ) -> Result<Page<ChildOutput, u32>, StoreError>;

    /// Lists the children of a parent, or root tasks of a run, that have not SUCCEEDED, by index.
    ///
    /// The cursor 0 is the start. A page may be empty although another one follows.
    ///
    /// # Errors
    /// [`StoreError`]
    fn child_failures(
        &self,
        parent: NodeId,
        cursor: u32,
        limit: u32,
    ) -> Result<Page<ChildFailure, u32>, StoreError>;

    /// Lists events in the order of their commits. The cursor 0 is the start.
    ///
    /// A page ends before an event that cannot be read. The next page then fails with its error.
    ///
    /// # Errors
    /// [`StoreError`]
    fn events(
        &self,
        filter: EventFilter<'_>,
        cursor: u64,
        limit: u32,
    ) -> Result<Page<Event, u64>, StoreError>;

    /// Returns the last progress that the handler of a task reported; `None` unless the task is running and has reported.
    ///
    /// # Errors
    /// [`StoreError`]
    fn task_progress(&self, task: TaskId) -> Result<Option<TaskProgress>, StoreError>;

    /// Lists the last progress of the running tasks of a run, older tasks first.
    ///
    /// # Errors
    /// [`StoreError`]
    fn run_progress(
        &self,
        run: RunId,
        cursor: Option<TaskId>,
        limit: u32,
    ) -> Result<Page<TaskProgress, TaskId>, StoreError>;

    /// Counts tasks by state.
    ///
    /// # Errors
    /// [`StoreError`]
    fn state_counts(&self, scope: Scope) -> Result<StateCounts, StoreError>;

    /// Returns a token that changes after every committed write of any process.
    ///
    /// It is cheap; idle engines poll it. Compare tokens only if they come from the same store value.
    ///
    /// # Errors
    /// [`StoreError`]
    fn change_token(&self) -> Result<u64, StoreError>;

    /// Returns a notifier for writes of other processes, if the platform supports one. Default: `None`.
    ///
    /// Without a notifier, and from time to time with one, poll [`change_token`](Query::change_token).
    fn write_notifier(&self) -> Option<Box<dyn WriteNotifier>> {
        None
    }

    /// Returns the next time at which a step gets work: a retry, a delayed start, or the end of a lease.
    ///
    /// # Errors
    /// [`StoreError`]
    fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Lists the kinds that have ready leaves, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`]
    fn ready_kinds(&self, limit: u32) -> Result<Vec<Kind>, StoreError>;

    /// Explains why a run or a task is in its present state; `None` if it does not exist.
    ///
    /// `now` decides whether a retry or a delayed start is due.
    ///
    /// # Errors
    /// [`StoreError`]
    fn explain(&self, node: NodeId, now: Timestamp) -> Result<Option<Explanation>, StoreError>;

    /// Returns those of these claims that are no longer valid: their task was settled, cancelled or claimed again.
    ///
    /// # Errors
    /// [`StoreError`]
    fn stale_claims(&self, fences: &[Fence]) -> Result<Vec<Fence>, StoreError>;

    /// Lists the present claims of an engine that are not among `known`, at most `limit`.
    ///
    /// An engine calls this when it does not know whether a claim was committed.
    ///
    /// # Errors
    /// [`StoreError`]
    fn unknown_claims(
        &self,
        engine: EngineKey,
        known: &[Fence],
        limit: u32,
    ) -> Result<Vec<Fence>, StoreError>;

    /// Returns the blockers of the open tasks of a run, at most `limit` items of each type; nothing if the run is settled.
    ///
    /// # Errors
    /// [`StoreError`]
    fn run_blockers(&self, run: RunId, limit: u32) -> Result<RunBlockers, StoreError>;
}
