//! Carries out one transition of one task: the check, the row, the event, the numbers.

use super::event_log;
use super::rows::{bad_row, state_code};
use super::sql::Sql;
use super::task_row::TaskRow;
use super::write::Write;
use crate::Fault;
use conductor_model::{
    AfterFailure, ErrorText, EventBody, IllegalTransition, Json, Shape, Signal, Timestamp, transition,
};
use rusqlite::params;

/// What a transition brings along.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Brings<'a> {
    /// What came out of the task.
    pub(super) output: Option<&'a Json>,
    /// Why it failed, and what was decided of it.
    pub(super) failure: Option<(&'a ErrorText, AfterFailure)>,
}

/// A transition that the state machine does not allow, or a store that could not write it.
#[derive(Debug)]
pub(super) enum TransitError {
    Illegal(IllegalTransition),
    Fault(Fault),
}

impl From<Fault> for TransitError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Write<'_> {
    /// Carries out one transition: `task` is afterwards as its row will be.
    ///
    /// An illegal one changes nothing.
    pub(super) fn transit(
        &mut self,
        task: &mut TaskRow,
        signal: Signal,
        brings: Brings<'_>,
    ) -> Result<(), TransitError> {
        let before = task.subject();
        task.state = transition(before, signal).map_err(TransitError::Illegal)?;
        task.due_at = brings.failure.and_then(|(_, after)| after.due_at());
        task.lease_until = None;
        match signal {
            Signal::Start if task.shape == Shape::Leaf => task.attempt += 1,
            Signal::Retry => task.retry_count += 1,
            Signal::Revive => task.retry_count = 0,
            _ => {}
        }
        let (tx, ledger, now) = self.parts();
        tx.run(
            UPDATE,
            params![
                task.key,
                state_code(task.state),
                now.as_millis(),
                task.due_at.map(Timestamp::as_millis),
                task.attempt,
                task.retry_count,
                brings.output.map(Json::as_str),
                brings.failure.map(|(error, _)| error.as_str()),
            ],
        )?;
        let (run, key) = (task.place.run, Some(task.key));
        if let Some((error, after)) = brings.failure {
            event_log::record(tx, run, key, now, &EventBody::failed(after, error.clone()))?;
        } else {
            event_log::record_transition(tx, run, key, now, (task.shape, signal))?;
        }
        ledger.count(tx, task.place, now, Some(before), task.subject())?;
        Ok(())
    }
}

impl TransitError {
    /// For a step, whose statement chose the task by its state: an illegal transition is a row that contradicts
    /// itself.
    pub(super) fn in_step(self, task: i64) -> Fault {
        match self {
            Self::Illegal(illegal) => bad_row("task", task, &illegal.to_string()),
            Self::Fault(fault) => fault,
        }
    }
}

/// One statement for every transition of a task.
pub(super) const UPDATE: &str = "UPDATE conductor_tasks SET state = ?2, updated_at = ?3, due_at = ?4, \
    attempt = ?5, retry_count = ?6, lease_until = NULL, output = coalesce(?7, output), \
    last_error = coalesce(?8, last_error) WHERE key = ?1";
