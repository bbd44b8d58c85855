//! Runs and tasks, as readers see them.

use super::state::{JoinPlan, RunRow, State, TaskRow};
use conductor_store::NodeId;
use conductor_store::backend::{
    ChildResult, ChildResults, ChildResultsWanted, Existing, ExistingWanted, NodePlace, ParentKey,
    ProgressWanted, Rows, RunKey, RunsWanted, Submission, TaskKey, TaskRecord, TaskRecords, TasksWanted,
};
use conductor_store::model::{
    Join, PAYLOAD_HASH_VERSION, Run, State as TaskState, Task, TaskId, TaskProgress,
};
use std::ops::Bound;

/// The first `limit` rows, and whether there are more.
pub(super) fn up_to<T>(rows: impl Iterator<Item = T>, limit: u32) -> Rows<T> {
    let mut items: Vec<T> = rows.take(limit as usize + 1).collect();
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    Rows { items, more }
}

fn join(plan: &JoinPlan) -> Join {
    Join { id: plan.id, kind: plan.join.kind.clone() }
}

impl State {
    pub(super) fn locate(&self, id: NodeId) -> Option<NodePlace> {
        match id {
            NodeId::Run(id) => {
                let key = ParentKey::run(*self.run_ids.get(&id)?);
                Some(NodePlace { key, parent: None, index: 0 })
            }
            NodeId::Task(id) => {
                let task = self.task_with_id(id)?;
                Some(NodePlace { key: task.as_parent(), parent: Some(task.parent()), index: task.index })
            }
        }
    }

    pub(super) fn existing(&self, wanted: &ExistingWanted<'_>) -> Existing {
        let submission = wanted.idempotency_key.and_then(|wanted| {
            self.runs.values().find_map(|run| {
                let (key, payload_hash) = run.submission.as_ref()?;
                let (payload_version, payload_hash) = (PAYLOAD_HASH_VERSION, *payload_hash);
                (key == wanted).then_some(Submission { run: run.id, payload_version, payload_hash })
            })
        });
        let is_taken =
            |id: &&TaskId| self.task_ids.contains_key(*id) || self.joins.values().any(|plan| plan.id == **id);
        Existing {
            submission,
            run: wanted.run.and_then(|id| self.run_ids.get(&id).copied()),
            task: wanted.tasks.iter().find(is_taken).copied(),
        }
    }

    pub(super) fn run_records(&self, wanted: RunsWanted, limit: u32) -> Rows<Run> {
        let record = |(key, run): (RunKey, &RunRow)| self.run_record(key, run);
        match wanted {
            RunsWanted::Id(id) => match self.run_ids.get(&id) {
                Some(key) => up_to(self.runs_of(Some(*key)).map(record), limit),
                None => Rows { items: Vec::new(), more: false },
            },
            RunsWanted::After(after) => {
                let rows = self.runs_of(None).filter(|(key, _)| after.is_none_or(|after| *key > after));
                up_to(rows.map(record), limit)
            }
        }
    }

    fn run_record(&self, key: RunKey, run: &RunRow) -> Run {
        let parent = ParentKey::run(key);
        let status = self.parent_row(parent).map(|row| row.status).unwrap_or_default();
        Run {
            id: run.id,
            state: run.state,
            created_at: run.created_at,
            updated_at: self.updated_at(parent, run.updated_at),
            meta: run.meta.clone(),
            idempotency_key: run.submission.as_ref().map(|(key, _)| key.clone()),
            child_counts: status.counts,
            policy: status.policy,
            join: self.joins.get(&parent).map(join),
            cancel_cause: status.cancel_cause,
            deadline: run.deadline,
            state_counts: self.state_counts(key),
        }
    }

    pub(super) fn task_records(&self, wanted: TasksWanted, limit: u32, max_bytes: usize) -> TaskRecords {
        let tasks: Vec<&TaskRow> = match wanted {
            TasksWanted::Id(id) => self.task_with_id(id).into_iter().collect(),
            TasksWanted::OfRun { run, after, state } => {
                let from = match after {
                    Some((task, index)) => Bound::Excluded((ParentKey { run, task }, index)),
                    None => Bound::Included((ParentKey::run(run), 0)),
                };
                let to = Bound::Included((ParentKey::task(run, TaskKey(u64::MAX)), u32::MAX));
                let tasks = self.places.range((from, to)).filter_map(|(_, key)| self.task(*key));
                let tasks = tasks.filter(|task| state.is_none_or(|state| task.status.state == state));
                tasks.take(limit as usize + 1).collect()
            }
            TasksWanted::Children { parent, after } => {
                self.children(parent, after).take(limit as usize + 1).collect()
            }
        };
        let mut rows = Rows { items: Vec::new(), more: false };
        let (mut bytes, mut heirs) = (0, Vec::new());
        for task in tasks {
            if rows.items.len() == limit as usize || bytes >= max_bytes {
                rows.more = true;
                break;
            }
            let values = task.input.iter().chain(&task.output);
            bytes += values.map(|json| json.as_str().len()).sum::<usize>();
            heirs.extend(task.input.is_none().then_some(task));
            rows.items.extend(self.task_record(task));
        }
        TaskRecords { rows, parent_inputs: self.parent_inputs(heirs) }
    }

    fn task_record(&self, task: &TaskRow) -> Option<TaskRecord> {
        let key = task.as_parent();
        let status = self.parent_row(key).map(|row| row.status);
        let task = Task {
            id: task.id,
            run: self.run(task.run())?.id,
            parent: task.parent().task.and_then(|parent| self.task(parent)).map(|parent| parent.id),
            index: task.index,
            name: task.name.clone(),
            kind: task.kind.clone(),
            state: task.status.state,
            created_at: task.created_at,
            updated_at: self.updated_at(key, task.updated_at),
            due_at: task.status.due_at,
            input: task.input.clone(),
            output: task.output.clone(),
            retry_count: task.status.retry_count,
            max_retries: task.block.max_retries,
            backoff: task.block.backoff,
            timeout_ms: task.block.timeout_ms,
            priority: task.priority,
            attempt: task.status.attempt,
            lease_until: task.claim.map(|claim| claim.lease_until),
            last_error: task.error.clone(),
            child_counts: status.map(|status| status.counts),
            policy: status.unwrap_or_default().policy,
            join: self.joins.get(&key).map(join),
            cancel_cause: status.unwrap_or_default().cancel_cause,
        };
        let position = self.task(key.task?)?.block.position;
        Some(TaskRecord { task, position })
    }

    pub(super) fn child_results(&self, wanted: &ChildResultsWanted) -> ChildResults {
        let created = self.parent_row(wanted.parent).map_or(0, |row| row.status.counts.created);
        let children = self.children(wanted.parent, wanted.after);
        let children = children
            .take_while(|task| task.index <= wanted.until)
            .filter(|task| (task.status.state == TaskState::Succeeded) == wanted.succeeded);
        let (mut results, mut bytes) = (Vec::new(), 0);
        for task in children.take(wanted.limit as usize) {
            if bytes >= wanted.max_bytes {
                break;
            }
            let output = task.output.as_ref().filter(|_| wanted.succeeded).map(ToString::to_string);
            let error = task.error.clone().filter(|_| !wanted.succeeded);
            bytes += output.as_ref().map_or(0, String::len);
            bytes += error.as_ref().map_or(0, |error| error.as_str().len());
            results.push(ChildResult {
                index: task.index,
                id: task.id,
                state: task.status.state,
                output,
                error,
            });
        }
        ChildResults { created, results }
    }

    pub(super) fn task_progress(&self, wanted: ProgressWanted, limit: u32) -> Rows<TaskProgress> {
        let is_wanted = |(key, progress): &(&TaskKey, &TaskProgress)| {
            let Some(task) = self.task(**key) else { return false };
            let is_present = task.is_running_leaf() && task.status.attempt == progress.attempt;
            is_present
                && match wanted {
                    ProgressWanted::Task(id) => task.id == id,
                    ProgressWanted::OfRun { run, after } => {
                        task.run() == run && after.is_none_or(|after| task.key > after)
                    }
                }
        };
        up_to(self.progress.iter().filter(is_wanted).map(|(_, progress)| progress.clone()), limit)
    }
}
