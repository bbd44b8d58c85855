//! What verifications ask. Nothing else can write to the store, so that they find nothing to repair.

use super::state::{State, TaskRow};
use conductor_store::StoreError;
use conductor_store::backend::{
    AuditEvent, AuditJoin, AuditJoins, AuditKeys, AuditRun, AuditRuns, AuditTask, AuditTasks, CreatedPart,
    FirstKey, IdRange, KeysFound, ParentColumns, ParentKey, ParentRow, RunColumns, RunKey, StoredPosition,
    TaskColumns, TaskKey,
};
use conductor_store::model::{ParentStatus, State as TaskState, TaskId, Timestamp};
use std::ops::Bound;

impl State {
    pub(super) fn audit_run(&self, wanted: AuditRuns) -> Result<Option<(RunKey, AuditRun)>, StoreError> {
        let key = match wanted {
            AuditRuns::Key(run) => Some(run),
            AuditRuns::Next(scope, after) => {
                let run = self.scope(scope)?;
                self.runs_of(run).map(|(key, _)| key).find(|key| *key > after)
            }
        };
        Ok(key.map(|key| (key, self.audit_row(key))))
    }

    fn audit_row(&self, key: RunKey) -> AuditRun {
        let (Some(run), Some(row)) = (self.run(key), self.parent_row(ParentKey::run(key))) else {
            return AuditRun::Gone;
        };
        AuditRun::Stored(RunColumns {
            id: Some(run.id),
            state: run.state.code(),
            as_parent: parent_columns(row.status),
            state_counts: TaskState::ALL.map(|state| row.state_counts.of(state).cast_signed()),
            swept: swept(&row),
        })
    }

    pub(super) fn audit_events(&self, run: RunKey, after: u64, limit: u32) -> Vec<AuditEvent> {
        let behind = self.events.range(after.saturating_add(1)..).filter(|(_, event)| event.run == run);
        let event = |(seq, event): (&u64, &std::sync::Arc<super::state::EventRow>)| AuditEvent {
            seq: *seq,
            task: event.task,
            name: event.body.name(),
            body: Ok(event.body.clone()),
        };
        behind.take(limit as usize).map(event).collect()
    }

    pub(super) fn audit_keys(&self, wanted: AuditKeys<'_>) -> KeysFound {
        match wanted {
            AuditKeys::Created(ranges) => KeysFound {
                parts: ranges.iter().map(|range| self.created_parts(*range)).collect(),
                lost: None,
            },
            AuditKeys::Around(_) => KeysFound::default(),
        }
    }

    /// The blocks of tasks that were created together.
    fn created_parts(&self, IdRange { first, count }: IdRange) -> Vec<CreatedPart> {
        let mut parts: Vec<(TaskKey, CreatedPart)> = Vec::new();
        let ids = (0..u128::from(count)).map(|offset| TaskId::from_u128(first.as_u128() + offset));
        for task in ids.filter_map(|id| self.task(*self.task_ids.get(&id)?)) {
            if let Some((_, part)) = parts.last_mut().filter(|(base, _)| *base == task.block.base) {
                part.count += 1;
            } else {
                let first_keys = vec![FirstKey { key: task.key, rows: 1 }];
                parts.push((task.block.base, CreatedPart { count: 1, first_keys }));
            }
        }
        parts.into_iter().map(|(_, part)| part).collect()
    }

    pub(super) fn audit_tasks(&self, wanted: AuditTasks<'_>) -> Vec<AuditTask> {
        let tasks: Vec<&TaskRow> = match wanted {
            AuditTasks::After { run, position, limit } => {
                let from = match position {
                    Some(StoredPosition { parent: task, index }) => {
                        Bound::Excluded((ParentKey { run, task }, u32::try_from(index).unwrap_or(0)))
                    }
                    None => Bound::Included((ParentKey::run(run), 0)),
                };
                let to = Bound::Included((ParentKey::task(run, TaskKey(u64::MAX)), u32::MAX));
                let tasks = self.places.range((from, to)).filter_map(|(_, key)| self.task(*key));
                tasks.take(limit as usize).collect()
            }
            AuditTasks::Keys(keys) => keys.iter().filter_map(|key| self.task(*key)).collect(),
            AuditTasks::Ids(ids) => ids.iter().filter_map(|id| self.task(*self.task_ids.get(id)?)).collect(),
            AuditTasks::Position(run, StoredPosition { parent: task, index }) => {
                let place = (ParentKey { run, task }, u32::try_from(index).unwrap_or(u32::MAX));
                self.places.get(&place).and_then(|key| self.task(*key)).into_iter().collect()
            }
        };
        tasks.into_iter().map(|task| self.audit_task(task)).collect()
    }

    fn audit_task(&self, task: &TaskRow) -> AuditTask {
        let row = self.parent_row(task.as_parent());
        let position = StoredPosition { parent: task.parent().task, index: i64::from(task.index) };
        let columns = TaskColumns {
            run: task.run(),
            id: Some(task.id),
            position,
            state: task.status.state.code(),
            due_at: task.status.due_at.map(Timestamp::as_millis),
            attempt: i64::from(task.status.attempt),
            retry_count: i64::from(task.status.retry_count),
            lease_until: task.claim.map(|claim| claim.lease_until.as_millis()),
            engine: task.claim.map(|claim| claim.engine.0.cast_signed()),
            as_parent: row.map(|row| parent_columns(row.status)).unwrap_or_default(),
            swept: row.as_ref().and_then(swept),
        };
        AuditTask { key: task.key, row: columns, unknown_kind: None, has_input: task.input.is_some() }
    }

    pub(super) fn audit_joins(&self, wanted: AuditJoins) -> Vec<AuditJoin> {
        let is_wanted = |parent: &ParentKey| match wanted {
            AuditJoins::Run(run) => parent.run == run,
            AuditJoins::Parent(wanted) => *parent == wanted,
        };
        let plans = self.joins.iter().filter(|(parent, _)| is_wanted(parent));
        plans
            .map(|(parent, plan)| AuditJoin { parent: *parent, id: Some(plan.id), unknown_kind: None })
            .collect()
    }
}

fn swept(row: &ParentRow) -> Option<i64> {
    row.status.cancel_cause.map(|_| i64::from(row.swept))
}

fn parent_columns(status: ParentStatus) -> ParentColumns {
    ParentColumns::of(status).expect("the policy is JSON")
}
