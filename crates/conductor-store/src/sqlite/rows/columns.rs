//! Maps the columns of rows to values of the model.

use crate::StoreError;
use crate::sqlite::connection::sql::fault;
use conductor_model::{
    Backoff, CancelCause, ChildCounts, JoinStatus, LeaseLosses, MAX_FANOUT, MaxRetries, ParentStatus, Policy,
    State, StateCounts, Timestamp,
};
use rusqlite::{Row, types::Type};
use std::str::FromStr;

/// The error of an invalid value, which another program has written.
pub(crate) fn unreadable(column: usize, why: impl std::fmt::Display) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, why.to_string().into())
}

pub(crate) fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<State> {
    let code: i64 = row.get(column)?;
    State::from_code(code).ok_or_else(|| unreadable(column, format_args!("{code} is not a state")))
}

pub(crate) fn timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millis(row.get(column)?).map_err(|error| unreadable(column, error))
}

pub(crate) fn due_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let millis: Option<i64> = row.get(column)?;
    millis.map(Timestamp::from_millis).transpose().map_err(|error| unreadable(column, error))
}

pub(crate) fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<u128> {
    row.get::<_, [u8; 16]>(column).map(u128::from_be_bytes)
}

/// The reason of an error in a row.
pub(crate) fn reason(error: rusqlite::Error) -> String {
    match fault(error) {
        StoreError::CorruptRow { reason, .. } => reason,
        other => other.to_string(),
    }
}

/// A text, with replacement characters for invalid bytes.
pub(crate) fn any_text(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    let bytes = row.get_ref(column)?.as_bytes_or_null()?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

pub(crate) fn text<T: FromStr<Err: ToString>>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    text.map(str::parse).transpose().map_err(|error: T::Err| unreadable(column, error.to_string()))
}

pub(crate) fn backoff(row: &Row<'_>, column: usize) -> rusqlite::Result<Backoff> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    text.map_or(Ok(Backoff::NONE), |json| {
        serde_json::from_str(json).map_err(|error| unreadable(column, error))
    })
}

/// For steps, which a row that another program changed never stops: an invalid backoff is none.
pub(crate) fn readable_backoff(row: &Row<'_>, column: usize) -> Backoff {
    backoff(row, column).unwrap_or_default()
}

/// For steps likewise: an invalid number of retries is 0.
pub(crate) fn readable_max_retries(row: &Row<'_>, column: usize) -> rusqlite::Result<MaxRetries> {
    max_retries(row, column).or_else(|_| MaxRetries::try_from(0).map_err(|issue| unreadable(column, issue)))
}

/// For steps likewise: a time that is out of range is the nearest that is in range.
pub(crate) fn readable_due_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let millis: Option<i64> = row.get(column)?;
    let (least, greatest) = (Timestamp::MIN.as_millis(), Timestamp::MAX.as_millis());
    let nearest = |millis: i64| Timestamp::from_millis(millis.clamp(least, greatest));
    millis.map(nearest).transpose().map_err(|error| unreadable(column, error))
}

pub(crate) fn max_retries(row: &Row<'_>, column: usize) -> rusqlite::Result<MaxRetries> {
    MaxRetries::try_from(row.get::<_, i64>(column)?).map_err(|issue| unreadable(column, issue))
}

/// The lease losses; an unknown number counts as the largest.
pub(crate) fn lease_losses(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<LeaseLosses>> {
    let losses: Option<i64> = row.get(column)?;
    Ok(losses.map(|losses| if losses == 1 { LeaseLosses::Once } else { LeaseLosses::Isolate }))
}

/// The number of lease losses as it is stored.
pub(crate) fn lease_losses_code(losses: LeaseLosses) -> i64 {
    match losses {
        LeaseLosses::Once => 1,
        LeaseLosses::Isolate => 2,
    }
}

/// The six columns sealed, fanout, children, open, failed, cancelled of a parent or a run.
pub(crate) fn child_counts(row: &Row<'_>, column: usize) -> rusqlite::Result<ChildCounts> {
    let count = |offset: usize| {
        let number: u32 = row.get(column + offset)?;
        if number > MAX_FANOUT {
            return Err(unreadable(column + offset, format_args!("{number} is not a number of children")));
        }
        Ok(number)
    };
    let total: Option<u32> = row.get(column + 1)?;
    let counts =
        ChildCounts { total, created: count(2)?, open: count(3)?, failed: count(4)?, cancelled: count(5)? };
    match total {
        Some(total) if total > MAX_FANOUT => {
            Err(unreadable(column + 1, format_args!("{total} is not a number of children")))
        }
        Some(total) if total < counts.created => {
            Err(unreadable(column + 2, format_args!("{} of {total} children exist", counts.created)))
        }
        _ => Ok(counts),
    }
}

/// The columns `policy`, `cancel_cause`, `join_open` of a parent or a run with these counts. For steps, which a row that another program
/// changed never stops: an invalid policy is the default.
pub(crate) fn parent_status(
    row: &Row<'_>,
    counts: ChildCounts,
    column: usize,
) -> rusqlite::Result<ParentStatus> {
    let join = match row.get::<_, Option<i64>>(column + 2)? {
        None => JoinStatus::None,
        Some(1) => JoinStatus::Open,
        Some(_) => JoinStatus::NotStarted,
    };
    let policy = policy(row, column).unwrap_or_default();
    Ok(ParentStatus { counts, policy, cancel_cause: cancel_cause(row, column + 1)?, join })
}

pub(crate) fn policy(row: &Row<'_>, column: usize) -> rusqlite::Result<Policy> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    let read = |json| serde_json::from_str(json).map_err(|error| unreadable(column, error));
    text.map_or(Ok(Policy::default()), read)
}

/// The cancel cause; an unknown number counts as a request.
pub(crate) fn cancel_cause(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<CancelCause>> {
    let code: Option<i64> = row.get(column)?;
    Ok(code.map(|code| CancelCause::from_code(code).unwrap_or(CancelCause::Requested)))
}

/// Up to which index children were swept; an invalid value is 0.
pub(crate) fn swept_through(row: &Row<'_>, column: usize) -> rusqlite::Result<u32> {
    Ok(row.get::<_, Option<i64>>(column)?.and_then(|index| u32::try_from(index).ok()).unwrap_or(0))
}

/// More tasks than any database has. Counting up from here does not overflow the column.
const MOST_TASKS: u64 = 1 << 62;

/// Five columns: pending, running, succeeded, failed, cancelled.
pub(crate) fn state_counts(row: &Row<'_>, column: usize) -> rusqlite::Result<StateCounts> {
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

/// A row that contradicts the others.
pub(crate) fn bad_row(what: &str, key: i64, why: &str) -> StoreError {
    StoreError::CorruptRow { row: format!("the {what} with row key {key}"), reason: why.into() }
}
