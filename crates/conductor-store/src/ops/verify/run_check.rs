//! Compares the rows of one run with its events.

use super::diff::{Difference, run_differences, task_differences};
use super::finding::{RepairAction, RunCheck};
use super::input::children_need_input;
use super::joins::{compare_decisions, compare_joins, compare_sweeps};
use super::limits::{ROWS_PER_CALL, ROWS_PER_TRANSACTION};
use super::replay::RunAudit;
use crate::backend::{
    AuditRun, AuditRuns, AuditTask, AuditTasks, Backend, ReadTx, RunColumns, RunKey, StoredPosition, TaskKey,
};
use crate::{DivergenceKind, StoreError};
use conductor_model::RunReplayTask;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// How far the rows of a run were compared.
#[derive(Default)]
struct RowProgress {
    after: Option<StoredPosition>,
    /// By number: whether its row was compared.
    seen: Vec<bool>,
    /// The parent whose children are compared, and whether each of these has an input of its own.
    own_input: Option<(u32, bool)>,
}

/// Verifies a run, and keeps at most so many findings; `None` if it is being pruned.
pub(crate) fn check_run(
    backend: &impl Backend,
    run: RunKey,
    max: usize,
) -> Result<Option<RunCheck>, StoreError> {
    let id = match backend.read(|tx| audit_run(tx, run))? {
        AuditRun::Stored(RunColumns { id: Some(id), .. }) => id,
        AuditRun::Stored(_) => {
            let stored = format!("no id in the row with key {}", run.0.cast_signed());
            let difference = Difference::new(DivergenceKind::Id, stored, "an id");
            let action = RepairAction::None("its id is stored only in this row");
            return Ok(Some(unreadable_run(run, max, action, difference)));
        }
        AuditRun::Missing => {
            let computed = "a row, or no reference to it";
            let difference = Difference::new(DivergenceKind::Row, "no row of the run", computed);
            return Ok(Some(unreadable_run(run, max, RepairAction::Prune, difference)));
        }
        AuditRun::Gone => return Ok(None),
    };
    let mut check = RunCheck::new(RunAudit::new(run, Some(id)), max);
    let mut rows = RowProgress::default();
    loop {
        match backend.read(|tx| check_next(tx, &mut check, &mut rows))? {
            ControlFlow::Continue(()) => {}
            ControlFlow::Break(is_whole) => return Ok(is_whole.then_some(check)),
        }
    }
}

fn unreadable_run(run: RunKey, max: usize, action: RepairAction, difference: Difference) -> RunCheck {
    let mut check = RunCheck::new(RunAudit::new(run, None), max);
    check.record(None, action, difference);
    check
}

/// Reads the row of a run.
pub(crate) fn audit_run(tx: &mut dyn ReadTx, run: RunKey) -> Result<AuditRun, StoreError> {
    Ok(tx.audit_run(AuditRuns::Key(run))?.map_or(AuditRun::Gone, |(_, row)| row))
}

/// Reads the next events, or compares the next rows. It breaks at the end, with whether the run still exists.
fn check_next(
    tx: &mut dyn ReadTx,
    check: &mut RunCheck,
    rows: &mut RowProgress,
) -> Result<ControlFlow<bool>, StoreError> {
    let run = match audit_run(tx, check.audit.run)? {
        row if !check.audit.is_of(&row) => return Ok(ControlFlow::Break(false)),
        AuditRun::Stored(run) => run,
        AuditRun::Missing | AuditRun::Gone => return Ok(ControlFlow::Break(false)),
    };
    if check.audit.catch_up(tx, ROWS_PER_TRANSACTION)? {
        return Ok(ControlFlow::Continue(()));
    }
    compare(tx, check, rows, &run)
}

/// Compares the next rows with the events, which are those of the same moment; breaks after the last row.
fn compare(
    tx: &mut dyn ReadTx,
    check: &mut RunCheck,
    rows: &mut RowProgress,
    run: &RunColumns,
) -> Result<ControlFlow<bool>, StoreError> {
    if let Some(why) = check.audit.contradiction.clone() {
        let difference = Difference::new(DivergenceKind::Events, why, "consistent events");
        check.record(None, RepairAction::None("events are never changed; restore a backup"), difference);
        return Ok(ControlFlow::Break(true));
    }
    let Some(replayed) = check.audit.replay.run() else {
        // The program that deleted the events is at fault, and not the rows.
        let action = RepairAction::None("no event describes the run; restore a backup");
        let difference = Difference::new(DivergenceKind::Events, "a run without events", "its events");
        check.record(None, action, difference);
        return Ok(ControlFlow::Break(true));
    };
    if compare_rows(tx, check, rows)? {
        return Ok(ControlFlow::Continue(()));
    }
    compare_unseen(tx, check, rows)?;
    compare_joins(tx, check)?;
    compare_sweeps(tx, check, run)?;
    compare_decisions(tx, check)?;
    for difference in run_differences(run, &replayed)? {
        check.record(None, RepairAction::Run, difference);
    }
    Ok(ControlFlow::Break(true))
}

/// Compares the next rows; returns whether there are more.
fn compare_rows(
    tx: &mut dyn ReadTx,
    check: &mut RunCheck,
    rows: &mut RowProgress,
) -> Result<bool, StoreError> {
    for _ in 0..ROWS_PER_TRANSACTION / ROWS_PER_CALL {
        let (run, position) = (check.audit.run, rows.after);
        let page = tx.audit_tasks(AuditTasks::After { run, position, limit: ROWS_PER_CALL })?;
        for task in &page {
            compare_row(tx, check, rows, task)?;
        }
        match page.last() {
            Some(last) if page.len() == ROWS_PER_CALL as usize => rows.after = Some(last.row.position),
            _ => return Ok(false),
        }
    }
    Ok(true)
}

fn compare_row(
    tx: &mut dyn ReadTx,
    check: &mut RunCheck,
    rows: &mut RowProgress,
    task: &AuditTask,
) -> Result<(), StoreError> {
    let number = check.audit.keys.number_of(task.key);
    let known = number.and_then(|number| Some((number, check.audit.replay.task(number)?)));
    let Some((number, replayed)) = known else {
        let stored = format!("a row with key {}", task.key.0.cast_signed());
        let difference = Difference::new(DivergenceKind::Row, stored, "no row");
        check.record(task.row.id, RepairAction::Remove(task.key), difference);
        return Ok(());
    };
    if rows.seen.len() <= number as usize {
        rows.seen.resize(check.audit.replay.len() as usize, false);
    }
    if !std::mem::replace(&mut rows.seen[number as usize], true) {
        check.tasks += 1;
    }
    compare_task(tx, check, rows, task, (number, &replayed))?;
    if let Some(kind) = task.unknown_kind {
        let difference = Difference::new(DivergenceKind::Kind, format!("kind {kind}"), "a known kind");
        check.record(task.row.id, RepairAction::None("its kind is stored only in this row"), difference);
    }
    Ok(())
}

/// Compares a row with the events of its task, and checks whether its input exists.
fn compare_task(
    tx: &mut dyn ReadTx,
    check: &mut RunCheck,
    rows: &mut RowProgress,
    task: &AuditTask,
    (number, replayed): (u32, &RunReplayTask),
) -> Result<(), StoreError> {
    for difference in task_differences(&task.row, &check.audit, number, replayed)? {
        check.record(task.row.id, RepairAction::Task(number), difference);
    }
    if !task.has_input && must_have_input(tx, &check.audit, rows, (number, replayed))? {
        let difference = Difference::new(DivergenceKind::Input, "no input", "an input of its own");
        check.record(task.row.id, RepairAction::Input(number), difference);
    }
    Ok(())
}

/// Whether a task must have an input of its own.
fn must_have_input(
    tx: &mut dyn ReadTx,
    audit: &RunAudit,
    rows: &mut RowProgress,
    (number, replayed): (u32, &RunReplayTask),
) -> Result<bool, StoreError> {
    let Some(parent) = replayed.parent.filter(|_| replayed.index > 0) else {
        return Ok(audit.fanned_out.contains(&number));
    };
    if let Some((known, own_input)) = rows.own_input
        && known == parent
    {
        return Ok(own_input);
    }
    let own_input = children_need_input(tx, audit, parent)?;
    rows.own_input = Some((parent, own_input));
    Ok(own_input)
}

/// Looks for the rows that no page had: they were created meanwhile, or are missing.
fn compare_unseen(
    tx: &mut dyn ReadTx,
    check: &mut RunCheck,
    rows: &mut RowProgress,
) -> Result<(), StoreError> {
    rows.seen.resize(check.audit.replay.len() as usize, false);
    let unseen: Vec<u32> = (0..check.audit.replay.len())
        .filter(|number| !rows.seen[*number as usize])
        .filter(|number| check.audit.replay.task(*number).is_some())
        .collect();
    for numbers in unseen.chunks(ROWS_PER_CALL as usize) {
        let keys: Vec<TaskKey> =
            numbers.iter().filter_map(|number| check.audit.keys.key_of(*number)).collect();
        let found = tx.audit_tasks(AuditTasks::Keys(&keys))?;
        let found: HashMap<TaskKey, AuditTask> = found.into_iter().map(|task| (task.key, task)).collect();
        for number in numbers {
            let task = check.audit.keys.key_of(*number).and_then(|key| found.get(&key));
            compare_unseen_task(tx, check, rows, *number, task)?;
        }
    }
    Ok(())
}

fn compare_unseen_task(
    tx: &mut dyn ReadTx,
    check: &mut RunCheck,
    rows: &mut RowProgress,
    number: u32,
    task: Option<&AuditTask>,
) -> Result<(), StoreError> {
    let Some(replayed) = check.audit.replay.task(number) else { return Ok(()) };
    if let Some(task) = task.filter(|task| task.row.run == check.audit.run) {
        check.tasks += 1;
        return compare_task(tx, check, rows, task, (number, &replayed));
    }
    let stored = match task {
        Some(task) => format!("a row in {}", task.row.run),
        None => "no row".into(),
    };
    let sort = if replayed.parent.is_some() { "child" } else { "root task" };
    let computed = format!("{sort} {} in state {}", replayed.index, replayed.state);
    let id = check.audit.keys.id_of(number);
    check.record(id, RepairAction::Task(number), Difference::new(DivergenceKind::Row, stored, computed));
    Ok(())
}
