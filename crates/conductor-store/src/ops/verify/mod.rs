//! Computes every run from its events, and compares it with its rows.
//!
//! It uses short transactions. Each reads the new events first, and then compares the next rows with them. So rows and
//! events are always of the same point in time, and no transaction is open for long.

mod diff;
mod finding;
mod input;
mod joins;
mod key_map;
mod limits;
mod replay;
mod run_check;

pub(super) use diff::{Difference, parent_columns, position, run_differences, task_differences};
pub(super) use diff::{has_known_parent, may_be_delayed};
pub(super) use finding::{Finding, RepairAction, RunCheck};
pub(super) use input::item;
pub(super) use joins::undecided;
pub(super) use replay::RunAudit;
pub(super) use run_check::{audit_run, check_run};

use self::limits::{INTEGRITY_LINES, ROWS_PER_TRANSACTION};
use crate::backend::{AuditRuns, Backend, Examine, ReadTx as _, RunKey, TaskKey};
use crate::{Divergence, DivergenceKind, Scope, StoreError, Verify, VerifyReport};

/// Verifies runs.
pub(crate) fn verify(backend: &impl Backend, request: &Verify) -> Result<VerifyReport, StoreError> {
    let mut report = VerifyReport::default();
    let mut after = RunKey(request.cursor);
    while let Some((run, _)) = backend.read(|tx| tx.audit_run(AuditRuns::Next(request.scope, after)))? {
        after = run;
        let max = (request.max_divergences as usize).saturating_sub(report.divergences.len());
        if let Some(check) = check_run(backend, run, max)? {
            report.runs += 1;
            report.tasks += check.tasks;
            report.events += check.audit.events;
            report.found += check.found;
            report.divergences.extend(check.findings.into_iter().map(|finding| finding.divergence));
        }
        if request.scope != Scope::All {
            return Ok(report);
        }
        if report.events >= request.limit {
            report.next = Some(after.0);
            return Ok(report);
        }
    }
    if request.scope == Scope::All {
        verify_outside_runs(backend, request, &mut report)?;
    }
    Ok(report)
}

/// Verifies what belongs to no run.
fn verify_outside_runs(
    backend: &impl Backend,
    request: &Verify,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    let mut record = |divergence| {
        report.found += 1;
        if report.divergences.len() < request.max_divergences as usize {
            report.divergences.push(divergence);
        }
    };
    each_stray_input(backend, |task| record(stray_input(task)))?;
    if request.integrity {
        let damage = backend.read(|tx| tx.examine(Examine::Files(INTEGRITY_LINES)))?.damage;
        damage.into_iter().map(damaged_file).for_each(record);
    }
    Ok(())
}

/// Calls a function with the key of each task that does not exist and has an input.
pub(super) fn each_stray_input(
    backend: &impl Backend,
    mut stray: impl FnMut(TaskKey),
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = backend.read(|tx| tx.examine(Examine::Inputs(after, ROWS_PER_TRANSACTION)))?;
        page.stray_inputs.into_iter().for_each(&mut stray);
        if page.next.is_none() {
            return Ok(());
        }
        after = page.next;
    }
}

/// An input that belongs to nothing.
pub(super) fn stray_input(task: TaskKey) -> Divergence {
    let stored = format!("an input of {task}, which does not exist");
    Divergence { run: None, task: None, kind: DivergenceKind::Input, stored, computed: "no input".into() }
}

fn damaged_file(stored: String) -> Divergence {
    let computed = "an intact file".into();
    Divergence { run: None, task: None, kind: DivergenceKind::Integrity, stored, computed }
}
