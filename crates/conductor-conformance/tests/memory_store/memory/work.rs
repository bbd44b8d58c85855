//! What steps look for.

use super::counting::next;
use super::state::{State, TaskRow};
use conductor_store::StoreError;
use conductor_store::backend::{DueKind, KeySet, Node, ParentRow, RunKey, RunsWith, Turn, Work};
use conductor_store::model::{
    Kind, LeaseLosses, NextStep, State as TaskState, Timestamp, lease_expired, retry_is_due,
};
use std::collections::BTreeSet;

/// Whether a task is a leaf that an engine may claim.
pub(super) fn is_ready(task: &TaskRow, kind: &Kind, isolated: bool) -> bool {
    is_ready_leaf(task) && task.kind == *kind && is_isolated(task) == isolated
}

/// Whether a task is a leaf that is ready, isolated or not.
pub(super) fn is_ready_leaf(task: &TaskRow) -> bool {
    task.is_leaf() && task.status.state == TaskState::Pending && task.status.due_at.is_none()
}

fn is_isolated(task: &TaskRow) -> bool {
    task.status.lease_losses == Some(LeaseLosses::Isolate)
}

impl State {
    pub(super) fn has_work(&self, work: &Work<'_>) -> Result<bool, StoreError> {
        Ok(match work {
            Work::Claim(claim) => claim.quotas.iter().any(|quota| {
                let is_wanted = |task: &TaskRow| {
                    is_ready(task, &quota.kind, false)
                        || claim.allow_isolated && is_ready(task, &quota.kind, true)
                };
                quota.limit > 0 && claim.limit > 0 && self.tasks_of(None).any(is_wanted)
            }),
            Work::FanOut(scope) => self.wants(self.scope(*scope)?, NextStep::FanOut).next().is_some(),
            Work::Sweep(scope) => self.wants(self.scope(*scope)?, NextStep::Sweep).next().is_some(),
            Work::SweepRun(run) => self.wants(Some(*run), NextStep::Sweep).next().is_some(),
            Work::Aggregate(scope) => {
                let run = self.scope(*scope)?;
                self.is_counting(run) || self.wants(run, NextStep::Aggregate).next().is_some()
            }
            Work::Due(kind, scope, now) => !self.due(*kind, self.scope(*scope)?, *now).is_empty(),
            Work::Expire(scope, now) => !self.expired(self.scope(*scope)?, *now).is_empty(),
            Work::LostClaims(now) => !self.lost(*now).is_empty() || !self.dead_engines().is_empty(),
        })
    }

    pub(super) fn find(&self, work: &Work<'_>, limit: u32) -> Result<Vec<Node>, StoreError> {
        let limit = limit as usize;
        Ok(match *work {
            Work::Due(kind, scope, now) => {
                self.nodes(self.due(kind, self.scope(scope)?, now).into_iter().take(limit))
            }
            Work::LostClaims(now) => self.nodes(self.lost(now).into_iter().take(limit)),
            Work::Expire(scope, now) => {
                let runs = self.expired(self.scope(scope)?, now).into_iter().take(limit);
                runs.map(|row| Node::Parent(Ok(row))).collect()
            }
            Work::SweepRun(run) => {
                let rows = self.wants(Some(run), NextStep::Sweep).take(limit);
                rows.map(|row| Node::Parent(Ok(row))).collect()
            }
            Work::Claim(_) | Work::FanOut(_) | Work::Sweep(_) | Work::Aggregate(_) => Vec::new(),
        })
    }

    /// The runs and parents that need a step: runs first.
    pub(super) fn wants(&self, run: Option<RunKey>, step: NextStep) -> impl Iterator<Item = ParentRow> {
        let rows = self.run_rows_of(run).chain(self.parents_of(run));
        rows.filter(move |row| next(row) == Some(step))
    }

    /// Tasks whose time has come, the longest due first.
    fn due(&self, kind: DueKind, run: Option<RunKey>, now: Timestamp) -> Vec<&TaskRow> {
        let is_due = |task: &&TaskRow| match (kind, task.status.state, task.status.due_at) {
            (DueKind::Retry, TaskState::Failed, Some(due_at)) => retry_is_due(due_at, now),
            (DueKind::Start, TaskState::Pending, Some(due_at)) => due_at <= now,
            _ => false,
        };
        let mut due: Vec<&TaskRow> = self.tasks_of(run).filter(is_due).collect();
        due.sort_by_key(|task| task.status.due_at);
        due
    }

    /// Runs whose deadline has passed, the longest first.
    fn expired(&self, run: Option<RunKey>, now: Timestamp) -> Vec<ParentRow> {
        let is_expired = |row: &ParentRow| {
            let is_open = !row.node.state.is_terminal() && row.status.cancel_cause.is_none();
            is_open && row.deadline.is_some_and(|deadline| deadline <= now)
        };
        let mut expired: Vec<ParentRow> = self.run_rows_of(run).filter(is_expired).collect();
        expired.sort_by_key(|row| row.deadline);
        expired
    }

    /// Claimed leaves whose lease is over, or whose engine does not live.
    fn lost(&self, now: Timestamp) -> Vec<&TaskRow> {
        let is_lost = |task: &&TaskRow| {
            task.is_running_leaf()
                && task.claim.is_some_and(|claim| {
                    lease_expired(claim.lease_until, task.updated_at, now)
                        || !self.engine_lives(claim.engine.0)
                })
        };
        let mut lost: Vec<&TaskRow> = self.tasks_of(None).filter(is_lost).collect();
        lost.sort_by_key(|task| task.claim.map(|claim| claim.lease_until));
        lost
    }

    /// The engines that are registered and do not live.
    pub(super) fn dead_engines(&self) -> Vec<u64> {
        self.engines.iter().filter(|(_, engine)| !engine.lives()).map(|(key, _)| *key).collect()
    }

    /// The runs of a turn: those behind its cursor first, then the others.
    pub(super) fn runs_in_turn(&self, turn: &Turn<'_>) -> Result<Vec<RunKey>, StoreError> {
        let runs: BTreeSet<RunKey> = match turn.with {
            RunsWith::Ready(kind) => {
                self.tasks_of(None).filter(|task| is_ready(task, kind, false)).map(TaskRow::run).collect()
            }
            RunsWith::FanOut(scope) => self.runs_that_want(scope, NextStep::FanOut)?,
            RunsWith::Sweep(scope) => self.runs_that_want(scope, NextStep::Sweep)?,
        };
        let is_behind = |run: &&RunKey| run.0 > turn.after.0;
        let behind = runs.iter().filter(is_behind).chain(runs.iter().filter(|run| !is_behind(run)));
        Ok(behind.copied().take(turn.limit as usize).collect())
    }

    fn runs_that_want(
        &self,
        scope: conductor_store::Scope,
        step: NextStep,
    ) -> Result<BTreeSet<RunKey>, StoreError> {
        Ok(self.wants(self.scope(scope)?, step).map(|row| row.node.key.run).collect())
    }

    /// Leaves by their keys.
    pub(super) fn leaves(&self, keys: &[KeySet]) -> impl Iterator<Item = &TaskRow> {
        keys.iter().flat_map(KeySet::iter).filter_map(|key| self.task(key)).filter(|task| task.is_leaf())
    }
}
