//! What verifications, repairs and prunes need of an open transaction or snapshot.

use super::{IdRange, ParentKey, RunColumns, RunKey, StoredPosition, TaskColumns, TaskKey};
use crate::Scope;
use conductor_model::TaskId;

/// Which tasks a verification or a repair reads.
#[derive(Clone, Copy, Debug)]
pub enum AuditTasks<'a> {
    /// The next tasks of a run behind a position, or the first ones. In this order the tasks of one parent follow each
    /// other, and no task has two places in it. A store is free in all else.
    After {
        /// The run.
        run: RunKey,
        /// The position of the last task of the call before; `None` at the start.
        position: Option<StoredPosition>,
        /// The largest number of tasks.
        limit: u32,
    },
    /// The tasks with these keys, of all runs.
    Keys(&'a [TaskKey]),
    /// The tasks with these ids, of all runs.
    Ids(&'a [TaskId]),
    /// The task that stands at a position in a run.
    Position(RunKey, StoredPosition),
}

/// Which join plans a verification or a repair reads.
#[derive(Clone, Copy, Debug)]
pub enum AuditJoins {
    /// All of a run.
    Run(RunKey),
    /// That of one parent or run.
    Parent(ParentKey),
}

/// Which run a verification or a repair reads.
#[derive(Clone, Copy, Debug)]
pub enum AuditRuns {
    /// The run with the next key, also one that has no row but something that names it. The scope of one run has only
    /// this run.
    Next(Scope, RunKey),
    /// The run with this key.
    Key(RunKey),
}

/// Which keys a verification looks for.
#[derive(Clone, Copy, Debug)]
pub enum AuditKeys<'a> {
    /// The keys of tasks that were created together: for each range, its parts in the order of the ids.
    Created(&'a [IdRange]),
    /// The keys around this one that the store has used and that no row has, as far as they follow each other. The key
    /// itself counts as one without a row.
    Around(TaskKey),
}

/// What belongs to no run.
#[derive(Clone, Copy, Debug)]
pub enum Examine {
    /// The next inputs behind a key, in the order of the keys, at most so many. A store that cannot have an input without
    /// its task finds none.
    Inputs(Option<TaskKey>, u32),
    /// The files of the store. At most so many descriptions of damage are returned.
    Files(u32),
}

/// A write of a repair or a prune.
///
/// Counts that are written to a row include all changes so far. A store that counts later drops those of this row that it
/// has not added up.
#[derive(Clone, Copy, Debug)]
pub enum AdminWrite<'a> {
    /// Writes all columns of a task that [`TaskColumns`] has. Another row at its position loses the position.
    Task(TaskKey, &'a TaskColumns),
    /// Writes all columns of a run that [`RunColumns`] has, but its id.
    Run(RunKey, &'a RunColumns),
    /// Inserts a task whose row was lost, with its key or, if that is unknown, with a new one. Another row at its
    /// position loses the position.
    ///
    /// What [`TaskColumns`] does not have, the task has from its parent; or, with the index 0, from the join plan of its
    /// parent or run.
    RestoreTask(Option<TaskKey>, &'a TaskColumns),
    /// Removes a task, and its input.
    RemoveTask(TaskKey),
    /// Moves a task to another run. It has no position there.
    MoveTask(TaskKey, RunKey),
    /// Gives a task another key. Its input goes with it, unless the task of the new key has one.
    ChangeKey {
        /// The present key.
        from: TaskKey,
        /// The new key.
        to: TaskKey,
    },
    /// Gives a task without an input this one: JSON.
    InsertInput(TaskKey, &'a str),
    /// Removes the input of a task that does not exist.
    RemoveStrayInput(TaskKey),
    /// Removes the join plan of a parent or a run.
    RemoveJoin(ParentKey),
    /// Sweeps the children of a parent or a run from the first on, if it has a cancel cause.
    SweepAgain(ParentKey),
    /// Begins to prune a run: it, its id and its idempotency key do not exist from now on.
    BeginPrune(RunKey),
    /// Removes the engines that [`find`](super::WriteTx::find) found not to live when it looked for lost claims.
    RemoveDeadEngines,
}
