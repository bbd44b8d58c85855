//! The trait [`ReadTx`].

use super::MemoryTx;
use super::groups::groups;
use super::state::TaskRow;
use conductor_store::backend::{
    Above, AuditEvent, AuditJoin, AuditJoins, AuditKeys, AuditRun, AuditRuns, AuditTask, AuditTasks,
    ChildResults, ChildResultsWanted, ChildWanted, ClaimRow, ClaimsWanted, Counts, CountsWanted, EngineRow,
    EventsWanted, Examine, Examined, Existing, ExistingWanted, ExplainRow, JoinRow, KeySet, KeysFound,
    LatestEvents, Node, NodePlace, NodesWanted, ParentKey, PastEvent, ProgressWanted, PruneWork, ReadParent,
    ReadTx, Rows, RunKey, RunsWanted, StuckRow, StuckWanted, TaskGroup, TaskKey, TaskRecords, TasksWanted,
    Work,
};
use conductor_store::model::{Event, Json, Run, TaskProgress, Timestamp};
use conductor_store::{NodeId, RunBlockers, StoreError};

impl ReadTx for MemoryTx {
    fn has_work(&mut self, work: &Work<'_>) -> Result<bool, StoreError> {
        self.state.has_work(work)
    }

    fn nodes(&mut self, wanted: NodesWanted) -> Result<Vec<Node>, StoreError> {
        let state = &self.state;
        Ok(match wanted {
            NodesWanted::Id(id) => state.nodes(state.task_with_id(id)),
            NodesWanted::Children { parent, after, limit } => {
                let children: Vec<&TaskRow> = state.children(parent, after).take(limit as usize).collect();
                // They may be in any order.
                state.nodes(children.into_iter().rev())
            }
            NodesWanted::From { run, position: (task, index), limit } => {
                let end = (ParentKey::task(run, TaskKey(u64::MAX)), u32::MAX);
                let places = state.places.range((ParentKey { run, task }, index)..=end);
                let tasks = places.filter_map(|(_, key)| state.task(*key));
                state.nodes_in_order(tasks.take(limit as usize))
            }
        })
    }

    fn leaves(&mut self, keys: &[KeySet]) -> Result<Vec<TaskGroup>, StoreError> {
        // They may be in any order.
        let leaves: Vec<&TaskRow> = self.state.leaves(keys).collect();
        Ok(groups(leaves.into_iter().rev()))
    }

    fn parents(&mut self, keys: &[ParentKey]) -> Result<Vec<ReadParent>, StoreError> {
        // It may add them up for good or not: it does so for tasks, and not for runs.
        let is_added_up = |key: &&ParentKey| key.task.is_some() && self.state.pending.contains_key(key);
        let added_up: Vec<ParentKey> = keys.iter().filter(is_added_up).copied().collect();
        if self.now.is_some() && !added_up.is_empty() {
            let state = self.state_mut();
            for key in added_up {
                state.add_up(key);
            }
        }
        let mut parents = Vec::with_capacity(keys.len());
        for key in keys {
            parents.push(self.state.read_parent(*key));
        }
        Ok(parents)
    }

    fn above(&mut self, parents: &[ParentKey]) -> Result<Above, StoreError> {
        Ok(self.state.above(parents.iter().copied()))
    }

    fn joins(&mut self, parents: &[ParentKey]) -> Result<Vec<JoinRow>, StoreError> {
        Ok(parents.iter().map(|parent| self.state.join_row(*parent)).collect())
    }

    fn existing(&mut self, wanted: &ExistingWanted<'_>) -> Result<Existing, StoreError> {
        Ok(self.state.existing(wanted))
    }

    fn locate(&mut self, id: NodeId) -> Result<Option<NodePlace>, StoreError> {
        Ok(self.state.locate(id))
    }

    fn runs(&mut self, wanted: RunsWanted, limit: u32) -> Result<Rows<Run>, StoreError> {
        Ok(self.state.run_records(wanted, limit))
    }

    fn tasks(
        &mut self,
        wanted: TasksWanted,
        limit: u32,
        max_bytes: usize,
    ) -> Result<TaskRecords, StoreError> {
        Ok(self.state.task_records(wanted, limit, max_bytes))
    }

    fn child_results(&mut self, wanted: &ChildResultsWanted) -> Result<ChildResults, StoreError> {
        Ok(self.state.child_results(wanted))
    }

    fn events(
        &mut self,
        wanted: &EventsWanted<'_>,
        limit: u32,
    ) -> Result<Rows<Result<Event, StoreError>>, StoreError> {
        Ok(self.state.event_records(wanted, limit))
    }

    fn latest_events(&mut self, wanted: LatestEvents) -> Result<Vec<PastEvent>, StoreError> {
        Ok(self.state.latest_events(wanted))
    }

    fn progress(&mut self, wanted: ProgressWanted, limit: u32) -> Result<Rows<TaskProgress>, StoreError> {
        Ok(self.state.task_progress(wanted, limit))
    }

    fn counts(&mut self, run: Option<RunKey>, wanted: &[CountsWanted<'_>]) -> Result<Counts, StoreError> {
        Ok(self.state.counts(run, wanted))
    }

    fn blockers(&mut self, run: Option<RunKey>, limit: u32) -> Result<RunBlockers, StoreError> {
        Ok(self.state.blockers(run, limit))
    }

    fn claims(&mut self, wanted: &ClaimsWanted<'_>) -> Result<Vec<ClaimRow>, StoreError> {
        Ok(self.state.claims(wanted))
    }

    fn live_engines(&mut self) -> Result<Vec<EngineRow>, StoreError> {
        Ok(self.state.live_engines())
    }

    fn explain_rows(&mut self, keys: &[ParentKey]) -> Result<Vec<Option<ExplainRow>>, StoreError> {
        Ok(keys.iter().map(|key| self.state.explain_row(*key)).collect())
    }

    fn find_child(&mut self, parent: ParentKey, child: ChildWanted) -> Result<Option<TaskKey>, StoreError> {
        Ok(self.state.find_child(parent, child))
    }

    fn stuck(
        &mut self,
        run: Option<RunKey>,
        wanted: &StuckWanted<'_>,
        limit: u32,
    ) -> Result<Vec<StuckRow>, StoreError> {
        let mut rows = self.state.stuck(run, wanted);
        rows.truncate(limit as usize);
        Ok(rows)
    }

    fn audit_run(&mut self, wanted: AuditRuns) -> Result<Option<(RunKey, AuditRun)>, StoreError> {
        self.state.audit_run(wanted)
    }

    fn audit_events(&mut self, run: RunKey, after: u64, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        Ok(self.state.audit_events(run, after, limit))
    }

    fn audit_keys(&mut self, wanted: AuditKeys<'_>) -> Result<KeysFound, StoreError> {
        Ok(self.state.audit_keys(wanted))
    }

    fn audit_tasks(&mut self, tasks: AuditTasks<'_>) -> Result<Vec<AuditTask>, StoreError> {
        Ok(self.state.audit_tasks(tasks))
    }

    fn audit_joins(&mut self, joins: AuditJoins) -> Result<Vec<AuditJoin>, StoreError> {
        Ok(self.state.audit_joins(joins))
    }

    fn own_input(&mut self, task: TaskKey) -> Result<Option<Json>, StoreError> {
        Ok(self.state.task(task).and_then(|task: &TaskRow| task.input.clone()))
    }

    fn examine(&mut self, _: Examine) -> Result<Examined, StoreError> {
        Ok(Examined::default())
    }

    fn prune_work(&mut self, settled_before: Timestamp) -> Result<PruneWork, StoreError> {
        Ok(self.state.prune_work(settled_before))
    }
}
