//! Reports from outside on leaves that no claim holds.

use super::SqliteStore;
use super::marks::Marks;
use super::sql::Sql;
use super::task_row::TaskRow;
use super::transit::{Brings, TransitError};
use super::write::Write;
use crate::{Fault, Outcome, Refused, Report, Reported, Reports};
use conductor_model::{AttemptFailure, Jitter, Json, MAX_TASKS, Shape, Signal, State};
use rusqlite::params;

impl SqliteStore {
    pub(super) fn take_reports(&self, request: &Reports) -> Result<Vec<Reported>, Fault> {
        let given = request.reports.len();
        if given > MAX_TASKS {
            return Err(Fault::TooMany { given, most: MAX_TASKS });
        }
        self.write(request.now, |write| {
            request.reports.iter().map(|report| take(write, report, request.jitter)).collect()
        })
    }
}

fn take(write: &mut Write<'_>, report: &Report, jitter: Jitter) -> Result<Reported, Fault> {
    let Some(mut task) = TaskRow::by_id(write.tx(), report.task)? else {
        return Ok(Reported::Refused(Refused::Unknown(report.task)));
    };
    if task.shape == Shape::Parent {
        return Ok(Reported::Refused(Refused::Parent(task.id)));
    }
    if task.lease_until.is_some() {
        return Ok(Reported::Refused(Refused::Held(task.id)));
    }
    let present = if task.state == State::Pending { task.attempt + 1 } else { task.attempt };
    if report.attempt.is_some_and(|attempt| attempt != present) {
        return Ok(Reported::Stale { attempt: task.attempt });
    }
    if is_known(write, &task, &report.outcome)? {
        return Ok(Reported::Unchanged);
    }
    // What happened is recorded as it happened; but nothing begins below something that is given up.
    if report.outcome == Outcome::Started && Marks::default().is_doomed(write, task.place)? {
        return Ok(Reported::Refused(Refused::Cancelled(task.id)));
    }
    match apply(write, &mut task, &report.outcome, jitter) {
        Ok(()) => Ok(Reported::Applied),
        Err(TransitError::Illegal(illegal)) => {
            Ok(Reported::Refused(Refused::Illegal { id: task.id, illegal }))
        }
        Err(TransitError::Fault(fault)) => Err(fault),
    }
}

/// Whether the same was reported before. A repeated start is a sign of life.
fn is_known(write: &Write<'_>, task: &TaskRow, outcome: &Outcome) -> Result<bool, Fault> {
    let told = |column: &str, value: Option<&str>| {
        let sql = match column {
            "output" => "SELECT output IS ?2 FROM conductor_tasks WHERE key = ?1",
            _ => "SELECT last_error IS ?2 FROM conductor_tasks WHERE key = ?1",
        };
        write.tx().first(sql, params![task.key, value], |row| row.get(0))
    };
    match (task.state, outcome) {
        (State::Running, Outcome::Started) => {
            write.tx().run(TOUCH, params![task.key, write.now.as_millis()])?;
            Ok(true)
        }
        (State::Succeeded, Outcome::Succeeded { output }) => {
            Ok(told("output", output.as_ref().map(Json::as_str))?.unwrap_or(false))
        }
        (State::Failed, Outcome::Failed { error, .. }) => {
            Ok(told("last_error", Some(error.as_str()))?.unwrap_or(false))
        }
        (State::Cancelled, Outcome::Cancelled) => Ok(true),
        _ => Ok(false),
    }
}

fn apply(
    write: &mut Write<'_>,
    task: &mut TaskRow,
    outcome: &Outcome,
    jitter: Jitter,
) -> Result<(), TransitError> {
    match outcome {
        Outcome::Started => write.transit(task, Signal::Start, Brings::default()),
        Outcome::Cancelled => write.transit(task, Signal::Cancel, Brings::default()),
        Outcome::Succeeded { output } => {
            walk_through_running(write, task)?;
            write.transit(task, Signal::Succeed, Brings { output: output.as_ref(), ..Brings::default() })
        }
        Outcome::Failed { error, retryable, retry_after_ms } => {
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
