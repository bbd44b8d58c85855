//! Executes one repair: it compares again, and writes what still differs.

use super::ended_joins::EndedJoin;
use super::repair_tx::{Outcome, RepairTx};
use super::restore_row::{LOST_WORKER, find_with_other_key, give_input, known_id, restore};
use super::row::{find_task, has_lost_worker, run_columns, task_columns};
use crate::StoreError;
use crate::backend::{
    AdminWrite, AuditRun, AuditTask, AuditTasks, KeyRange, ParentKey, RunColumns, RunKey, TaskKey,
};
use crate::ops::verify::{
    Difference, RepairAction, RunAudit, audit_run, has_known_parent, position, run_differences,
    task_differences, undecided,
};
use conductor_model::RunReplayTask;
use std::collections::HashMap;

/// Compares again, and repairs what still differs. `owners` has the runs of rows that belong to other runs.
pub(super) fn execute(
    repair: &mut RepairTx<'_>,
    action: RepairAction,
    owners: &HashMap<TaskKey, RunKey>,
) -> Result<Outcome, StoreError> {
    if let RepairAction::None(why) = action {
        return Ok(Outcome::impossible(why));
    }
    let run = audit_run(repair.tx, repair.audit.run)?;
    if !repair.audit.is_of(&run) {
        return Ok(Outcome::Correct);
    }
    let key = repair.audit.run;
    match (action, run) {
        (RepairAction::Task(number), _) => repair_task(repair, number),
        (RepairAction::Input(number), _) => repair_input(repair, number),
        (RepairAction::Run, AuditRun::Stored(run)) => repair_run_row(repair, &run),
        (RepairAction::Decide(parent), AuditRun::Stored(run)) => decide(repair, parent, &run),
        (RepairAction::Remove(task), _) => remove_task(repair, task, owners.get(&task).copied()),
        (RepairAction::Join(parent), _) => {
            repair.tx.admin_write(AdminWrite::RemoveJoin(parent))?;
            Ok(Outcome::repaired("removed"))
        }
        (RepairAction::Sweep(parent), _) => {
            repair.tx.admin_write(AdminWrite::SweepAgain(parent))?;
            Ok(Outcome::repaired("its children are swept again"))
        }
        (RepairAction::Prune, _) => {
            repair.tx.admin_write(AdminWrite::BeginPrune(key))?;
            Ok(Outcome::repaired("queued for the next prune"))
        }
        (RepairAction::Run | RepairAction::Decide(_), _) => Ok(Outcome::Correct),
        (RepairAction::None(why), _) => Ok(Outcome::impossible(why)),
    }
}

fn repair_task(repair: &mut RepairTx<'_>, number: u32) -> Result<Outcome, StoreError> {
    let Some(replayed) = repair.audit.replay.task(number) else { return Ok(Outcome::Correct) };
    if !has_known_parent(position(repair.audit, &replayed)) {
        return Ok(Outcome::impossible("the row of its parent is missing"));
    }
    let mut done = Vec::new();
    let mut stored = None;
    if let Some(key) = repair.audit.keys.key_of(number) {
        stored = find_task(repair.tx, key)?;
        if stored.is_none() {
            stored = restore_key(repair, number, &replayed, key)?;
            done.extend(stored.is_some().then(|| "restored its row key".to_owned()));
        }
    } else if is_restored(repair, number, &replayed)? {
        return Ok(Outcome::Correct);
    }
    match stored {
        Some(stored) => repair_task_row(repair, (number, &replayed), &stored, done),
        None => restore(repair, number, &replayed),
    }
}

/// Whether the repair of a sibling has restored the row of a task, whose key no event names.
fn is_restored(repair: &mut RepairTx<'_>, number: u32, replayed: &RunReplayTask) -> Result<bool, StoreError> {
    let Some(id) = known_id(repair.tx, repair.audit, number, replayed)? else { return Ok(false) };
    let Some(stored) = repair.tx.audit_tasks(AuditTasks::Ids(&[id]))?.pop() else { return Ok(false) };
    let (keys, position) = (KeyRange { first: stored.key, count: 1 }, position(repair.audit, replayed));
    let is_free = stored.row.run == repair.audit.run && repair.audit.keys.are_free(keys);
    if !is_free || !task_differences(&stored.row, repair.audit, number, replayed)?.is_empty() {
        return Ok(false);
    }
    repair.audit.keys.add(keys, number);
    if let Some(parent) = position.parent.filter(|_| replayed.index > 0) {
        give_input(repair.tx, stored.key, parent, replayed.index)?;
    }
    Ok(true)
}

/// Gives the row of a task its key back, if another program gave it one that no event names.
fn restore_key(
    repair: &mut RepairTx<'_>,
    number: u32,
    replayed: &RunReplayTask,
    key: TaskKey,
) -> Result<Option<AuditTask>, StoreError> {
    let Some(from) = find_with_other_key(repair.tx, repair.audit, number, replayed)? else { return Ok(None) };
    repair.tx.admin_write(AdminWrite::ChangeKey { from, to: key })?;
    find_task(repair.tx, key)
}

/// Writes the row of a task, if it still differs. `done` says what was repaired before.
fn repair_task_row(
    repair: &mut RepairTx<'_>,
    (number, replayed): (u32, &RunReplayTask),
    stored: &AuditTask,
    mut done: Vec<String>,
) -> Result<Outcome, StoreError> {
    let row = &stored.row;
    let differences = task_differences(row, repair.audit, number, replayed)?;
    let is_in_run = row.run == repair.audit.run;
    if differences.is_empty() && is_in_run {
        return Ok(if done.is_empty() { Outcome::Correct } else { Outcome::Repaired(done.join(", ")) });
    }
    if !is_in_run {
        done.push("moved its row back to its run".to_owned());
    }
    let Some(id) = known_id(repair.tx, repair.audit, number, replayed)?.or(row.id) else {
        return Ok(Outcome::impossible("its id is stored only in its row"));
    };
    if row.id != Some(id) && !repair.tx.audit_tasks(AuditTasks::Ids(&[id]))?.is_empty() {
        return Ok(Outcome::impossible("another row has its id"));
    }
    let columns = task_columns(Some(row), repair.audit, (id, replayed), repair.now)?;
    repair.tx.admin_write(AdminWrite::Task(stored.key, &columns))?;
    if !differences.is_empty() {
        let rest = if has_lost_worker(Some(row), replayed) { LOST_WORKER } else { "" };
        done.push(format!("{}{rest}", written(&differences)));
    }
    Ok(Outcome::Repaired(done.join(", ")))
}

fn written(differences: &[Difference]) -> String {
    let kinds: Vec<String> = differences.iter().map(|difference| difference.kind.to_string()).collect();
    format!("wrote {} from the events", kinds.join(", "))
}

fn repair_input(repair: &mut RepairTx<'_>, number: u32) -> Result<Outcome, StoreError> {
    let (key, replayed) = (repair.audit.keys.key_of(number), repair.audit.replay.task(number));
    let Some((key, replayed)) = key.zip(replayed) else { return Ok(Outcome::Correct) };
    if find_task(repair.tx, key)?.is_none_or(|stored| stored.has_input) {
        return Ok(Outcome::Correct);
    }
    let parent = replayed.parent.and_then(|parent| repair.audit.keys.key_of(parent));
    match parent.map(|parent| give_input(repair.tx, key, parent, replayed.index)).transpose()? {
        Some(true) => Ok(Outcome::repaired("restored its input from the items of its parent")),
        _ => Ok(Outcome::impossible("its input was stored only in the missing row")),
    }
}

fn repair_run_row(repair: &mut RepairTx<'_>, row: &RunColumns) -> Result<Outcome, StoreError> {
    let Some(run) = repair.audit.replay.run() else { return Ok(Outcome::Correct) };
    let differences = run_differences(row, &run)?;
    if differences.is_empty() {
        return Ok(Outcome::Correct);
    }
    repair.tx.admin_write(AdminWrite::Run(repair.audit.run, &run_columns(row, &run)?))?;
    Ok(Outcome::Repaired(written(&differences)))
}

/// Settles a parent, or the run, by the result of its join, if its own row is correct by now.
fn decide(repair: &mut RepairTx<'_>, parent: Option<u32>, run: &RunColumns) -> Result<Outcome, StoreError> {
    let Some((status, end)) = undecided(repair.audit, parent) else { return Ok(Outcome::Correct) };
    let Some(parent) = correct_parent(repair, parent, run)? else {
        return Ok(Outcome::impossible("its row could not be repaired"));
    };
    repair.ended.push(EndedJoin { parent, status });
    Ok(Outcome::Repaired(format!("settled as {end}, because its join is settled")))
}

/// The key of a parent, or of the run, if its own row is as the events say.
fn correct_parent(
    repair: &mut RepairTx<'_>,
    parent: Option<u32>,
    run: &RunColumns,
) -> Result<Option<ParentKey>, StoreError> {
    let audit = &*repair.audit;
    let Some(number) = parent else {
        let differences = audit.replay.run().map(|replayed| run_differences(run, &replayed)).transpose()?;
        let is_correct = differences.is_some_and(|differences| differences.is_empty());
        return Ok(is_correct.then_some(ParentKey::run(audit.run)));
    };
    let (replayed, key) = (audit.replay.task(number), audit.keys.key_of(number));
    let Some((replayed, key)) = replayed.zip(key) else { return Ok(None) };
    let Some(stored) = find_task(repair.tx, key)? else { return Ok(None) };
    let is_correct =
        stored.row.run == audit.run && task_differences(&stored.row, audit, number, &replayed)?.is_empty();
    Ok(is_correct.then_some(ParentKey::task(audit.run, key)))
}

/// Removes a row that is none of the tasks of the run, or moves it back to the run that it belongs to.
fn remove_task(
    repair: &mut RepairTx<'_>,
    key: TaskKey,
    owner: Option<RunKey>,
) -> Result<Outcome, StoreError> {
    let stored = find_task(repair.tx, key)?;
    let is_in_run = stored.is_some_and(|stored| stored.row.run == repair.audit.run);
    if is_known(repair.audit, key) || !is_in_run {
        return Ok(Outcome::Correct);
    }
    let (write, action) = match owner {
        // Its position there is for the repair of that run to find.
        Some(owner) => (AdminWrite::MoveTask(key, owner), "moved back to the run whose events describe it"),
        None => (AdminWrite::RemoveTask(key), "removed, because no event describes it"),
    };
    repair.tx.admin_write(write)?;
    Ok(Outcome::repaired(action))
}

/// Whether an event describes the task with this key.
fn is_known(audit: &RunAudit, key: TaskKey) -> bool {
    audit.keys.number_of(key).is_some_and(|number| audit.replay.task(number).is_some())
}
