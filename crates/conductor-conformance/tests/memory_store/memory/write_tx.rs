//! The trait [`WriteTx`].

use super::MemoryTx;
use super::state::{EngineRow, State};
use conductor_store::backend::{
    AdminWrite, AdminWritten, CorruptRow, CountChange, Counted, Decidable, FanOutParent, FanOutWanted,
    LeafWrite, NewBlock, NewEvent, NewKeys, NewRunRow, Node, ParentWrite, ProgressWrite, PruneBudget, Pruned,
    ReadyTasks, ReadyWanted, Rows, RunKey, TaskGroup, Turn, Work, WriteTx,
};
use conductor_store::model::Timestamp;
use conductor_store::{EngineKey, EngineRegistration, RegisterEngine, Scope, StoreError};
use std::sync::Arc;

impl MemoryTx {
    /// The rows, to change them. From the first call on, the transaction has a copy of its own.
    pub(super) fn state_mut(&mut self) -> &mut State {
        Arc::make_mut(&mut self.state)
    }

    fn now(&self) -> Timestamp {
        self.now.expect("a snapshot writes nothing")
    }
}

impl WriteTx for MemoryTx {
    fn runs_in_turn(&mut self, turns: &[Turn<'_>]) -> Result<Vec<Vec<RunKey>>, StoreError> {
        turns.iter().map(|turn| self.state.runs_in_turn(turn)).collect()
    }

    fn take_ready(&mut self, wanted: &[ReadyWanted<'_>], max: u32) -> Result<ReadyTasks, StoreError> {
        Ok(self.state.ready(wanted, max))
    }

    fn fan_out_parents(
        &mut self,
        wanted: FanOutWanted<'_>,
        max_bytes: usize,
    ) -> Result<Rows<FanOutParent>, StoreError> {
        Ok(self.state.fan_out_parents(wanted, max_bytes))
    }

    fn find(&mut self, work: &Work<'_>, limit: u32) -> Result<Vec<Node>, StoreError> {
        if let Work::LostClaims(_) = work {
            self.dead = self.state.dead_engines();
        }
        self.state.find(work, limit)
    }

    fn decidable(&mut self, scope: Scope, limit: u32) -> Result<Vec<Decidable>, StoreError> {
        let run = self.state.scope(scope)?;
        Ok(self.state_mut().decidable(run, limit))
    }

    fn new_keys(&mut self, wants_run: bool, sizes: &[u16]) -> Result<NewKeys, StoreError> {
        Ok(self.state_mut().new_keys(wants_run, sizes))
    }

    fn insert(&mut self, run: Option<&NewRunRow<'_>>, blocks: &[NewBlock<'_>]) -> Result<(), StoreError> {
        let now = self.now();
        let state = self.state_mut();
        if let Some(run) = run {
            state.insert_run(run, now);
        }
        blocks.iter().try_for_each(|block| state.insert_block(block, now))
    }

    fn write(&mut self, leaves: &[LeafWrite<'_>], parents: &[ParentWrite]) -> Result<(), StoreError> {
        let now = self.now();
        let state = self.state_mut();
        for write in leaves {
            state.write_leaves(write, now);
        }
        for write in parents {
            state.write_parent(write, now);
        }
        Ok(())
    }

    fn count(&mut self, changes: &[CountChange]) -> Result<Counted, StoreError> {
        let now = self.now();
        self.state_mut().keep_changes(changes, now);
        Ok(Counted::Later)
    }

    fn record(&mut self, events: &[NewEvent]) -> Result<(), StoreError> {
        let now = self.now();
        let state = self.state_mut();
        for event in events {
            state.record(event, now);
        }
        Ok(())
    }

    fn refresh(&mut self, leaves: &[TaskGroup], lease_until: Option<Timestamp>) -> Result<(), StoreError> {
        let now = self.now();
        if !leaves.is_empty() {
            self.state_mut().refresh(leaves, lease_until, now);
        }
        Ok(())
    }

    fn write_progress(&mut self, progress: &[ProgressWrite<'_>]) -> Result<(), StoreError> {
        let now = self.now();
        self.state_mut().write_progress(progress, now);
        Ok(())
    }

    /// No other program can damage a row.
    fn fail_corrupt(&mut self, _: CorruptRow<'_>) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn register_engine(&mut self, request: &RegisterEngine) -> Result<EngineRegistration, StoreError> {
        let (id, capabilities) = (request.engine, request.capabilities.clone());
        let sign = Arc::new(());
        let state = self.state_mut();
        state.last.engine += 1;
        let key = state.last.engine;
        state.engines.insert(key, EngineRow { id, capabilities, sign: Arc::downgrade(&sign) });
        Ok(EngineRegistration::new(EngineKey(key), sign))
    }

    /// Repairs have nothing to write, because no other program can damage a row.
    fn admin_write(&mut self, write: AdminWrite<'_>) -> Result<AdminWritten, StoreError> {
        match write {
            AdminWrite::BeginPrune(run) => self.state_mut().begin_prune(run),
            AdminWrite::RemoveDeadEngines => {
                let dead = std::mem::take(&mut self.dead);
                if !dead.is_empty() {
                    self.state_mut().engines.retain(|key, _| !dead.contains(key));
                }
            }
            _ => return Ok(AdminWritten::Unchanged),
        }
        Ok(AdminWritten::Changed)
    }

    fn prune(&mut self, run: Option<RunKey>, budget: &mut PruneBudget) -> Result<Pruned, StoreError> {
        let complete = Pruned { is_complete: true, ..Pruned::default() };
        Ok(run.map_or(complete, |run| self.state_mut().prune(run, budget)))
    }
}
