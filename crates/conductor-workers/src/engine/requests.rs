//! The requests of a program to the store of its engine. Each request that writes wakes the engine.

use super::Engine;
use crate::outputs::{self, OutputError};
use conductor_model::{
    ChildCounts, ErrorText, ExplainTarget, Explanation, HealthReport, Json, Run, RunId, StateReason, Task,
    TaskDraft, TaskId, ValidationError,
};
use conductor_store::{
    Append, AppendError, AppendOutcome, Cancel, CancelError, CancelOutcome, MAX_PAGE, NodeId, Report,
    ReportBatch, ReportOutcome, Revive, ReviveError, ReviveFilter, ReviveOutcome, Scope, Seal, SealError,
    StoreError, StuckThreshold, TaskFilter,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

impl Engine {
    /// Appends items to a task that was submitted as [`open`](TaskDraft::open): one child for each item, in one
    /// transaction.
    ///
    /// One append takes at most 100,000 items. `first_index` is the index of the first item among the children, from 1.
    ///
    /// Appends are idempotent: items at existing indices are skipped, and not compared with the existing children. If it is
    /// unknown whether an append took effect, repeat it.
    ///
    /// ```
    /// # use conductor_model::{RunDraft, State, TaskDraft};
    /// # use conductor_store::SqliteStore;
    /// # use conductor_workers::{Context, Engine, TaskError};
    /// let engine = Engine::builder(SqliteStore::open_in_memory()?)
    ///     .handler("square", |number: u64, _: Context| Ok::<_, TaskError>(number * number))
    ///     .build()?;
    /// let run = engine.submit(RunDraft::new().task(TaskDraft::new("square").open()))?;
    /// let parent = engine.root_tasks(run)?[0].id;
    /// let appended = engine.append(parent, 1, [1, 2])?;
    /// engine.append(parent, appended.next_index, [3])?;
    /// engine.seal(parent, 3)?;
    /// assert_eq!(engine.run_until_settled(run)?.state, State::Succeeded);
    /// assert_eq!(engine.outputs::<u64>(parent)?.collect::<Result<Vec<_>, _>>()?, [(1, 1), (2, 4), (3, 9)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`AppendError`]; nothing was written. A gap is [`AppendError::IndexGap`] with the expected index. Too many items are
    /// [`AppendError::TooMany`].
    pub fn append<T: Serialize>(
        &self,
        parent: TaskId,
        first_index: u32,
        items: impl IntoIterator<Item = T>,
    ) -> Result<AppendOutcome, AppendError> {
        let item = |(i, item): (usize, T)| {
            Json::of(&item).map_err(|issue| ValidationError::from(issue.at(&format!("items[{i}]"))))
        };
        let items = ValidationError::collect(items.into_iter().enumerate().map(item))?;
        self.wake_after(self.store.append(&Append::items(parent, first_index, items, &self.env)))
    }

    /// Appends root tasks to a run that was submitted as [`open`](conductor_model::RunDraft::open), in one transaction.
    ///
    /// One append takes at most 100,000 tasks. `first_index` is the index of the first task among the root tasks, from 1.
    /// Tasks at existing indices are skipped, and not compared with the existing root tasks.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was written.
    pub fn append_tasks(
        &self,
        run: RunId,
        first_index: u32,
        tasks: impl IntoIterator<Item = TaskDraft>,
    ) -> Result<AppendOutcome, AppendError> {
        let task =
            |(i, task): (usize, TaskDraft)| task.validate().map_err(|error| error.at(&format!("tasks[{i}]")));
        let tasks = ValidationError::collect(tasks.into_iter().enumerate().map(task))?;
        self.wake_after(self.store.append(&Append::tasks(run, first_index, tasks, &self.env)))
    }

    /// Seals an open task or run: `children` is its final number of children or root tasks. Sealing again with the same
    /// number changes nothing.
    ///
    /// # Errors
    /// [`SealError`]; nothing was written.
    pub fn seal(&self, parent: impl Into<NodeId>, children: u32) -> Result<(), SealError> {
        self.wake_after(self.store.seal(&Seal::new(parent.into(), children, &self.env)))
    }

    /// Reports results of leaves that no engine has claimed, in one transaction; returns one answer for each report, in
    /// their order. One call takes at most 100,000 reports.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written. Too many reports are [`StoreError::BatchTooLarge`].
    pub fn report(
        &self,
        reports: impl IntoIterator<Item = Report>,
    ) -> Result<Vec<ReportOutcome>, StoreError> {
        self.wake_after(self.store.report(&ReportBatch::new(reports, &self.env)))
    }

    /// Returns a run; `None` if it does not exist.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        self.store.run(id)
    }

    /// Returns a task; `None` if it does not exist.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn task(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.store.task(id)
    }

    /// Returns all root tasks of a run, in the order of their indices. It reads all of them; for a run with very many,
    /// page with [`Query::tasks`](conductor_store::Query::tasks).
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::RunNotFound`] for an unknown run.
    pub fn root_tasks(&self, run: RunId) -> Result<Vec<Task>, StoreError> {
        self.store.run(run)?.ok_or(StoreError::RunNotFound(run))?;
        let (mut roots, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.store.tasks(run, TaskFilter::default(), cursor, MAX_PAGE)?;
            cursor = page.next;
            // Root tasks come before all children.
            let has_children = page.items.iter().any(|task| task.parent.is_some());
            // The join of the run has index 0.
            roots.extend(page.items.into_iter().filter(|task| task.parent.is_none() && task.index > 0));
            if cursor.is_none() || has_children {
                return Ok(roots);
            }
        }
    }

    /// Returns the output of a task; `None` while it has none, for a FAILED or CANCELLED task, and for a `null` output.
    ///
    /// # Errors
    /// [`OutputError::NotFound`] for an unknown id, [`OutputError::WrongType`] if the output is not a `T`.
    pub fn output<T: DeserializeOwned>(&self, task: TaskId) -> Result<Option<T>, OutputError> {
        outputs::of_task(&*self.store, task)
    }

    /// Returns the outputs of the children of a task, or of the root tasks of a run, that SUCCEEDED: each with its index,
    /// in the order of the indices. The iterator reads them in pages. It is empty for a leaf.
    ///
    /// # Errors
    /// [`OutputError::NotFound`] for an unknown id; each item may be an [`OutputError`] of its own.
    pub fn outputs<T: DeserializeOwned>(
        &self,
        parent: impl Into<NodeId>,
    ) -> Result<impl Iterator<Item = Result<(u32, T), OutputError>>, OutputError> {
        let parent = parent.into();
        let not_found = || OutputError::NotFound(parent);
        let counts = match parent {
            NodeId::Run(run) => Some(self.store.run(run)?.ok_or_else(not_found)?.child_counts),
            NodeId::Task(task) => self.store.task(task)?.ok_or_else(not_found)?.child_counts,
        };
        let count = counts.map_or(0, ChildCounts::succeeded);
        Ok(outputs::of_children(&*self.store, parent, count))
    }

    /// Returns the health of one run or of all runs: counters, rates and warnings.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn health(&self, scope: impl Into<Scope>) -> Result<HealthReport, StoreError> {
        self.store.health(scope.into(), StuckThreshold::at(self.env.now()))
    }

    /// Cancels a run, or a task with all tasks below it. `reason` is stored with the cancellation, cut at 64 KiB.
    ///
    /// The call returns before all tasks are CANCELLED: engines cancel them in bounded steps. Running handlers are asked to
    /// stop through their [`Context`](crate::Context).
    ///
    /// # Errors
    /// [`CancelError`]; nothing was written. A settled run or task is [`CancelError::AlreadySettled`].
    pub fn cancel(
        &self,
        target: impl Into<NodeId>,
        reason: impl Into<ErrorText>,
    ) -> Result<CancelOutcome, CancelError> {
        let (target, reason) = (target.into(), Some(reason.into()));
        self.wake_after(self.store.cancel(&Cancel { target, reason, now: self.env.now() }))
    }

    /// Revives a leaf that FAILED permanently or was CANCELLED: it becomes PENDING, and its parents and its run continue.
    ///
    /// # Errors
    /// [`ReviveError`]; nothing was written.
    pub fn revive(&self, leaf: TaskId) -> Result<ReviveOutcome, ReviveError> {
        self.wake_after(self.store.revive(&Revive::leaf(leaf, self.env.now())))
    }

    /// Revives all matching leaves below a task or of a run, in bounded transactions: see
    /// [`revive_all`](crate::steps::revive_all()).
    ///
    /// # Errors
    /// [`ReviveError`]; earlier transactions remain, and a second call continues after them.
    pub fn revive_all(
        &self,
        below: impl Into<NodeId>,
        filter: ReviveFilter,
    ) -> Result<ReviveOutcome, ReviveError> {
        self.wake_after(crate::steps::revive_all(&*self.store, below, filter, &self.env))
    }

    /// Explains why a run or a task is in its state, down to the task or the condition that it waits for. Returns `None` if
    /// it does not exist.
    ///
    /// In addition to the store, the engine knows which of its own handlers continue after their timeout.
    ///
    /// ```
    /// # use conductor_model::{RunDraft, TaskDraft};
    /// # use conductor_store::SqliteStore;
    /// # use conductor_workers::Engine;
    /// let engine = Engine::builder(SqliteStore::open_in_memory()?).build()?;
    /// let run = engine.submit(RunDraft::new().task(TaskDraft::new("resize")))?;
    /// let why = engine.explain(run)?.unwrap().to_string();
    /// assert!(why.contains("waits for 1 of 1 children"), "{why}");
    /// assert!(why.ends_with("but no engine handles kind resize"), "{why}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn explain(&self, target: impl Into<NodeId>) -> Result<Option<Explanation>, StoreError> {
        let mut explanation = self.store.explain(target.into(), self.env.now())?;
        let shared = self.shared();
        let mut deepest = explanation.as_mut();
        while let Some(one) = deepest {
            if let (ExplainTarget::Task { id, .. }, None, Some(shared)) =
                (&one.target, &one.caused_by, &shared)
                && shared.pool.is_abandoned(*id)
            {
                let (target, state) = (one.target.clone(), one.state);
                let reason = StateReason::HandlerOverran;
                one.caused_by = Some(Box::new(Explanation { target, state, reason, caused_by: None }));
                break;
            }
            deepest = one.caused_by.as_deref_mut();
        }
        Ok(explanation)
    }

    /// Wakes the engine after a request, also after an error: a commit with an unknown outcome may have left work.
    fn wake_after<T>(&self, answer: T) -> T {
        self.wake();
        answer
    }
}
