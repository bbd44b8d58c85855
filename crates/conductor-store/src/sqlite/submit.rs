//! Submit a run with its root tasks, and claim what is ready.

use super::SqliteStore;
use super::claim::{claim, nothing};
use super::event_log;
use super::ledger::{Head, Place, RunEntry};
use super::rows::{self, state_code};
use super::sql::{Sql, id_blob};
use super::write::Write;
use crate::{Claim, ClaimOutcome, StoreError, Submit, SubmitError, SubmitOutcome};
use conductor_model::{
    ChildCounts, EventBody, IdBlock, IdempotencyKey, JoinStatus, Json, NewRun, PAYLOAD_HASH_VERSION,
    ParentStatus, RunId, State, StateCounts,
};
use rusqlite::params;

impl SqliteStore {
    pub(super) fn submit_run(&self, request: &Submit) -> Result<SubmitOutcome, SubmitError> {
        self.write(request.now, |write| submit(write, &request.run, request.ids))
    }

    pub(super) fn submit_run_and_claim(
        &self,
        request: &Submit,
        next: &Claim,
    ) -> Result<(SubmitOutcome, ClaimOutcome), SubmitError> {
        self.write(request.now, |write| {
            let submitted = submit(write, &request.run, request.ids)?;
            let claimed = if submitted.created { claim(write, next)? } else { nothing(next) };
            Ok((submitted, claimed))
        })
    }
}

pub(super) fn submit(
    write: &mut Write<'_>,
    run: &NewRun,
    mut ids: IdBlock,
) -> Result<SubmitOutcome, SubmitError> {
    if let Some(key) = run.idempotency_key()
        && let Some(earlier) = submitted_under(write, key, run)?
    {
        return Ok(SubmitOutcome { run: earlier, created: false });
    }
    let given = ids.len();
    let too_few = || SubmitError::TooFewIds(given);
    let id = match run.id() {
        Some(id) => id,
        None => ids.take_run().ok_or_else(too_few)?,
    };
    let key = insert_run(write, id, run)?;
    if let Some(join) = run.join() {
        write.plan_join(Place::child(key, 0), ids.take_task().ok_or_else(too_few)?, join)?;
    }
    for (nth, task) in run.tasks().iter().enumerate() {
        let task_id = match task.id() {
            Some(id) => id,
            None => ids.take_task().ok_or_else(too_few)?,
        };
        let index = u32::try_from(nth + 1).unwrap_or(u32::MAX);
        let root = write.create_root(key, index, task_id, task)?.ok_or(SubmitError::TaskIdTaken(task_id))?;
        if let Some(join) = task.join() {
            write.plan_join(Place::child(key, root), ids.take_task().ok_or_else(too_few)?, join)?;
        }
    }
    Ok(SubmitOutcome { run: id, created: true })
}

/// The run that was submitted under this key with the same payload.
fn submitted_under(
    write: &Write<'_>,
    key: &IdempotencyKey,
    run: &NewRun,
) -> Result<Option<RunId>, SubmitError> {
    let earlier = write.tx().first(SELECT_BY_IDEMPOTENCY_KEY, [key.as_str()], |row| {
        Ok((RunId::from_u128(rows::id(row, 0)?), row.get::<_, u8>(1)?, row.get::<_, [u8; 32]>(2)?))
    })?;
    match earlier {
        None => Ok(None),
        Some((id, PAYLOAD_HASH_VERSION, hash)) if run.payload().is_some_and(|given| given.0 == hash) => {
            Ok(Some(id))
        }
        Some((id, _, _)) => Err(SubmitError::IdempotencyConflict { run: id }),
    }
}

fn insert_run(write: &mut Write<'_>, id: RunId, run: &NewRun) -> Result<i64, SubmitError> {
    let (tx, ledger, now) = write.parts();
    if super::sql::run_key(tx, id)?.is_some() {
        return Err(SubmitError::RunIdTaken(id));
    }
    let total = u32::try_from(run.tasks().len()).unwrap_or(u32::MAX);
    let numbers = if run.is_open() { ChildCounts::open() } else { ChildCounts::sealed(total) };
    let deadline = run.deadline_ms().map(|ms| now.plus_millis(ms).as_millis());
    tx.run(
        INSERT_RUN,
        params![
            id_blob(id.as_u128()),
            state_code(State::Pending),
            now.as_millis(),
            i64::from(numbers.is_sealed()),
            numbers.total,
            rows::policy_text(run.policy())?,
            run.join().map(|_| false),
            deadline,
        ],
    )?;
    let key = tx.last_insert_rowid();
    insert_submission(tx, key, run)?;
    let (policy, joins) = (run.policy(), run.join().is_some());
    let joining = if joins { JoinStatus::NotStarted } else { JoinStatus::None };
    let standing = ParentStatus { counts: numbers, policy, cancel_cause: None, join: joining };
    let head = Head { state: State::Pending, standing, swept: 0 };
    ledger.insert_run(key, RunEntry { head, tally: StateCounts::default(), deadline });
    event_log::record(tx, key, None, now, &EventBody::RunCreated { policy, has_join: joins })?;
    if let Some(total) = numbers.total {
        event_log::record(tx, key, None, now, &EventBody::RunSealed { total })?;
    }
    Ok(key)
}

fn insert_submission(tx: &rusqlite::Connection, key: i64, run: &NewRun) -> Result<(), StoreError> {
    if run.meta().is_none() && run.idempotency_key().is_none() {
        return Ok(());
    }
    let meta = run.meta().map(Json::as_str);
    let idempotency_key = run.idempotency_key().map(IdempotencyKey::as_str);
    let hash = run.payload().map(|payload| payload.0);
    tx.run(INSERT_SUBMISSION, params![key, meta, idempotency_key, hash.map(|_| PAYLOAD_HASH_VERSION), hash])?;
    Ok(())
}

pub(super) const SELECT_BY_IDEMPOTENCY_KEY: &str = "SELECT r.id, s.payload_version, s.payload_hash \
    FROM conductor_submissions s JOIN conductor_runs r ON r.key = s.run WHERE s.idempotency_key = ?1";

const INSERT_RUN: &str = "INSERT INTO conductor_runs (id, state, created_at, updated_at, sealed, fanout, children, \
    open_children, failed_children, cancelled_children, pending, running, succeeded, failed, cancelled, policy, joining, \
    deadline) VALUES (?1, ?2, ?3, ?3, ?4, ?5, 0, 0, 0, 0, 0, 0, 0, 0, 0, ?6, ?7, ?8)";

const INSERT_SUBMISSION: &str = "INSERT INTO conductor_submissions \
    (run, meta, idempotency_key, payload_version, payload_hash) VALUES (?1, ?2, ?3, ?4, ?5)";
