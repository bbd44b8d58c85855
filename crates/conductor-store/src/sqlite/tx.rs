//! The traits [`ReadTx`] and [`WriteTx`]: one open transaction or snapshot of a database.
//!
//! Each method calls the function that has its statements. Parents and runs are kept until a statement looks for them.

use crate::backend::{
    Above, AdminWrite, AdminWritten, AuditEvent, AuditJoin, AuditJoins, AuditKeys, AuditRun, AuditRuns,
    AuditTask, AuditTasks, ChildResults, ChildResultsWanted, ChildWanted, ClaimRow, ClaimsWanted, CorruptRow,
    CountChange, Counted, Counts, CountsWanted, Decidable, EngineRow, EventsWanted, Examine, Examined,
    Existing, ExistingWanted, ExplainRow, FanOutParent, FanOutWanted, JoinRow, KeySet, KeysFound,
    LatestEvents, LeafWrite, NewBlock, NewEvent, NewKeys, NewRunRow, Node, NodePlace, NodesWanted, ParentKey,
    ParentWrite, PastEvent, ProgressWanted, ProgressWrite, PruneBudget, PruneWork, Pruned, ReadParent,
    ReadTx, ReadyTasks, ReadyWanted, Rows, RunKey, RunsWanted, RunsWith, StuckRow, StuckWanted, TaskGroup,
    TaskKey, TaskRecords, TasksWanted, Turn, Work, WriteTx,
};
use crate::sqlite::connection::sql::Result;
use crate::sqlite::engines::{self, DeadEngine, Liveness};
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::scope::ScopeKey;
use crate::sqlite::rows::{block, events, inputs, nodes, parents};
use crate::sqlite::store::SqliteStore;
use crate::sqlite::work::kinds::KindKeys;
use crate::sqlite::work::leaves::BlockCache;
use crate::sqlite::work::parent_cache::ParentCache;
use crate::sqlite::work::{self, existing, fan_out_parents, find, ready};
use crate::sqlite::writes::{insert, leaves, prune, reclaim};
use crate::sqlite::{audit, reads};
use crate::{EngineRegistration, NodeId, RegisterEngine, RunBlockers, Scope};
use conductor_model::{Event, Json, Run, TaskProgress, Timestamp};
use rusqlite::Connection;

/// An open transaction, or a snapshot.
pub struct SqliteTx<'c> {
    pub(super) connection: &'c Connection,
    /// The store that opened it; `None` inside a transaction of the caller.
    pub(super) store: Option<&'c SqliteStore>,
    /// The moment of the operation.
    pub(super) now: Timestamp,
    cache: ParentCache,
    blocks: BlockCache,
    kinds: KindKeys,
    /// The last number of a block that was handed out.
    last_block: Option<i64>,
    /// The dead engines, after a search for them.
    dead: Vec<DeadEngine>,
    /// Those of them that the transaction removes.
    removed: Vec<DeadEngine>,
}

impl<'c> SqliteTx<'c> {
    pub(super) fn new(connection: &'c Connection, store: Option<&'c SqliteStore>, now: Timestamp) -> Self {
        let (cache, blocks, kinds) = (ParentCache::default(), BlockCache::default(), KindKeys::default());
        let (dead, removed) = (Vec::new(), Vec::new());
        Self { connection, store, now, cache, blocks, kinds, last_block: None, dead, removed }
    }

    /// Writes the rows that are still in the cache. Returns the engines whose files can be removed after the commit.
    pub(super) fn finish(mut self) -> Result<Vec<DeadEngine>> {
        self.flush()?;
        Ok(self.removed)
    }

    /// Writes the parents and runs that changed: a statement that looks for them must find them as they are.
    fn flush(&mut self) -> Result<()> {
        self.cache.flush(self.connection, self.now)
    }

    fn liveness(&self) -> Option<&'c Liveness> {
        self.store.map(|store| &store.liveness)
    }

    /// Whether the database belongs to the caller.
    fn is_embedded(&self) -> bool {
        self.store.is_none_or(|store| store.options.embedded)
    }

    fn present(&mut self, nodes: Vec<Node>) -> Vec<Node> {
        let mut present = |node| match node {
            Node::Parent(Ok(row)) => Node::Parent(Ok(self.cache.current(row))),
            node => node,
        };
        nodes.into_iter().map(&mut present).collect()
    }
}

impl ReadTx for SqliteTx<'_> {
    fn has_work(&mut self, work: &Work<'_>) -> Result<bool> {
        find::has_work(self.connection, self.liveness(), work)
    }

    fn nodes(&mut self, wanted: NodesWanted) -> Result<Vec<Node>> {
        let nodes = nodes::read(self.connection, wanted)?;
        Ok(self.present(nodes))
    }

    fn leaves(&mut self, keys: &[KeySet]) -> Result<Vec<TaskGroup>> {
        work::leaves::leaves(self.connection, &mut self.blocks, keys)
    }

    fn parents(&mut self, keys: &[ParentKey]) -> Result<Vec<ReadParent>> {
        keys.iter().map(|key| self.cache.load(self.connection, *key)).collect()
    }

    fn above(&mut self, parents: &[ParentKey]) -> Result<Above> {
        ready::above(self.connection, &mut self.cache, parents)
    }

    fn joins(&mut self, parents: &[ParentKey]) -> Result<Vec<JoinRow>> {
        parents.iter().map(|parent| existing::join(self.connection, *parent)).collect()
    }

    fn existing(&mut self, wanted: &ExistingWanted<'_>) -> Result<Existing> {
        existing::existing(self.connection, wanted)
    }

    fn locate(&mut self, id: NodeId) -> Result<Option<NodePlace>> {
        reads::locate::locate(self.connection, id)
    }

    fn runs(&mut self, wanted: RunsWanted, limit: u32) -> Result<Rows<Run>> {
        reads::runs::runs(self.connection, wanted, limit)
    }

    fn tasks(&mut self, wanted: TasksWanted, limit: u32, max_bytes: usize) -> Result<TaskRecords> {
        reads::tasks::tasks(self.connection, wanted, limit, max_bytes)
    }

    fn child_results(&mut self, wanted: &ChildResultsWanted) -> Result<ChildResults> {
        reads::child_results::child_results(self.connection, wanted)
    }

    fn events(&mut self, wanted: &EventsWanted<'_>, limit: u32) -> Result<Rows<Result<Event>>> {
        reads::events::events(self.connection, wanted, limit)
    }

    fn latest_events(&mut self, wanted: LatestEvents) -> Result<Vec<PastEvent>> {
        reads::latest_events::latest_events(self.connection, wanted)
    }

    fn progress(&mut self, wanted: ProgressWanted, limit: u32) -> Result<Rows<TaskProgress>> {
        reads::progress::progress(self.connection, wanted, limit)
    }

    fn counts(&mut self, run: Option<RunKey>, wanted: &[CountsWanted<'_>]) -> Result<Counts> {
        reads::counts::counts(self.connection, run, wanted)
    }

    fn blockers(&mut self, run: Option<RunKey>, limit: u32) -> Result<RunBlockers> {
        reads::work::blockers(self.connection, run, limit)
    }

    fn claims(&mut self, wanted: &ClaimsWanted<'_>) -> Result<Vec<ClaimRow>> {
        reads::claims::claims(self.connection, wanted)
    }

    fn live_engines(&mut self) -> Result<Vec<EngineRow>> {
        reads::claims::live_engines(self.connection, self.liveness())
    }

    fn explain_rows(&mut self, keys: &[ParentKey]) -> Result<Vec<Option<ExplainRow>>> {
        reads::explain_rows::explain_rows(self.connection, keys)
    }

    fn find_child(&mut self, parent: ParentKey, child: ChildWanted) -> Result<Option<TaskKey>> {
        reads::find_child::find_child(self.connection, parent, child)
    }

    fn stuck(&mut self, run: Option<RunKey>, wanted: &StuckWanted<'_>, limit: u32) -> Result<Vec<StuckRow>> {
        reads::stuck::stuck(self.connection, run, wanted, limit)
    }

    fn audit_run(&mut self, wanted: AuditRuns) -> Result<Option<(RunKey, AuditRun)>> {
        audit::runs::read(self.connection, wanted)
    }

    fn audit_events(&mut self, run: RunKey, after: u64, limit: u32) -> Result<Vec<AuditEvent>> {
        audit::events::page(self.connection, run, after, limit)
    }

    fn audit_keys(&mut self, wanted: AuditKeys<'_>) -> Result<KeysFound> {
        audit::keys::find(self.connection, wanted)
    }

    fn audit_tasks(&mut self, wanted: AuditTasks<'_>) -> Result<Vec<AuditTask>> {
        audit::tasks::read(self.connection, wanted)
    }

    fn audit_joins(&mut self, joins: AuditJoins) -> Result<Vec<AuditJoin>> {
        audit::runs::joins(self.connection, joins)
    }

    fn own_input(&mut self, task: TaskKey) -> Result<Option<Json>> {
        inputs::read(self.connection, task)
    }

    fn examine(&mut self, wanted: Examine) -> Result<Examined> {
        match wanted {
            Examine::Inputs(after, limit) => audit::inputs::stray(self.connection, after, limit),
            Examine::Files(limit) => {
                let damage = audit::runs::integrity(self.connection, limit)?;
                Ok(Examined { damage, ..Examined::default() })
            }
        }
    }

    fn prune_work(&mut self, settled_before: Timestamp) -> Result<PruneWork> {
        prune::work(self.connection, settled_before, self.is_embedded())
    }
}

impl WriteTx for SqliteTx<'_> {
    fn runs_in_turn(&mut self, turns: &[Turn<'_>]) -> Result<Vec<Vec<RunKey>>> {
        // What is ready does not depend on the rows of parents and runs.
        if !turns.iter().all(|turn| matches!(turn.with, RunsWith::Ready(_))) {
            self.flush()?;
        }
        turns.iter().map(|turn| find::runs_in_turn(self.connection, &mut self.kinds, turn)).collect()
    }

    fn take_ready(&mut self, wanted: &[ReadyWanted<'_>], max: u32) -> Result<ReadyTasks> {
        ready::take(self.connection, (&mut self.cache, &mut self.kinds), wanted, max)
    }

    fn fan_out_parents(&mut self, wanted: FanOutWanted<'_>, max_bytes: usize) -> Result<Rows<FanOutParent>> {
        self.flush()?;
        fan_out_parents::fan_out_parents(self.connection, &mut self.cache, wanted, max_bytes)
    }

    fn find(&mut self, work: &Work<'_>, limit: u32) -> Result<Vec<Node>> {
        self.flush()?;
        if let (Work::LostClaims(_), Some(liveness)) = (work, self.liveness()) {
            self.dead = engines::dead(self.connection, liveness)?;
        }
        let nodes = find::find(self.connection, &mut self.cache, work, (&self.dead, limit))?;
        Ok(self.present(nodes))
    }

    fn decidable(&mut self, scope: Scope, limit: u32) -> Result<Vec<Decidable>> {
        self.flush()?;
        let scope = ScopeKey::of(scope, self.connection)?;
        find::decidable(self.connection, &mut self.cache, scope, limit)
    }

    fn new_keys(&mut self, wants_run: bool, sizes: &[u16]) -> Result<NewKeys> {
        let run = if wants_run { existing::next_key(self.connection, "conductor_runs")? } else { 0 };
        let first = match self.last_block {
            Some(last) => last + 1,
            None => existing::next_key(self.connection, "conductor_blocks")?,
        };
        let count = i64::try_from(sizes.len()).unwrap_or(i64::MAX);
        // The key of the last task of the last block must be a number, too.
        let end = first.checked_add(count).filter(|end| end.checked_mul(block::KEYS).is_some());
        let end = end.ok_or_else(existing::no_key_left)?;
        self.last_block = Some(end - 1);
        let blocks = (first..end).map(|number| block::task_key(number, 0)).collect();
        Ok(NewKeys { run: RunKey::of_row(run), blocks })
    }

    fn insert(&mut self, run: Option<&NewRunRow<'_>>, blocks: &[NewBlock<'_>]) -> Result<()> {
        if let Some(run) = run {
            let row = insert::run(self.connection, &mut self.kinds, run, self.now)?;
            self.cache.insert_run(row);
        }
        insert::blocks(self.connection, &mut self.kinds, blocks, self.now)
    }

    fn write(&mut self, leaves: &[LeafWrite<'_>], parents: &[ParentWrite]) -> Result<()> {
        leaves::write(self.connection, &mut self.blocks, leaves, self.now)?;
        for parent in parents {
            if parent.is_corrupt {
                parents::write_corrupt_parent(self.connection, parent, self.now)?;
            } else {
                self.cache.write(self.connection, parent)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, changes: &[CountChange]) -> Result<Counted> {
        self.cache.count(self.connection, changes)
    }

    fn record(&mut self, events: &[NewEvent]) -> Result<()> {
        events::append(self.connection, events, self.now)
    }

    fn refresh(&mut self, leaves: &[TaskGroup], lease_until: Option<Timestamp>) -> Result<()> {
        leaves::refresh(self.connection, &mut self.blocks, leaves, lease_until, self.now)
    }

    fn write_progress(&mut self, progress: &[ProgressWrite<'_>]) -> Result<()> {
        leaves::write_progress(self.connection, progress, self.now)
    }

    fn fail_corrupt(&mut self, row: CorruptRow<'_>) -> Result<bool> {
        self.blocks.clear();
        match row {
            CorruptRow::Task(task) => audit::writes::fail_corrupt(self.connection, task, self.now),
            CorruptRow::Run(run) => parents::fail_corrupt_run(self.connection, run, self.now),
        }
    }

    fn register_engine(&mut self, request: &RegisterEngine) -> Result<EngineRegistration> {
        engines::register(self.connection, self.liveness(), request)
    }

    fn admin_write(&mut self, write: AdminWrite<'_>) -> Result<AdminWritten> {
        self.blocks.clear();
        if let AdminWrite::RemoveDeadEngines = write {
            self.removed = std::mem::take(&mut self.dead);
            engines::remove(self.connection, &self.removed)?;
        }
        audit::writes::write(self.connection, write, self.now)
    }

    fn prune(&mut self, run: Option<RunKey>, budget: &mut PruneBudget) -> Result<Pruned> {
        self.blocks.clear();
        match run {
            Some(run) => prune::rows(self.connection, run, budget),
            None => reclaim::reclaim(self.connection),
        }
    }
}
