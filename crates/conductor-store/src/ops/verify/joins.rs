//! What a verification compares parent by parent: joins, sweeps, and decisions.

use super::diff::Difference;
use super::finding::{RepairAction, RunCheck};
use super::replay::RunAudit;
use crate::backend::{AuditJoins, AuditTasks, ParentKey, ReadTx, RunColumns, TaskKey};
use crate::{DivergenceKind, StoreError};
use conductor_model::{Decision, JoinStatus, ParentStatus, State, TaskId};
use std::collections::{BTreeMap, HashMap};

/// Compares whether no leaf is open that the sweep of a parent or of the run passed.
pub(super) fn compare_sweeps(
    tx: &mut dyn ReadTx,
    check: &mut RunCheck,
    run: &RunColumns,
) -> Result<(), StoreError> {
    let open = open_leaves(&check.audit);
    let keys: Vec<TaskKey> = open.keys().filter_map(|parent| check.audit.keys.key_of((*parent)?)).collect();
    let rows = if keys.is_empty() { Vec::new() } else { tx.audit_tasks(AuditTasks::Keys(&keys))? };
    let swept: HashMap<TaskKey, Option<i64>> =
        rows.into_iter().map(|task| (task.key, task.row.swept)).collect();
    for (parent, first) in open {
        let Some(key) = parent_key(&check.audit, parent) else { continue };
        let swept = key.task.map_or(run.swept, |key| swept.get(&key).copied().flatten());
        if let Some(swept) = swept.filter(|swept| *swept >= i64::from(first)) {
            let task = parent_id(tx, &check.audit, parent)?;
            let stored = format!("children swept up to index {swept}");
            let difference =
                Difference::new(DivergenceKind::CancelCause, stored, format!("child {first} still open"));
            check.record(task, RepairAction::Sweep(key), difference);
        }
    }
    Ok(())
}

/// The first open leaf of each parent, and of the run, that is being cancelled.
fn open_leaves(audit: &RunAudit) -> BTreeMap<Option<u32>, u32> {
    let is_cancelling = |parent: Option<u32>| {
        parent_status(audit, parent)
            .is_some_and(|(state, status)| status.cancel_cause.is_some() && !state.is_terminal())
    };
    let run_is_cancelling = is_cancelling(None);
    let mut open: BTreeMap<Option<u32>, u32> = BTreeMap::new();
    for task in (0..audit.replay.len()).filter_map(|number| audit.replay.task(number)) {
        let is_open = !task.state.is_terminal() || task.retry_scheduled;
        if is_open
            && task.status.is_none()
            && task.index > 0
            && task.parent.map_or(run_is_cancelling, |parent| is_cancelling(Some(parent)))
        {
            let first = open.entry(task.parent).or_insert(task.index);
            *first = task.index.min(*first);
        }
    }
    open
}

/// Compares whether there is a join plan for each parent that has a join, of a kind that exists, and no other plan.
pub(super) fn compare_joins(tx: &mut dyn ReadTx, check: &mut RunCheck) -> Result<(), StoreError> {
    let plans = tx.audit_joins(AuditJoins::Run(check.audit.run))?;
    let mut plans: BTreeMap<ParentKey, Option<i64>> =
        plans.into_iter().map(|plan| (plan.parent, plan.unknown_kind)).collect();
    for parent in parents(&check.audit) {
        let has_join =
            parent_status(&check.audit, parent).is_some_and(|(_, status)| status.join != JoinStatus::None);
        if !has_join {
            continue;
        }
        let plan = parent_key(&check.audit, parent).and_then(|key| plans.remove(&key));
        let (why, difference) = match plan {
            Some(None) => continue,
            Some(Some(kind)) => (
                "the kind of its join is stored only in this row",
                Difference::new(DivergenceKind::Kind, format!("the join kind {kind}"), "a known kind"),
            ),
            None => (
                "the join plan was stored only in the missing row",
                Difference::new(DivergenceKind::JoinPlan, "no join plan", "a join plan"),
            ),
        };
        let task = parent_id(tx, &check.audit, parent)?;
        check.record(task, RepairAction::None(why), difference);
    }
    for parent in plans.into_keys() {
        let stored = format!("a join plan of {}", parent.task.unwrap_or_default());
        let difference = Difference::new(DivergenceKind::JoinPlan, stored, "no join plan");
        check.record(None, RepairAction::Join(parent), difference);
    }
    Ok(())
}

/// Compares whether each parent has settled whose join has: the end of a join decides its parent in the same
/// transaction.
pub(super) fn compare_decisions(tx: &mut dyn ReadTx, check: &mut RunCheck) -> Result<(), StoreError> {
    for parent in parents(&check.audit) {
        let Some((_, end)) = undecided(&check.audit, parent) else { continue };
        let task = parent_id(tx, &check.audit, parent)?;
        let stored = "no decision after the end of its join";
        let difference = Difference::new(DivergenceKind::Events, stored, end.to_string());
        check.record(task, RepairAction::Decide(parent), difference);
    }
    Ok(())
}

/// The status of the join of a parent, or of the run, that its join should have decided, and the state in which it
/// settles.
pub(crate) fn undecided(audit: &RunAudit, parent: Option<u32>) -> Option<(JoinStatus, State)> {
    let (state, status) = parent_status(audit, parent)?;
    match status.decide() {
        Decision::Settle(end) if matches!(status.join, JoinStatus::Settled(_)) && !state.is_terminal() => {
            Some((status.join, end))
        }
        _ => None,
    }
}

/// The run (`None`), and each task that may be a parent.
fn parents(audit: &RunAudit) -> impl Iterator<Item = Option<u32>> + use<> {
    std::iter::once(None).chain((0..audit.replay.len()).map(Some))
}

/// The state of a parent, or of the run, and what its decision depends on.
fn parent_status(audit: &RunAudit, parent: Option<u32>) -> Option<(State, ParentStatus)> {
    let Some(parent) = parent else {
        return audit.replay.run().map(|run| (run.state, run.status));
    };
    let parent = audit.replay.task(parent)?;
    Some((parent.state, parent.status?))
}

/// The key of a parent, or of the run.
fn parent_key(audit: &RunAudit, parent: Option<u32>) -> Option<ParentKey> {
    let Some(parent) = parent else { return Some(ParentKey::run(audit.run)) };
    audit.keys.key_of(parent).map(|key| ParentKey::task(audit.run, key))
}

/// The id of a parent; none for the run.
fn parent_id(
    tx: &mut dyn ReadTx,
    audit: &RunAudit,
    parent: Option<u32>,
) -> Result<Option<TaskId>, StoreError> {
    Ok(parent.map(|parent| audit.task_id(tx, parent)).transpose()?.flatten())
}
