//! The traits [`Query`] and [`Monitor`], for every backend: each method opens a snapshot and runs its query.

use super::{explain, monitor, query};
use crate::backend::Backend;
use crate::{
    ChildFailure, ChildOutput, EngineKey, EventFilter, Fence, Monitor, NodeId, Page, Query, RunBlockers,
    Scope, StoreError, StuckThreshold, TaskFilter, WriteNotifier,
};
use conductor_model::{
    Eta, Event, Explanation, HealthReport, Kind, RetryMetrics, Run, RunId, RunSummary, StateCounts,
    StuckItem, Task, TaskId, TaskProgress, Timestamp,
};

impl<B: Backend> Query for B {
    fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        Backend::read(self, |tx| query::run(tx, id))
    }

    fn runs(&self, after: Option<RunId>, limit: u32) -> Result<Page<Run, RunId>, StoreError> {
        Backend::read(self, |tx| query::runs(tx, after, limit))
    }

    fn task(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        Backend::read(self, |tx| query::task(tx, id))
    }

    fn tasks(
        &self,
        run: RunId,
        filter: TaskFilter,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Page<Task, TaskId>, StoreError> {
        Backend::read(self, |tx| query::tasks(tx, run, filter, after, limit))
    }

    fn children(&self, parent: TaskId, after: u32, limit: u32) -> Result<Page<Task, u32>, StoreError> {
        Backend::read(self, |tx| query::children(tx, parent, after, limit))
    }

    fn child_outputs(
        &self,
        parent: NodeId,
        after: u32,
        limit: u32,
    ) -> Result<Page<ChildOutput, u32>, StoreError> {
        Backend::read(self, |tx| query::child_outputs(tx, parent, after, limit))
    }

    fn child_failures(
        &self,
        parent: NodeId,
        after: u32,
        limit: u32,
    ) -> Result<Page<ChildFailure, u32>, StoreError> {
        Backend::read(self, |tx| query::child_failures(tx, parent, after, limit))
    }

    fn events(
        &self,
        filter: EventFilter<'_>,
        after: u64,
        limit: u32,
    ) -> Result<Page<Event, u64>, StoreError> {
        Backend::read(self, |tx| query::events(tx, filter, after, limit))
    }

    fn task_progress(&self, task: TaskId) -> Result<Option<TaskProgress>, StoreError> {
        Backend::read(self, |tx| query::task_progress(tx, task))
    }

    fn run_progress(
        &self,
        run: RunId,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Page<TaskProgress, TaskId>, StoreError> {
        Backend::read(self, |tx| query::run_progress(tx, run, after, limit))
    }

    fn change_token(&self) -> Result<u64, StoreError> {
        Backend::change_token(self)
    }

    fn write_notifier(&self) -> Option<Box<dyn WriteNotifier>> {
        Backend::write_notifier(self)
    }

    fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.peek(|tx| query::next_due(tx))
    }

    fn ready_kinds(&self, limit: u32) -> Result<Vec<Kind>, StoreError> {
        Backend::read(self, |tx| query::ready_kinds(tx, limit))
    }

    fn explain(&self, node: NodeId, now: Timestamp) -> Result<Option<Explanation>, StoreError> {
        Backend::read(self, |tx| explain::explain(tx, node, now))
    }

    fn stale_claims(&self, fences: &[Fence]) -> Result<Vec<Fence>, StoreError> {
        Backend::read(self, |tx| query::stale_claims(tx, fences))
    }

    fn unknown_claims(
        &self,
        engine: EngineKey,
        known: &[Fence],
        limit: u32,
    ) -> Result<Vec<Fence>, StoreError> {
        Backend::read(self, |tx| query::unknown_claims(tx, engine, known, limit))
    }

    fn run_blockers(&self, run: RunId, limit: u32) -> Result<RunBlockers, StoreError> {
        Backend::read(self, |tx| query::run_blockers(tx, run, limit))
    }

    fn state_counts(&self, scope: Scope) -> Result<StateCounts, StoreError> {
        Backend::read(self, |tx| query::state_counts(tx, scope))
    }
}

impl<B: Backend> Monitor for B {
    fn health(&self, scope: Scope, threshold: StuckThreshold) -> Result<HealthReport, StoreError> {
        Backend::read(self, |tx| monitor::health(tx, scope, threshold))
    }

    fn stuck(
        &self,
        scope: Scope,
        threshold: StuckThreshold,
        limit: u32,
    ) -> Result<Vec<StuckItem>, StoreError> {
        Backend::read(self, |tx| monitor::stuck(tx, scope, threshold, limit))
    }

    fn retry_metrics(&self, scope: Scope) -> Result<RetryMetrics, StoreError> {
        Backend::read(self, |tx| monitor::retry_metrics(tx, scope))
    }

    fn eta(&self, run: RunId, now: Timestamp) -> Result<Option<Eta>, StoreError> {
        Backend::read(self, |tx| monitor::eta(tx, run, now))
    }

    fn summary(&self, run: RunId, threshold: StuckThreshold) -> Result<Option<RunSummary>, StoreError> {
        Backend::read(self, |tx| monitor::summary(tx, run, threshold))
    }
}
