//! Runs and tasks that are in a condition for too long.

use super::counting::next;
use super::state::{State, TaskRow};
use conductor_store::backend::{ParentKey, ParentRow, RunKey, StuckCondition, StuckRow, StuckWanted};
use conductor_store::model::{NextStep, State as TaskState, Timestamp};

/// What is in a condition, and since when.
type Since = (ParentKey, Timestamp);

impl State {
    /// What is stuck, the longest first.
    pub(super) fn stuck(&self, run: Option<RunKey>, wanted: &StuckWanted<'_>) -> Vec<StuckRow> {
        let conditions = wanted.conditions.iter();
        let all = conditions.flat_map(|condition| self.in_condition(run, *condition, wanted.before));
        let rows = all.filter(|(_, since)| *since < wanted.before).filter_map(|(key, since)| {
            let run = self.run(key.run)?.id;
            let task = key.task.and_then(|task| self.task(task)).map(|task| task.id);
            Some(StuckRow { key, run, task, since })
        });
        let mut rows: Vec<StuckRow> = rows.collect();
        rows.sort_by_key(|row| row.since);
        rows
    }

    fn in_condition(&self, run: Option<RunKey>, condition: StuckCondition, before: Timestamp) -> Vec<Since> {
        let tasks = || self.tasks_of(run);
        let running = || tasks().filter(|task| task.is_running_leaf());
        let overdue = |state: TaskState| {
            let tasks =
                tasks().filter(move |task| task.status.state == state && self.is_going_on(task.run()));
            tasks.filter_map(|task| Some((task.as_parent(), task.status.due_at?))).collect()
        };
        match condition {
            StuckCondition::ExternalAttempt => {
                let external = running().filter(|task| task.claim.is_none());
                external.map(|task| (task.as_parent(), task.updated_at)).collect()
            }
            StuckCondition::ExpiredLease => {
                running().filter_map(|task| Some((task.as_parent(), task.claim?.lease_until))).collect()
            }
            StuckCondition::UnstartedRun => self.unstarted_runs(run, before),
            StuckCondition::OpenParent => {
                let parents = self.wants(run, NextStep::Append);
                parents.map(|row| (row.node.key, self.last_created(row.node.key))).collect()
            }
            StuckCondition::OpenRun => {
                let is_open = |row: &ParentRow| {
                    !row.node.state.is_terminal()
                        && row.status.counts.total.is_none()
                        && row.status.cancel_cause.is_none()
                };
                let runs = self.run_rows_of(run).filter(is_open);
                runs.map(|row| (row.node.key, self.last_created(row.node.key))).collect()
            }
            StuckCondition::UndecidedParent => self.undecided(self.parents_of(run)),
            StuckCondition::UndecidedRun => self.undecided(self.run_rows_of(run)),
            StuckCondition::OverdueStart => overdue(TaskState::Pending),
            StuckCondition::OverdueRetry => overdue(TaskState::Failed),
            StuckCondition::MissingChildren => {
                let parents = self.wants(run, NextStep::FanOut);
                let parents = parents.filter(|row| self.is_going_on(row.node.key.run));
                parents.map(|row| (row.node.key, self.last_change(row.node.key))).collect()
            }
        }
    }

    /// Whether a run is RUNNING and has no cancel cause.
    fn is_going_on(&self, run: RunKey) -> bool {
        let is_going_on = |run: &super::state::RunRow| {
            run.state == TaskState::Running && run.family.status.cancel_cause.is_none()
        };
        self.run(run).is_some_and(is_going_on)
    }

    fn undecided(&self, rows: impl Iterator<Item = ParentRow>) -> Vec<Since> {
        let undecided = rows.filter(|row| matches!(next(row), Some(NextStep::Aggregate | NextStep::Sweep)));
        undecided.map(|row| (row.node.key, self.last_change(row.node.key))).collect()
    }

    fn unstarted_runs(&self, run: Option<RunKey>, before: Timestamp) -> Vec<Since> {
        let runs = self.runs_of(run);
        let pending = runs.filter(|(_, run)| run.state == TaskState::Pending && run.created_at < before);
        let since = |root: &TaskRow| root.status.due_at.unwrap_or(root.updated_at);
        let oldest = |key: ParentKey| {
            let roots = self.children(key, 0).filter(|root| self.is_unstarted(root));
            roots.map(since).min()
        };
        let keys = pending.map(|(key, _)| ParentKey::run(key));
        keys.filter_map(|key| Some((key, oldest(key)?))).collect()
    }

    /// Whether a root task is PENDING, and a leaf or a parent with missing children.
    fn is_unstarted(&self, root: &TaskRow) -> bool {
        let counts = self.parent_row(root.as_parent()).map(|row| row.status.counts);
        root.status.state == TaskState::Pending
            && counts.is_none_or(|counts| counts.total.is_some_and(|total| counts.created < total))
    }

    /// When the last child of a parent or a run was created, or it itself.
    fn last_created(&self, key: ParentKey) -> Timestamp {
        let own = match key.task.and_then(|task| self.task(task)) {
            Some(task) => Some(task.created_at),
            None => self.run(key.run).map(|run| run.created_at),
        };
        let children = self.children(key, 0).map(|child| child.created_at);
        children.last().or(own).unwrap_or(Timestamp::MAX)
    }

    /// When the row of a parent or a run last changed.
    fn last_change(&self, key: ParentKey) -> Timestamp {
        let row = match key.task.and_then(|task| self.task(task)) {
            Some(task) => Some(task.updated_at),
            None => self.run(key.run).map(|run| run.updated_at),
        };
        self.updated_at(key, row.unwrap_or(Timestamp::MAX))
    }
}
