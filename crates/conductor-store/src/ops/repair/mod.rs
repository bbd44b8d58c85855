//! Repairs rows that differ from the events, in bounded transactions.

mod action;
mod ended_joins;
mod repair_tx;
mod restore_row;
mod row;

use self::action::execute;
use self::ended_joins::transaction;
use self::repair_tx::{Outcome, RepairTx};
use crate::backend::{
    AdminWrite, AdminWritten, AuditRuns, AuditTask, AuditTasks, Backend, EventsWanted, ReadTx, RunKey,
    TaskKey,
};
use crate::ops::scope::find_run;
use crate::ops::verify::{
    Finding, RepairAction, RunAudit, RunCheck, check_run, each_stray_input, stray_input,
};
use crate::{MAX_PAGE, Repair, RepairReport, RepairedItem, Scope, StoreError, UnrepairableItem};
use std::collections::HashMap;

/// The number of divergences of a run that are repaired before it is examined again.
const FINDINGS_PER_CALL: usize = 100_000;

/// Repairs runs.
pub(crate) fn repair(backend: &impl Backend, request: &Repair) -> Result<RepairReport, StoreError> {
    let mut report = RepairReport::default();
    let mut after = RunKey(request.cursor);
    let mut events = 0;
    while let Some((run, _)) = backend.read(|tx| tx.audit_run(AuditRuns::Next(request.scope, after)))? {
        let before = report.repaired.len();
        let mut is_whole = true;
        if let Some(check) = check_run(backend, run, FINDINGS_PER_CALL)? {
            report.runs += 1;
            events += check.audit.events;
            is_whole = check.found <= FINDINGS_PER_CALL as u64;
            repair_run(backend, check, request, &mut report)?;
        }
        // With more divergences than were examined, the same run is next again.
        let stays = !is_whole && report.repaired.len() > before;
        after = if stays { RunKey(run.0.saturating_sub(1)) } else { run };
        if stays || (request.scope == Scope::All && events >= request.limit) {
            report.next = Some(after.0);
            return Ok(report);
        }
        if request.scope != Scope::All {
            return Ok(report);
        }
    }
    if request.scope == Scope::All {
        remove_stray_inputs(backend, request, &mut report)?;
    }
    Ok(report)
}

fn repair_run(
    backend: &impl Backend,
    check: RunCheck,
    request: &Repair,
    report: &mut RepairReport,
) -> Result<(), StoreError> {
    let RunCheck { mut audit, mut findings, .. } = check;
    // Parents before their children, and the run at last.
    findings.sort_by_key(|finding| finding.action);
    let groups: Vec<&[Finding]> = findings.chunk_by(|left, right| left.action == right.action).collect();
    for batch in groups.chunks(request.rows.max(1) as usize) {
        let actions: Vec<RepairAction> = batch.iter().map(|group| group[0].action).collect();
        let owners = owners(backend, &audit, &actions)?;
        let outcomes = transaction(backend, request.now, |tx| {
            while audit.catch_up(tx, u32::MAX)? {}
            let mut repair = RepairTx { tx, audit: &mut audit, now: request.now, ended: Vec::new() };
            let outcomes = actions.iter().map(|action| execute(&mut repair, *action, &owners));
            let outcomes = outcomes.collect::<Result<Vec<_>, StoreError>>()?;
            Ok((outcomes, repair.ended))
        })?;
        for (group, outcome) in batch.iter().zip(outcomes) {
            for finding in *group {
                record(report, finding, &outcome);
            }
        }
    }
    Ok(())
}

fn record(report: &mut RepairReport, finding: &Finding, outcome: &Outcome) {
    let divergence = finding.divergence.clone();
    match outcome {
        Outcome::Repaired(action) => {
            report.repaired.push(RepairedItem { divergence, action: action.clone() });
        }
        Outcome::Correct => {}
        Outcome::Impossible(reason) => {
            report.unrepairable.push(UnrepairableItem { divergence, reason: reason.clone() });
        }
    }
}

/// For the rows that are to be removed: the other runs that they belong to.
fn owners(
    backend: &impl Backend,
    audit: &RunAudit,
    actions: &[RepairAction],
) -> Result<HashMap<TaskKey, RunKey>, StoreError> {
    let key = |action: &RepairAction| match action {
        RepairAction::Remove(key) => Some(*key),
        _ => None,
    };
    let keys: Vec<TaskKey> = actions.iter().filter_map(key).collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    backend.read(|tx| {
        let mut owners = runs_of_parents(tx, audit.run, &keys)?;
        let others: Vec<TaskKey> = keys.into_iter().filter(|key| !owners.contains_key(key)).collect();
        for key in others {
            owners.extend(other_run(tx, audit, key)?.map(|run| (key, run)));
        }
        Ok(owners)
    })
}

/// Another run that has an event of a task. It reads all events: no other operation asks for this.
fn other_run(tx: &mut dyn ReadTx, audit: &RunAudit, task: TaskKey) -> Result<Option<RunKey>, StoreError> {
    let mut after = 0;
    loop {
        let wanted = EventsWanted { task: Some(task), after, ..EventsWanted::default() };
        let page = tx.events(&wanted, MAX_PAGE)?;
        for event in page.items.iter().flatten() {
            after = event.seq;
            if audit.id != Some(event.run) {
                return find_run(tx, event.run);
            }
        }
        if !page.more || page.items.iter().all(Result::is_err) {
            return Ok(None);
        }
    }
}

/// The runs of the parents of these tasks, where these are not this run.
fn runs_of_parents(
    tx: &mut dyn ReadTx,
    run: RunKey,
    keys: &[TaskKey],
) -> Result<HashMap<TaskKey, RunKey>, StoreError> {
    let tasks = tx.audit_tasks(AuditTasks::Keys(keys))?;
    let parents: Vec<TaskKey> = tasks.iter().filter_map(|task| task.row.position.parent).collect();
    let runs = tx.audit_tasks(AuditTasks::Keys(&parents))?;
    let runs: HashMap<TaskKey, RunKey> =
        runs.into_iter().map(|parent| (parent.key, parent.row.run)).collect();
    let run_of_parent = |parent: Option<TaskKey>| runs.get(&parent?).filter(|of_parent| **of_parent != run);
    let owner = |task: &AuditTask| Some((task.key, *run_of_parent(task.row.position.parent)?));
    Ok(tasks.iter().filter_map(owner).collect())
}

fn remove_stray_inputs(
    backend: &impl Backend,
    request: &Repair,
    report: &mut RepairReport,
) -> Result<(), StoreError> {
    let mut stray = Vec::new();
    each_stray_input(backend, |task| stray.push(task))?;
    for batch in stray.chunks(request.rows.max(1) as usize) {
        let removed: Vec<bool> = transaction(backend, request.now, |tx| {
            let removed = batch.iter().map(|task| {
                tx.admin_write(AdminWrite::RemoveStrayInput(*task))
                    .map(|written| written == AdminWritten::Changed)
            });
            Ok((removed.collect::<Result<_, StoreError>>()?, Vec::new()))
        })?;
        for (task, _) in batch.iter().zip(removed).filter(|(_, removed)| *removed) {
            report.repaired.push(RepairedItem { divergence: stray_input(*task), action: "removed".into() });
        }
    }
    Ok(())
}
