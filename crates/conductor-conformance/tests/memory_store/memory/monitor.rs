//! What monitors and engines ask.

use super::counting::next;
use super::state::{State, TaskRow};
use super::work::is_ready_leaf;
use conductor_store::backend::{
    ChildWanted, ClaimRow, ClaimsWanted, Counts, CountsWanted, EngineRow, ExplainDetail, ExplainRow,
    LeafDetail, ParentKey, ParentRow, RunKey, TaskKey,
};
use conductor_store::model::{EventBody, ExplainTarget, Kind, NextStep, State as TaskState, Timestamp};
use conductor_store::{EngineKey, Fence, RunBlockers};
use std::collections::BTreeSet;

fn len<T>(items: impl Iterator<Item = T>) -> u64 {
    items.count() as u64
}

/// Whether an open run waits for its deadline.
fn has_deadline(row: &ParentRow) -> bool {
    row.deadline.is_some() && row.status.cancel_cause.is_none() && !row.node.state.is_terminal()
}

impl State {
    pub(super) fn counts(&self, run: Option<RunKey>, wanted: &[CountsWanted<'_>]) -> Counts {
        let mut counts = Counts::default();
        for wanted in wanted {
            self.count(run, *wanted, &mut counts);
        }
        counts
    }

    fn count(&self, run: Option<RunKey>, wanted: CountsWanted<'_>, counts: &mut Counts) {
        let tasks = || self.tasks_of(run);
        match wanted {
            CountsWanted::States => {
                for (run, _) in self.runs_of(run) {
                    let of_run = self.state_counts(run);
                    counts.states.pending += of_run.pending;
                    counts.states.running += of_run.running;
                    counts.states.succeeded += of_run.succeeded;
                    counts.states.failed += of_run.failed;
                    counts.states.cancelled += of_run.cancelled;
                }
            }
            CountsWanted::RetriesDue => {
                counts.retries_due = len(tasks()
                    .filter(|task| task.status.state == TaskState::Failed && task.status.due_at.is_some()));
            }
            CountsWanted::PermanentFailures => {
                let is_failed = |task: &&TaskRow| {
                    let status = task.status;
                    task.is_leaf() && status.state == TaskState::Failed && status.due_at.is_none()
                };
                let is_exhausted = |task: &&TaskRow| task.status.retry_count >= task.block.max_retries.get();
                counts.failed_leaves = len(tasks().filter(is_failed));
                counts.retries_exhausted = len(tasks().filter(is_failed).filter(is_exhausted));
            }
            CountsWanted::Retries => {
                let retried = || tasks().filter(|task| task.status.retry_count > 0);
                counts.retried_tasks = len(retried());
                counts.total_retries = retried().map(|task| u64::from(task.status.retry_count)).sum();
                counts.succeeded_after_retry =
                    len(retried().filter(|task| task.status.state == TaskState::Succeeded));
            }
            CountsWanted::MissingChildren { max_parents } => {
                let parents = self.wants(run, NextStep::FanOut).take(max_parents as usize);
                let missing =
                    parents.map(|row| row.status.counts.total.unwrap_or(0) - row.status.counts.created);
                counts.missing_children = missing.map(u64::from).sum();
            }
            CountsWanted::Stuck(wanted) => counts.stuck = self.stuck(run, &wanted).len() as u64,
            CountsWanted::Events => self.count_events(run, counts),
            CountsWanted::NextDue => counts.next_due = self.next_due(),
        }
    }

    fn count_events(&self, run: Option<RunKey>, counts: &mut Counts) {
        for event in self.events.values().filter(|event| Some(event.run) == run) {
            counts.events += 1;
            match event.body {
                EventBody::TaskFannedOut { .. } => counts.fan_out_events += 1,
                EventBody::TaskAggregated { .. } | EventBody::RunAggregated { .. } => {
                    counts.aggregate_events += 1;
                }
                EventBody::TaskRetried => counts.retry_events += 1,
                _ => {}
            }
        }
    }

    fn next_due(&self) -> Option<Timestamp> {
        let due = self.tasks_of(None).filter_map(|task| task.status.due_at);
        let leases = self.tasks_of(None).filter(|task| task.is_running_leaf());
        let leases = leases.filter_map(|task| task.claim).map(|claim| claim.lease_until);
        let deadlines = self.run_rows_of(None).filter(has_deadline).filter_map(|row| row.deadline);
        due.chain(leases).chain(deadlines).min()
    }

    pub(super) fn blockers(&self, run: Option<RunKey>, limit: u32) -> RunBlockers {
        let ready: BTreeSet<&Kind> =
            self.tasks_of(run).filter(|task| is_ready_leaf(task)).map(|task| &task.kind).collect();
        let ready = ready.into_iter().take(limit as usize).cloned().collect();
        let Some(key) = run else { return RunBlockers { ready, ..RunBlockers::default() } };
        let running = || self.tasks_of(run).filter(|task| task.is_running_leaf());
        let external = running().filter(|task| task.claim.is_none()).map(|task| task.id);
        let row = self.parent_row(ParentKey::run(key));
        let is_open = |row: &ParentRow| {
            let status = row.status;
            !row.node.state.is_terminal() && status.counts.total.is_none() && status.cancel_cause.is_none()
        };
        let steps = || self.run_rows_of(run).chain(self.parents_of(run)).filter_map(|row| next(&row));
        RunBlockers {
            ready,
            external_tasks: external.take(limit as usize).collect(),
            claimed: running().any(|task| task.claim.is_some()),
            open: steps().any(|step| step == NextStep::Append) || row.as_ref().is_some_and(is_open),
            other_work: steps().any(|step| step != NextStep::Append)
                || self.failures.iter().any(|parent| parent.run == key)
                || self.tasks_of(run).any(|task| task.status.due_at.is_some())
                || row.as_ref().is_some_and(has_deadline),
        }
    }

    pub(super) fn claims(&self, wanted: &ClaimsWanted<'_>) -> Vec<ClaimRow> {
        let claim = |task: &TaskRow| {
            let claim = task.claim.filter(|_| task.is_running_leaf())?;
            let fence = Fence { task: task.id, key: task.key.0, attempt: task.status.attempt };
            Some(ClaimRow { fence, engine: Some(claim.engine) })
        };
        match wanted {
            ClaimsWanted::Tasks(keys) => {
                keys.iter().filter_map(|key| self.task(*key)).filter_map(claim).collect()
            }
            ClaimsWanted::Engines { engines, kind, limit } => {
                let of_engine = |engine: &EngineKey| {
                    let engine = Some(*engine);
                    let tasks = self.tasks_of(None).filter(|task| kind.is_none_or(|kind| task.kind == *kind));
                    let claims = tasks.filter_map(claim).filter(move |claim| claim.engine == engine);
                    claims.take(*limit as usize).collect::<Vec<_>>()
                };
                engines.iter().flat_map(of_engine).collect()
            }
        }
    }

    pub(super) fn live_engines(&self) -> Vec<EngineRow> {
        let alive = self.engines.iter().filter(|(_, engine)| engine.lives());
        let row = |(key, engine): (&u64, &super::state::EngineRow)| EngineRow {
            key: EngineKey(*key),
            id: engine.id,
            capabilities: engine.capabilities.clone(),
        };
        alive.map(row).collect()
    }

    pub(super) fn explain_row(&self, key: ParentKey) -> Option<ExplainRow> {
        let status = self.parent_row(key).map(|row| row.status);
        let Some(task) = key.task else {
            let run = self.run(key.run)?;
            return Some(ExplainRow {
                target: ExplainTarget::Run(run.id),
                key,
                parent: None,
                state: run.state,
                created_at: run.created_at,
                updated_at: self.updated_at(key, run.updated_at),
                due_at: None,
                last_error: None,
                detail: ExplainDetail::Parent(status?),
            });
        };
        let task = self.task(task)?;
        Some(ExplainRow {
            target: ExplainTarget::Task { id: task.id, name: task.name.clone() },
            key,
            parent: Some(task.parent()),
            state: task.status.state,
            created_at: task.created_at,
            updated_at: self.updated_at(key, task.updated_at),
            due_at: task.status.due_at,
            last_error: task.error.clone(),
            detail: match status {
                Some(status) => ExplainDetail::Parent(status),
                None => ExplainDetail::Leaf(self.leaf_detail(task)),
            },
        })
    }

    fn leaf_detail(&self, task: &TaskRow) -> LeafDetail {
        let engine = task.claim.and_then(|claim| self.engines.get(&claim.engine.0));
        LeafDetail {
            kind: task.kind.clone(),
            attempt: task.status.attempt,
            retry_count: task.status.retry_count,
            max_retries: task.block.max_retries.get(),
            lease_until: task.claim.map(|claim| claim.lease_until),
            engine: engine.map(|engine| engine.id),
            lease_losses: task.status.lease_losses,
        }
    }

    pub(super) fn find_child(&self, parent: ParentKey, wanted: ChildWanted) -> Option<TaskKey> {
        let is_wanted = |task: &&TaskRow| {
            let status = task.status.node_status();
            match wanted {
                ChildWanted::Open => !status.is_settled(),
                ChildWanted::Failed => status.is_settled() && status.state == TaskState::Failed,
                ChildWanted::Cancelled => status.state == TaskState::Cancelled,
                ChildWanted::Join => false,
            }
        };
        let task = match wanted {
            ChildWanted::Join => self.join_task(parent),
            _ => self.children(parent, 0).find(is_wanted),
        };
        task.map(|task| task.key)
    }
}
