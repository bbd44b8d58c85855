//! Maps the columns of rows to values of the model, and rows of runs to records.

use super::sql::Sql;
use crate::StoreError;
use conductor_model::{
    Backoff, CancelCause, ChildCounts, IdempotencyKey, Join, JoinStatus, Json, Kind, LeaseLosses, MAX_FANOUT,
    MaxRetries, ParentStatus, Policy, Run, RunId, State, StateCounts, TaskId, Timestamp,
};
use rusqlite::{Connection, Row, types::Type};
use std::str::FromStr;

/// The columns of [`run_record`], from `conductor_runs r LEFT JOIN conductor_submissions s ON s.run = r.key`.
pub(super) const SELECT_RUNS: &str = "SELECT r.id, r.state, r.sealed, r.fanout, r.children, r.open_children, \
    r.failed_children, r.cancelled_children, r.pending, r.running, r.succeeded, r.failed, r.cancelled, \
    r.created_at, r.updated_at, s.meta, s.idempotency_key, r.key, r.policy, r.mark, r.deadline, j.id, k.name \
    FROM conductor_runs r LEFT JOIN conductor_submissions s ON s.run = r.key \
    LEFT JOIN conductor_joins j ON r.joining IS NOT NULL AND j.run = r.key AND j.task = 0 \
    LEFT JOIN conductor_kinds k ON k.key = j.kind";

/// The number that stands for a state.
pub(super) fn state_code(state: State) -> i64 {
    state.code()
}

/// A value that another program put there.
pub(super) fn unreadable(column: usize, why: impl std::fmt::Display) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, why.to_string().into())
}

pub(super) fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<State> {
    let code: i64 = row.get(column)?;
    State::from_code(code).ok_or_else(|| unreadable(column, format_args!("{code} is not a state")))
}

pub(super) fn timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millis(row.get(column)?).map_err(|error| unreadable(column, error))
}

pub(super) fn due_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let millis: Option<i64> = row.get(column)?;
    millis.map(Timestamp::from_millis).transpose().map_err(|error| unreadable(column, error))
}

pub(super) fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<u128> {
    row.get::<_, [u8; 16]>(column).map(u128::from_be_bytes)
}

/// A text, with replacement characters for invalid bytes.
pub(super) fn any_text(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    let bytes = row.get_ref(column)?.as_bytes_or_null()?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

pub(super) fn text<T: FromStr<Err: ToString>>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    text.map(str::parse).transpose().map_err(|error: T::Err| unreadable(column, error.to_string()))
}

pub(super) fn backoff(row: &Row<'_>, column: usize) -> rusqlite::Result<Backoff> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    text.map_or(Ok(Backoff::NONE), |json| {
        serde_json::from_str(json).map_err(|error| unreadable(column, error))
    })
}

/// For steps, which a row that another program changed never stops: a backoff that cannot be read is none.
pub(super) fn readable_backoff(row: &Row<'_>, column: usize) -> Backoff {
    backoff(row, column).unwrap_or_default()
}

/// For steps likewise: a number of retries that cannot be read is none.
pub(super) fn readable_max_retries(row: &Row<'_>, column: usize) -> rusqlite::Result<MaxRetries> {
    max_retries(row, column).or_else(|_| MaxRetries::try_from(0).map_err(|issue| unreadable(column, issue)))
}

/// For steps likewise: a time that no text can show is the nearest that one can.
pub(super) fn readable_due_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let millis: Option<i64> = row.get(column)?;
    let (least, greatest) = (Timestamp::MIN.as_millis(), Timestamp::MAX.as_millis());
    let nearest = |millis: i64| Timestamp::from_millis(millis.clamp(least, greatest));
    millis.map(nearest).transpose().map_err(|error| unreadable(column, error))
}

pub(super) fn max_retries(row: &Row<'_>, column: usize) -> rusqlite::Result<MaxRetries> {
    MaxRetries::try_from(row.get::<_, i64>(column)?).map_err(|issue| unreadable(column, issue))
}

/// The lease losses; an unknown number counts as the largest.
pub(super) fn lost(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<LeaseLosses>> {
    let lost: Option<i64> = row.get(column)?;
    Ok(lost.map(|lost| if lost == 1 { LeaseLosses::Once } else { LeaseLosses::Isolate }))
}

/// The number that stands for it.
pub(super) fn lost_code(lost: LeaseLosses) -> i64 {
    match lost {
        LeaseLosses::Once => 1,
        LeaseLosses::Isolate => 2,
    }
}

/// The six columns sealed, fanout, children, open, failed, cancelled of a task; `None` on a leaf.
pub(super) fn numbers(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<ChildCounts>> {
    let sealed: Option<bool> = row.get(column)?;
    sealed.map(|_| run_numbers(row, column)).transpose()
}

/// The same six columns of a run.
pub(super) fn run_numbers(row: &Row<'_>, column: usize) -> rusqlite::Result<ChildCounts> {
    let count = |offset: usize| {
        let number: u32 = row.get(column + offset)?;
        if number > MAX_FANOUT {
            return Err(unreadable(column + offset, format_args!("{number} is not a number of children")));
        }
        Ok(number)
    };
    let total: Option<u32> = row.get(column + 1)?;
    let numbers =
        ChildCounts { total, created: count(2)?, open: count(3)?, failed: count(4)?, cancelled: count(5)? };
    match total {
        Some(total) if total < numbers.created => {
            Err(unreadable(column + 2, format_args!("{} of {total} children exist", numbers.created)))
        }
        _ => Ok(numbers),
    }
}

/// The columns policy, mark, joining of a parent or a run with these numbers. For steps, which a row that another program
/// changed never stops: a policy that cannot be read is the default.
pub(super) fn standing(row: &Row<'_>, numbers: ChildCounts, column: usize) -> rusqlite::Result<ParentStatus> {
    let joining = match row.get::<_, Option<i64>>(column + 2)? {
        None => JoinStatus::None,
        Some(1) => JoinStatus::Open,
        Some(_) => JoinStatus::NotStarted,
    };
    let policy = policy(row, column).unwrap_or_default();
    Ok(ParentStatus { counts: numbers, policy, cancel_cause: mark(row, column + 1)?, join: joining })
}

pub(super) fn policy(row: &Row<'_>, column: usize) -> rusqlite::Result<Policy> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    let read = |json| serde_json::from_str(json).map_err(|error| unreadable(column, error));
    text.map_or(Ok(Policy::default()), read)
}

/// The text of a policy; nothing for the default.
pub(super) fn policy_text(policy: Policy) -> Result<Option<String>, StoreError> {
    let text = (policy != Policy::default()).then(|| serde_json::to_string(&policy)).transpose();
    text.map_err(|error| StoreError::Backend(Box::new(error)))
}

/// The cancel cause; an unknown number counts as a request.
pub(super) fn mark(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<CancelCause>> {
    let code: Option<i64> = row.get(column)?;
    Ok(code.map(|code| mark_of(code).unwrap_or(CancelCause::Requested)))
}

/// What a number stands for.
pub(super) fn mark_of(code: i64) -> Option<CancelCause> {
    CancelCause::from_code(code)
}

/// The number that stands for it.
pub(super) fn mark_code(mark: CancelCause) -> i64 {
    mark.code()
}

/// What stands for how a join stands; how it ended stands in its own row.
pub(super) fn joining_code(joining: JoinStatus) -> Option<bool> {
    match joining {
        JoinStatus::None => None,
        JoinStatus::Open => Some(true),
        JoinStatus::NotStarted | JoinStatus::Settled(_) => Some(false),
    }
}

/// Up to which ordinal children were swept; one that is none is the first.
pub(super) fn swept(row: &Row<'_>, column: usize) -> rusqlite::Result<u32> {
    Ok(row.get::<_, Option<i64>>(column)?.and_then(|swept| u32::try_from(swept).ok()).unwrap_or(0))
}

/// A join that a run or a parent has; two columns: its id and its kind's name.
pub(super) fn join(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Join>> {
    let Some(id) = row.get::<_, Option<[u8; 16]>>(column)? else { return Ok(None) };
    let kind = text::<Kind>(row, column + 1)?.ok_or_else(|| unreadable(column, "it has no kind"))?;
    Ok(Some(Join { id: TaskId::from_u128(u128::from_be_bytes(id)), kind }))
}

/// More tasks than any database has: what is counted up from there still fits its column.
const MOST_TASKS: u64 = 1 << 62;

/// Five columns: pending, running, succeeded, failed, cancelled.
pub(super) fn tally(row: &Row<'_>, column: usize) -> rusqlite::Result<StateCounts> {
    let count = |offset: usize| {
        let number: i64 = row.get(column + offset)?;
        u64::try_from(number)
            .ok()
            .filter(|number| *number <= MOST_TASKS)
            .ok_or_else(|| unreadable(column + offset, format_args!("{number} is not a number of tasks")))
    };
    Ok(StateCounts {
        pending: count(0)?,
        running: count(1)?,
        succeeded: count(2)?,
        failed: count(3)?,
        cancelled: count(4)?,
    })
}

/// A run from [`SELECT_RUNS`].
pub(super) fn run_record(row: &Row<'_>) -> rusqlite::Result<Run> {
    Ok(Run {
        id: RunId::from_u128(id(row, 0)?),
        state: state(row, 1)?,
        child_counts: run_numbers(row, 2)?,
        state_counts: tally(row, 8)?,
        created_at: timestamp(row, 13)?,
        updated_at: timestamp(row, 14)?,
        meta: text::<Json>(row, 15)?,
        idempotency_key: text::<IdempotencyKey>(row, 16)?,
        policy: policy(row, 18)?,
        cancel_cause: mark(row, 19)?,
        deadline: due_at(row, 20)?,
        join: join(row, 21)?,
    })
}

/// The input that is stored for a task itself.
pub(super) fn read_input(connection: &Connection, task: i64) -> Result<Option<Json>, StoreError> {
    let input = connection
        .first("SELECT input FROM conductor_inputs WHERE task = ?1", [task], |row| text::<Json>(row, 0))?;
    Ok(input.flatten())
}

/// A row that contradicts the others.
pub(super) fn bad_row(what: &str, key: i64, why: &str) -> StoreError {
    StoreError::CorruptRow { row: format!("the {what} with row key {key}"), reason: why.into() }
}
