//! Restores a task whose row is missing, from its events and what its relatives say.

use super::repair_tx::{Outcome, RepairTx};
use super::row::{find_task, has_lost_worker, task_columns};
use crate::StoreError;
use crate::backend::{
    AdminWrite, AdminWritten, AuditJoins, AuditTasks, KeyRange, ParentKey, ReadTx, TaskKey, WriteTx,
};
use crate::ops::input::is_counted;
use crate::ops::verify::{RunAudit, item, position};
use conductor_model::{RunReplayTask, State, TaskId};

/// What follows for a task that runs and whose worker is unknown.
pub(super) const LOST_WORKER: &str = "; its worker is unknown, so that the next rescue fails its attempt";

/// The id of a task, if something else than its row says it.
pub(super) fn known_id(
    tx: &mut dyn ReadTx,
    audit: &RunAudit,
    number: u32,
    replayed: &RunReplayTask,
) -> Result<Option<TaskId>, StoreError> {
    if replayed.index > 0 {
        return Ok(audit.keys.id_of(number));
    }
    let parent = ParentKey { run: audit.run, task: position(audit, replayed).parent };
    Ok(tx.audit_joins(AuditJoins::Parent(parent))?.pop().and_then(|join| join.id))
}

/// The key of the row of a task, if another program gave it one that no event names. A row with the id of the task is
/// its row. The id of a root task is stored nowhere else, so that its row is the one at its position.
pub(super) fn find_with_other_key(
    tx: &mut dyn ReadTx,
    audit: &RunAudit,
    number: u32,
    replayed: &RunReplayTask,
) -> Result<Option<TaskKey>, StoreError> {
    let rows = match known_id(tx, audit, number, replayed)? {
        Some(id) => tx.audit_tasks(AuditTasks::Ids(&[id]))?,
        None => tx.audit_tasks(AuditTasks::Position(audit.run, position(audit, replayed)))?,
    };
    let row = rows.into_iter().find(|task| task.row.run == audit.run).map(|task| task.key);
    let is_of_another =
        |key| audit.keys.number_of(key).and_then(|number| audit.replay.task(number)).is_some();
    Ok(row.filter(|key| !is_of_another(*key)))
}

/// Inserts a task whose row is missing.
pub(super) fn restore(
    repair: &mut RepairTx<'_>,
    number: u32,
    replayed: &RunReplayTask,
) -> Result<Outcome, StoreError> {
    if replayed.parent.is_none() && replayed.index > 0 {
        return Ok(Outcome::impossible("the data of a root task is stored only in its row"));
    }
    let Some(id) = known_id(repair.tx, repair.audit, number, replayed)? else {
        return Ok(Outcome::impossible("its id is stored only in its row"));
    };
    if !repair.tx.audit_tasks(AuditTasks::Ids(&[id]))?.is_empty() {
        return Ok(Outcome::impossible("another row has its id"));
    }
    let known = repair.audit.keys.key_of(number);
    let columns = task_columns(None, repair.audit, (id, replayed), repair.now)?;
    let key = match repair.tx.admin_write(AdminWrite::RestoreTask(known, &columns))? {
        AdminWritten::Restored(key) => key,
        AdminWritten::NoTemplate | AdminWritten::Changed | AdminWritten::Unchanged => {
            return Ok(Outcome::impossible("the row of its parent or of its kind is missing"));
        }
        AdminWritten::NoKey => {
            let reason = "no row key is free: another row has the largest possible key";
            return Ok(Outcome::impossible(reason));
        }
    };
    if known.is_none() {
        repair.audit.keys.add(KeyRange { first: key, count: 1 }, number);
    }
    let has_input = match columns.position.parent {
        Some(parent) if replayed.index > 0 => give_input(repair.tx, key, parent, replayed.index)?,
        _ => true,
    };
    let input = if has_input { "" } else { "; its input is lost" };
    let output = if replayed.state == State::Succeeded { "; its output is lost" } else { "" };
    let worker = if has_lost_worker(None, replayed) { LOST_WORKER } else { "" };
    Ok(Outcome::Repaired(format!("created again as {}{input}{output}{worker}", replayed.state)))
}

/// Gives a child its input, as far as that is known; returns whether it has one.
pub(super) fn give_input(
    tx: &mut dyn WriteTx,
    key: TaskKey,
    parent: TaskKey,
    index: u32,
) -> Result<bool, StoreError> {
    if find_task(tx, key)?.is_some_and(|task| task.has_input) {
        return Ok(true);
    }
    let input = match tx.own_input(parent) {
        Err(StoreError::CorruptRow { .. }) => None,
        other => other?,
    };
    let Some(input) = input else { return Ok(false) };
    let Some(item) = item(&input, index) else {
        // A child of a counted fan-out has the input of its parent.
        return Ok(is_counted(&input));
    };
    tx.admin_write(AdminWrite::InsertInput(key, item))?;
    Ok(true)
}
