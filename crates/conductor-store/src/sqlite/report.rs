//! Reports from outside on leaves that no claim holds.

use super::SqliteStore;
use super::marks::Marks;
use super::sql::Sql;
use super::task_row::TaskRow;
use super::transit::{Brings, TransitError};
use super::write::Write;
use crate::{Report, ReportBatch, ReportOutcome, ReportRejection, ReportedResult, StoreError};
use conductor_model::{AttemptFailure, Jitter, Json, MAX_TASKS, NodeType, Signal, State};
use rusqlite::params;

impl SqliteStore {
    pub(super) fn take_reports(&self, request: &ReportBatch) -> Result<Vec<ReportOutcome>, StoreError> {
        let given = request.reports.len();
        if given > MAX_TASKS {
            return Err(StoreError::BatchTooLarge { len: given, max: MAX_TASKS });
        }
        self.write(request.now, |write| {
            request.reports.iter().map(|report| take(write, report, request.jitter)).collect()
        })
    }
}

fn take(write: &mut Write<'_>, report: &Report, jitter: Jitter) -> Result<ReportOutcome, StoreError> {
    let Some(mut task) = TaskRow::by_id(write.tx(), report.task)? else {
        return Ok(ReportOutcome::Rejected(ReportRejection::NotFound(report.task)));
    };
    if task.shape == NodeType::Parent {
        return Ok(ReportOutcome::Rejected(ReportRejection::IsParent(task.id)));
    }
    if task.lease_until.is_some() {
        return Ok(ReportOutcome::Rejected(ReportRejection::Claimed(task.id)));
    }
    let present = if task.state == State::Pending { task.attempt + 1 } else { task.attempt };
    if report.attempt.is_some_and(|attempt| attempt != present) {
        return Ok(ReportOutcome::Stale { attempt: task.attempt });
    }
    if is_known(write, &task, &report.result)? {
        return Ok(ReportOutcome::Unchanged);
    }
    // A report of a result is always recorded. A start is rejected below a cancelled ancestor.
    if report.result == ReportedResult::Started && Marks::default().is_doomed(write, task.place)? {
        return Ok(ReportOutcome::Rejected(ReportRejection::CancelInProgress(task.id)));
    }
    match apply(write, &mut task, &report.result, jitter) {
        Ok(()) => Ok(ReportOutcome::Applied),
        Err(TransitError::Illegal(illegal)) => {
            Ok(ReportOutcome::Rejected(ReportRejection::Illegal { id: task.id, illegal }))
        }
        Err(TransitError::StoreError(fault)) => Err(fault),
    }
}

/// Whether the same was reported before. A repeated start is a sign of life.
fn is_known(write: &Write<'_>, task: &TaskRow, outcome: &ReportedResult) -> Result<bool, StoreError> {
    let told = |column: &str, value: Option<&str>| {
        let sql = match column {
            "output" => "SELECT output IS ?2 FROM conductor_tasks WHERE key = ?1",
            _ => "SELECT last_error IS ?2 FROM conductor_tasks WHERE key = ?1",
        };
        write.tx().first(sql, params![task.key, value], |row| row.get(0))
    };
    match (task.state, outcome) {
        (State::Running, ReportedResult::Started) => {
            write.tx().run(TOUCH, params![task.key, write.now.as_millis()])?;
            Ok(true)
        }
        (State::Succeeded, ReportedResult::Succeeded { output }) => {
            Ok(told("output", output.as_ref().map(Json::as_str))?.unwrap_or(false))
        }
        (State::Failed, ReportedResult::Failed { error, .. }) => {
            Ok(told("last_error", Some(error.as_str()))?.unwrap_or(false))
        }
        (State::Cancelled, ReportedResult::Cancelled) => Ok(true),
        _ => Ok(false),
    }
}

fn apply(
    write: &mut Write<'_>,
    task: &mut TaskRow,
    outcome: &ReportedResult,
    jitter: Jitter,
) -> Result<(), TransitError> {
    match outcome {
        ReportedResult::Started => write.transit(task, Signal::Start, Brings::default()),
        ReportedResult::Cancelled => write.transit(task, Signal::Cancel, Brings::default()),
        ReportedResult::Succeeded { output } => {
            walk_through_running(write, task)?;
            write.transit(task, Signal::Succeed, Brings { output: output.as_ref(), ..Brings::default() })
        }
        ReportedResult::Failed { error, retryable, retry_after_ms } => {
            walk_through_running(write, task)?;
            let (retryable, retry_after_ms) = (*retryable, *retry_after_ms);
            let failed = AttemptFailure::Error { error: error.clone(), retryable, retry_after_ms };
            write.fail(task, &failed, jitter)
        }
    }
}

/// A result that is reported of a PENDING task: it ran, and both transitions are recorded.
fn walk_through_running(write: &mut Write<'_>, task: &mut TaskRow) -> Result<(), TransitError> {
    if task.state == State::Pending { write.transit(task, Signal::Start, Brings::default()) } else { Ok(()) }
}

pub(super) const TOUCH: &str = "UPDATE conductor_tasks SET updated_at = ?2 WHERE key = ?1";
