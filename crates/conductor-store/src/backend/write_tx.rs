//! What an open transaction can change.

use super::{
    AdminWrite, AdminWritten, CorruptRow, CountChange, Counted, Decidable, FanOutParent, FanOutWanted,
    LeafWrite, NewBlock, NewEvent, NewKeys, NewRunRow, Node, ParentWrite, ProgressWrite, PruneBudget, Pruned,
    ReadTx, ReadyTasks, ReadyWanted, Rows, RunKey, TaskGroup, Turn, Work,
};
use crate::{EngineRegistration, RegisterEngine, Scope, StoreError};
use conductor_model::Timestamp;

/// Writes of one open transaction, and the reads that prepare them.
///
/// A write returns no rows. A store may keep writes until the next read or the commit.
pub trait WriteTx: ReadTx {
    /// Returns the runs to visit, for each turn: those behind `after` first, in the order of their keys, then the others
    /// from the first on. Each run is visited once.
    ///
    /// # Errors
    /// [`StoreError::RunNotFound`] for the scope of an unknown run.
    fn runs_in_turn(&mut self, turns: &[Turn<'_>]) -> Result<Vec<Vec<RunKey>>, StoreError>;

    /// Takes ready leaves, with all that a claim needs to know of them: what is wanted, in this order, and at most `max`
    /// leaves altogether, each of them once. No other transaction gets them. The operation writes each of them before the
    /// commit.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn take_ready(&mut self, wanted: &[ReadyWanted<'_>], max: u32) -> Result<ReadyTasks, StoreError>;

    /// Reads parents and what their children come from. Those whose children are missing have the order of the wanted runs,
    /// those of one run together, the oldest first; it stops behind the parent with which the inputs have `max_bytes` bytes.
    /// The answer says whether parents were left out because of these bytes, or because of [`FanOutWanted::Missing::children`].
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn fan_out_parents(
        &mut self,
        wanted: FanOutWanted<'_>,
        max_bytes: usize,
    ) -> Result<Rows<FanOutParent>, StoreError>;

    /// Finds tasks, parents and runs that a step has to change: at most `limit` of those that are due first, in any
    /// order. Nothing is found for claims, fan-outs, decisions and the sweep of a scope, which have methods of their own.
    ///
    /// For [`Work::LostClaims`], it also notes which engines do not live: [`AdminWrite::RemoveDeadEngines`] removes them.
    ///
    /// # Errors
    /// [`StoreError::RunNotFound`] for the scope of an unknown run.
    fn find(&mut self, work: &Work<'_>, limit: u32) -> Result<Vec<Node>, StoreError>;

    /// Reads parents and runs that may be decided, parents first.
    ///
    /// A store that answers [`Counted::Later`] adds changes up here. It returns each parent whose child counts it changed,
    /// also one that has settled, and each with a new failure, if [`parents`](ReadTx::parents) added that up before. All of
    /// them count for the limit.
    ///
    /// # Errors
    /// [`StoreError::RunNotFound`] for the scope of an unknown run.
    fn decidable(&mut self, scope: Scope, limit: u32) -> Result<Vec<Decidable>, StoreError>;

    /// Returns keys that no run or task had before: for a new run, if one is wanted, and the first keys of blocks of these
    /// sizes, in ascending order. They are larger than those which this transaction has read. Keys that are not used are
    /// lost. There may be gaps between two blocks.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be read.
    fn new_keys(&mut self, wants_run: bool, sizes: &[u16]) -> Result<NewKeys, StoreError>;

    /// Inserts a run and tasks in the state PENDING, the run first.
    ///
    /// # Errors
    /// [`StoreError::CorruptRow`], if another task has one of the ids or stands at one of the positions. A call for one block
    /// of one task has then inserted nothing, and the transaction goes on.
    fn insert(&mut self, run: Option<&NewRunRow<'_>>, blocks: &[NewBlock<'_>]) -> Result<(), StoreError>;

    /// Writes new conditions of leaves, and parents and runs without their counts. A leaf that was claimed is so no more,
    /// unless the write says so.
    ///
    /// Each of these rows changed at the moment of the operation: an explanation looks for the event of a leaf by that time,
    /// a summary takes it as the end of a run, and a lease begins with it.
    ///
    /// With the end of a parent, a store that counts later forgets its new failures: they must not cancel what is revived.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be written.
    fn write(&mut self, leaves: &[LeafWrite<'_>], parents: &[ParentWrite]) -> Result<(), StoreError>;

    /// Adds changes to the counts of parents and runs.
    ///
    /// A parent that cannot be read counts nothing, and its run still does.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be written.
    fn count(&mut self, changes: &[CountChange]) -> Result<Counted, StoreError>;

    /// Records events, in this order. It is the last call of an operation; the store may hand other writes over behind it.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be written.
    fn record(&mut self, events: &[NewEvent]) -> Result<(), StoreError>;

    /// Notes a sign of life of running leaves, and extends the lease of those that are claimed. The rows changed now.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be written.
    fn refresh(&mut self, leaves: &[TaskGroup], lease_until: Option<Timestamp>) -> Result<(), StoreError>;

    /// Stores the progress of attempts, and removes that of attempts that are over. A number above [`i64::MAX`] is stored
    /// as that.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be written.
    fn write_progress(&mut self, progress: &[ProgressWrite<'_>]) -> Result<(), StoreError>;

    /// Fails a task or a run whose own row cannot be read, unless it is a run that is settled: its state is written, and
    /// nothing is counted or recorded. Returns whether it changed.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be written.
    fn fail_corrupt(&mut self, row: CorruptRow<'_>) -> Result<bool, StoreError>;

    /// Registers an engine.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be written.
    fn register_engine(&mut self, request: &RegisterEngine) -> Result<EngineRegistration, StoreError>;

    /// Executes a write of a repair, a prune or a rescue. A store whose rows no other program can change needs only
    /// [`AdminWrite::BeginPrune`] and [`AdminWrite::RemoveDeadEngines`]: a verification finds nothing to repair.
    ///
    /// # Errors
    /// [`StoreError::CorruptRow`], if other rows make it impossible.
    fn admin_write(&mut self, write: AdminWrite<'_>) -> Result<AdminWritten, StoreError>;

    /// Removes rows of a run that is being pruned, until nothing is left of it or the budget is used up; it subtracts what
    /// it removed. Without a run, it returns free space to the system: a part that delays other writers by a few
    /// milliseconds.
    ///
    /// # Errors
    /// Returns a [`StoreError`], if the store cannot be written.
    fn prune(&mut self, run: Option<RunKey>, budget: &mut PruneBudget) -> Result<Pruned, StoreError>;
}
