//! The rows of the store.

use conductor_store::backend::{Block, ClaimWrite, LeafStatus, ParentKey, RunKey, TaskKey};
use conductor_store::model::{
    CountDelta, ErrorText, EventBody, IdempotencyKey, Json, Kind, NewJoin, ParentStatus, PayloadHash, RunId,
    State as TaskState, StateCounts, TaskId, TaskName, TaskProgress, Timestamp,
};
use conductor_store::{EngineCapabilities, EngineId, Scope, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

/// All rows. A transaction works on a copy; the rows themselves are shared until they change.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) runs: BTreeMap<RunKey, Arc<RunRow>>,
    pub(super) tasks: BTreeMap<TaskKey, Arc<TaskRow>>,
    pub(super) run_ids: BTreeMap<RunId, RunKey>,
    pub(super) task_ids: BTreeMap<TaskId, TaskKey>,
    /// The tasks by their parent and their index, which is 0 for a join.
    pub(super) places: BTreeMap<(ParentKey, u32), TaskKey>,
    pub(super) joins: BTreeMap<ParentKey, JoinPlan>,
    pub(super) events: BTreeMap<u64, Arc<EventRow>>,
    pub(super) progress: BTreeMap<TaskKey, TaskProgress>,
    /// Changes of counts that are not added up.
    pub(super) pending: BTreeMap<ParentKey, Pending>,
    /// The parents with a permanent failure of a child that no decision has seen.
    pub(super) failures: BTreeSet<ParentKey>,
    /// The runs that are being pruned.
    pub(super) pruned: BTreeSet<RunKey>,
    pub(super) engines: BTreeMap<u64, EngineRow>,
    /// The last keys that were handed out.
    pub(super) last: LastKeys,
}

/// The last key of each type.
#[derive(Clone, Copy, Default)]
pub(super) struct LastKeys {
    pub(super) run: u64,
    pub(super) task: u64,
    pub(super) event: u64,
    pub(super) engine: u64,
}

/// A run.
#[derive(Clone)]
pub(super) struct RunRow {
    pub(super) id: RunId,
    pub(super) state: TaskState,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) meta: Option<Json>,
    pub(super) submission: Option<(IdempotencyKey, PayloadHash)>,
    pub(super) deadline: Option<Timestamp>,
    /// Without the changes that are not added up.
    pub(super) state_counts: StateCounts,
    pub(super) family: Family,
}

/// A task.
#[derive(Clone)]
pub(super) struct TaskRow {
    pub(super) key: TaskKey,
    pub(super) id: TaskId,
    pub(super) index: u32,
    pub(super) name: TaskName,
    pub(super) kind: Kind,
    pub(super) priority: i16,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) input: Option<Json>,
    pub(super) output: Option<Json>,
    pub(super) error: Option<ErrorText>,
    /// The block that it was inserted with.
    pub(super) block: Block,
    /// Of a parent, only the state and the due time.
    pub(super) status: LeafStatus,
    pub(super) claim: Option<ClaimWrite>,
    /// What it is as a parent; `None` for a leaf.
    pub(super) family: Option<Family>,
}

/// What a run or a task is as a parent, without the changes that are not added up.
#[derive(Clone, Copy)]
pub(super) struct Family {
    pub(super) status: ParentStatus,
    pub(super) swept: u32,
}

/// The join that a parent or a run has, or will have.
#[derive(Clone)]
pub(super) struct JoinPlan {
    pub(super) id: TaskId,
    pub(super) join: NewJoin,
}

/// An event.
pub(super) struct EventRow {
    pub(super) run: RunKey,
    pub(super) task: Option<TaskKey>,
    pub(super) at: Timestamp,
    pub(super) body: EventBody,
}

/// Changes of the counts of a parent that are not added up, and when the last of them was made.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    pub(super) delta: CountDelta,
    pub(super) at: Timestamp,
}

/// An engine, which lives while its registration holds the sign.
#[derive(Clone)]
pub(super) struct EngineRow {
    pub(super) id: EngineId,
    pub(super) capabilities: EngineCapabilities,
    pub(super) sign: Weak<()>,
}

impl EngineRow {
    pub(super) fn lives(&self) -> bool {
        self.sign.strong_count() > 0
    }
}

impl TaskRow {
    pub(super) fn parent(&self) -> ParentKey {
        self.block.position.parent
    }

    pub(super) fn run(&self) -> RunKey {
        self.parent().run
    }

    /// Its key, as the parent of its children.
    pub(super) fn as_parent(&self) -> ParentKey {
        ParentKey::task(self.run(), self.key)
    }

    /// Its offset in its block.
    pub(super) fn offset(&self) -> u16 {
        u16::try_from(self.key.0 - self.block.base.0).expect("a block is small")
    }

    pub(super) fn is_leaf(&self) -> bool {
        self.family.is_none()
    }

    pub(super) fn is_running_leaf(&self) -> bool {
        self.is_leaf() && self.status.state == TaskState::Running
    }
}

/// Look-ups.
impl State {
    pub(super) fn task(&self, key: TaskKey) -> Option<&TaskRow> {
        self.tasks.get(&key).map(Arc::as_ref)
    }

    pub(super) fn run(&self, key: RunKey) -> Option<&RunRow> {
        self.runs.get(&key).map(Arc::as_ref)
    }

    /// A task by its id, unless its run is being pruned.
    pub(super) fn task_with_id(&self, id: TaskId) -> Option<&TaskRow> {
        let task = self.task(*self.task_ids.get(&id)?)?;
        self.runs.contains_key(&task.run()).then_some(task)
    }

    /// The tasks of a run, or of all runs, in the order of their keys. Those of runs that are being pruned are left out.
    pub(super) fn tasks_of(&self, run: Option<RunKey>) -> impl Iterator<Item = &TaskRow> {
        let is_wanted = move |task: &&TaskRow| run.is_none_or(|run| task.run() == run);
        let rows = self.tasks.values().map(Arc::as_ref);
        rows.filter(is_wanted).filter(|task| self.runs.contains_key(&task.run()))
    }

    /// The runs of a scope, in the order of their keys.
    pub(super) fn runs_of(&self, run: Option<RunKey>) -> impl Iterator<Item = (RunKey, &RunRow)> {
        let rows = self.runs.iter().map(|(key, row)| (*key, row.as_ref()));
        rows.filter(move |(key, _)| run.is_none_or(|run| *key == run))
    }

    /// The children of a parent behind an index, without the join.
    pub(super) fn children(&self, parent: ParentKey, after: u32) -> impl Iterator<Item = &TaskRow> {
        let places = self.places.range((parent, after.saturating_add(1))..=(parent, u32::MAX));
        places.filter_map(|(_, key)| self.task(*key))
    }

    /// The join of a parent, if its task exists.
    pub(super) fn join_task(&self, parent: ParentKey) -> Option<&TaskRow> {
        self.task(*self.places.get(&(parent, 0))?)
    }

    /// The run of a scope; `None` for all runs.
    pub(super) fn scope(&self, scope: Scope) -> Result<Option<RunKey>, StoreError> {
        match scope {
            Scope::All => Ok(None),
            Scope::Run(id) => self.run_ids.get(&id).copied().map(Some).ok_or(StoreError::RunNotFound(id)),
        }
    }

    /// Whether an engine is registered and lives.
    pub(super) fn engine_lives(&self, key: u64) -> bool {
        self.engines.get(&key).is_some_and(EngineRow::lives)
    }
}
