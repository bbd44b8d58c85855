//! Carries out one transition of one task: the check, the row, the event, the numbers.

use super::event_log;
use super::ledger::Moved;
use super::rows::{bad_row, lost_code, state_code};
use super::sql::{Sql, array};
use super::task_row::TaskRow;
use super::write::Write;
use crate::StoreError;
use conductor_model::{
    AttemptFailure, ErrorText, EventBody, FailedAttempt, IllegalTransition, Jitter, Json, NodeStatus,
    NodeType, RetryDecision, Signal, Timestamp, decide_retry, lease_losses_after, transition,
};
use rusqlite::params;

/// What a transition brings along.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Brings<'a> {
    /// What came out of the task.
    pub(super) output: Option<&'a Json>,
    /// Why it failed, and what was decided of it.
    pub(super) failure: Option<(&'a AttemptFailure, RetryDecision)>,
    /// The reason of the cancel, as the caller stated it.
    pub(super) reason: Option<&'a ErrorText>,
}

/// What a claim writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    /// The row key of the engine.
    pub(super) holder: i64,
    pub(super) until: Timestamp,
}

/// A transition that the state machine does not allow, or a store that could not write it.
#[derive(Debug)]
pub(super) enum TransitError {
    Illegal(IllegalTransition),
    StoreError(StoreError),
}

impl From<StoreError> for TransitError {
    fn from(fault: StoreError) -> Self {
        Self::StoreError(fault)
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
            Signal::Start if task.shape == NodeType::Leaf => task.attempt += 1,
            Signal::Retry => task.retry_count += 1,
            Signal::Revive => task.retry_count = 0,
            _ => {}
        }
        let retries_left = task.max_retries.get().saturating_sub(task.retry_count);
        task.lost =
            lease_losses_after(task.lost, signal, brings.failure.map(|(failure, _)| failure), retries_left);
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
                brings.failure.map(|(failure, _)| failure.text()).as_ref().map(ErrorText::as_str),
                task.lost.map(lost_code),
                matches!(signal, Signal::Revive | Signal::Reopen),
            ],
        )?;
        let (run, key) = (task.place.run, Some(task.key));
        match (brings.failure, brings.reason) {
            (Some((failure, after)), _) => {
                event_log::record(tx, run, key, now, &EventBody::failed(failure, after))?;
            }
            (None, Some(reason)) => {
                let body = EventBody::TaskCancelled { reason: Some(reason.clone()) };
                event_log::record(tx, run, key, now, &body)?;
            }
            (None, None) => event_log::record_transition(tx, run, key, now, (task.shape, signal))?,
        }
        if task.shape == NodeType::Parent {
            ledger.parent_moved(task.key, task.state);
        }
        ledger.count(tx, task.place, now, Some(before), task.subject())?;
        if task.place.is_join && task.subject().is_settled() {
            self.join_ended(task.place)?;
        }
        Ok(())
    }

    /// Fails an attempt: whether and when it is retried is the model's to say.
    pub(super) fn fail(
        &mut self,
        task: &mut TaskRow,
        failed: &AttemptFailure,
        jitter: Jitter,
    ) -> Result<(), TransitError> {
        let failure = FailedAttempt {
            retry_count: task.retry_count,
            max_retries: task.max_retries,
            backoff: task.backoff,
            failure: failed,
        };
        let after = decide_retry(failure, self.now, jitter.fraction(task.id));
        self.transit(task, Signal::Fail, Brings { failure: Some((failed, after)), ..Brings::default() })
    }

    /// Fails an attempt of a task that the transaction knows to be RUNNING.
    pub(super) fn fail_in_step(
        &mut self,
        task: &mut TaskRow,
        failed: &AttemptFailure,
        jitter: Jitter,
    ) -> Result<(), StoreError> {
        let key = task.key;
        self.fail(task, failed, jitter).map_err(|error| error.in_step(key))
    }

    /// Applies the same transition to many leaves in the same state, with a few statements for all of them. It also
    /// updates the given tasks. A claim brings its lease.
    pub(super) fn transit_leaves(
        &mut self,
        tasks: &mut [TaskRow],
        signal: Signal,
        lease: Option<Lease>,
    ) -> Result<(), StoreError> {
        let Some(before) = tasks.first().map(TaskRow::subject) else { return Ok(()) };
        self.write_leaves(tasks, signal, lease)?;
        for of_one_run in tasks.chunk_by(|one, next| one.place.run == next.place.run) {
            let keys = of_one_run.iter().map(|task| task.key);
            event_log::record_leaves(self.tx(), of_one_run[0].place.run, keys, self.now, signal)?;
        }
        self.count_leaves(tasks, before)
    }

    /// Writes the rows of leaves that are in the same state and go the same way; their events and numbers are to follow.
    pub(super) fn write_leaves(
        &mut self,
        tasks: &mut [TaskRow],
        signal: Signal,
        lease: Option<Lease>,
    ) -> Result<(), StoreError> {
        let Some(first) = tasks.first() else { return Ok(()) };
        let state = transition(first.subject(), signal)
            .map_err(|illegal| bad_row("task", first.key, &illegal.to_string()))?;
        for task in tasks.iter_mut() {
            task.state = state;
            task.due_at = None;
            task.attempt += u32::from(signal == Signal::Start);
            task.retry_count += u32::from(signal == Signal::Retry);
            task.lease_until = lease.map(|lease| lease.until.as_millis());
            task.lost = lease_losses_after(task.lost, signal, None, 0);
        }
        // The same signal keeps what is known of all of them, or of none.
        let keeps_lost = tasks.iter().any(|task| task.lost.is_some());
        let (tx, _, now) = self.parts();
        tx.run(
            UPDATE_LEAVES,
            params![
                array(tasks.iter().map(|task| task.key)),
                state_code(state),
                now.as_millis(),
                signal == Signal::Start,
                lease.map(|lease| lease.until.as_millis()),
                lease.map(|lease| lease.holder),
                keeps_lost,
                signal == Signal::Retry,
            ],
        )?;
        Ok(())
    }

    /// Counts leaves that went the same way, and decides the families of those that are joins.
    pub(super) fn count_leaves(&mut self, tasks: &[TaskRow], before: NodeStatus) -> Result<(), StoreError> {
        let (tx, ledger, now) = self.parts();
        for siblings in tasks.chunk_by(|one, next| one.place == next.place) {
            let moved = Moved { before: Some(before), after: siblings[0].subject(), count: siblings.len() };
            ledger.count_many(tx, siblings[0].place, now, moved)?;
        }
        for join in tasks.iter().filter(|task| task.place.is_join && task.subject().is_settled()) {
            self.join_ended(join.place)?;
        }
        Ok(())
    }
}

impl TransitError {
    /// For a step, whose statement chose the task by its state: an illegal transition is a row that contradicts
    /// itself.
    pub(super) fn in_step(self, task: i64) -> StoreError {
        match self {
            Self::Illegal(illegal) => bad_row("task", task, &illegal.to_string()),
            Self::StoreError(fault) => fault,
        }
    }
}

/// One statement for every transition of a task.
pub(super) const UPDATE: &str = "UPDATE conductor_tasks SET state = ?2, updated_at = ?3, due_at = ?4, \
    attempt = ?5, retry_count = ?6, lease_until = NULL, holder = NULL, \
    output = CASE WHEN ?10 THEN NULL ELSE coalesce(?7, output) END, last_error = coalesce(?8, last_error), lost = ?9 WHERE key = ?1";

/// One for the same transition of many leaves.
pub(super) const UPDATE_LEAVES: &str = "UPDATE conductor_tasks SET state = ?2, updated_at = ?3, due_at = NULL, \
    attempt = attempt + ?4, retry_count = retry_count + ?8, lease_until = ?5, holder = ?6, \
    lost = CASE WHEN ?7 THEN lost END \
    WHERE key IN rarray(?1)";
