//! Explains cancellations: the cause, the actor and the reason.

use super::event_log::code_of;
use super::explain::{Explainer, Leaf};
use super::ledger::Place;
use super::rows;
use super::sql::Sql;
use crate::StoreError;
use conductor_model::{CancelCause, ErrorText, StateReason, Timestamp};
use rusqlite::{Row, params};

impl Explainer<'_> {
    /// Why a leaf is CANCELLED.
    pub(super) fn cancelled(&self, leaf: &Leaf) -> Result<StateReason, StoreError> {
        if let Some(reason) = self.told_of(leaf)? {
            return Ok(StateReason::Cancelled { cause: Some(CancelCause::Requested), reason: Some(reason) });
        }
        // It was cancelled with an ancestor, if one was being cancelled by then.
        if self.is_below_a_mark(leaf.place)? {
            let (at, reason) = self.told_of_mark(leaf.place, CancelCause::Ancestor)?.unzip();
            if at.is_none_or(|at| at <= leaf.updated_at) {
                return Ok(StateReason::Cancelled {
                    cause: Some(CancelCause::Ancestor),
                    reason: reason.flatten(),
                });
            }
        }
        Ok(StateReason::Cancelled { cause: None, reason: None })
    }

    /// What was said of a leaf when it was cancelled: among the last cancels of its run, or at their time. An event of an
    /// earlier life, before it was revived, has another time.
    fn told_of(&self, leaf: &Leaf) -> Result<Option<ErrorText>, StoreError> {
        let (run, name) = (leaf.place.run, code_of("task.cancelled"));
        let own = params![run, name, leaf.key, leaf.updated_at.as_millis()];
        let reason = |row: &Row<'_>| Ok(reason_in(row.get::<_, Option<String>>(0)?.as_deref()));
        if let Some(told) = self.connection.first(SELECT_LAST_CANCEL, own, reason)? {
            return Ok(told);
        }
        let since = self.first_event(run, name, leaf.updated_at)?;
        let own = params![run, name, leaf.key, leaf.updated_at.as_millis(), since];
        Ok(self.connection.first(SELECT_CANCEL_SINCE, own, reason)?.flatten())
    }

    /// Where the events of a name begin that are not older than a moment. Where a clock went back it may be elsewhere.
    fn first_event(&self, run: i64, name: Option<i64>, since: Timestamp) -> Result<i64, StoreError> {
        let last = self.connection.first("SELECT max(seq) FROM conductor_events", [], |row| row.get(0))?;
        let (mut from, mut to): (i64, i64) = (0, last.flatten().unwrap_or(0));
        while from < to {
            let middle = from.midpoint(to);
            let next = self.connection.first(SELECT_NEXT_EVENT, params![run, name, middle], |row| {
                Ok((row.get(0)?, row.get::<_, i64>(1)?))
            })?;
            match next {
                Some((seq, at)) if at < since.as_millis() => from = i64::max(seq, middle) + 1,
                _ => to = middle,
            }
        }
        Ok(from)
    }

    /// Whether a parent or run, or anything above it, is marked.
    pub(super) fn is_below_a_mark(&self, place: Place) -> Result<bool, StoreError> {
        let (mut parent, mut climbed) = (place.parent, Vec::new());
        let is_doomed = loop {
            let known = self.marks.borrow().get(&(place.run, parent)).copied();
            if let Some(known) = known {
                break known;
            }
            climbed.push((place.run, parent));
            if parent == 0 {
                let sql = "SELECT mark IS NOT NULL FROM conductor_runs WHERE key = ?1";
                break self.connection.first(sql, [place.run], |row| row.get(0))?.unwrap_or(false);
            }
            let above = self.connection.first(SELECT_MARK, [parent], |row| {
                Ok((row.get::<_, i64>(0)?, rows::mark(row, 1)?.is_some()))
            })?;
            match above {
                Some((above, false)) => parent = above,
                Some((_, true)) => break true,
                None => break false,
            }
        };
        self.marks.borrow_mut().extend(climbed.into_iter().map(|parent| (parent, is_doomed)));
        Ok(is_doomed)
    }

    /// The reason of a cancel, as the caller stated it for this node or for an ancestor.
    pub(super) fn words_of(
        &self,
        place: Place,
        by: Option<CancelCause>,
    ) -> Result<Option<ErrorText>, StoreError> {
        let told = by.map(|by| self.told_of_mark(place, by)).transpose()?;
        Ok(told.flatten().and_then(|(_, reason)| reason))
    }

    /// When that was, and what was said.
    fn told_of_mark(
        &self,
        place: Place,
        by: CancelCause,
    ) -> Result<Option<(Timestamp, Option<ErrorText>)>, StoreError> {
        let (mut parent, mut by) = (place.parent, by);
        // What was marked with something above it has no words of its own.
        while by == CancelCause::Ancestor && parent != 0 {
            let above = self
                .connection
                .first(SELECT_MARK, [parent], |row| Ok((row.get::<_, i64>(0)?, rows::mark(row, 1)?)))?;
            match above {
                Some((_, Some(mark))) if mark != CancelCause::Ancestor => by = mark,
                Some((above, _)) => parent = above,
                None => return Ok(None),
            }
        }
        let read = |row: &Row<'_>| {
            let payload: Option<String> = row.get(1)?;
            Ok((rows::timestamp(row, 0)?, reason_in(payload.as_deref())))
        };
        if parent == 0 {
            let params = params![place.run, code_of("run.cancel_requested")];
            self.connection.first(SELECT_LAST_EVENT, params, read)
        } else {
            let params = params![place.run, code_of("task.cancel_requested"), parent];
            self.connection.first(SELECT_LAST_MARK, params, read)
        }
    }
}

/// The reason in the payload of an event.
fn reason_in(payload: Option<&str>) -> Option<ErrorText> {
    #[derive(serde::Deserialize)]
    struct Payload {
        reason: Option<ErrorText>,
    }
    serde_json::from_str::<Payload>(payload?).ok()?.reason
}

const SELECT_MARK: &str = "SELECT parent, mark FROM conductor_tasks WHERE key = ?1";

// Of the events of a run with a name that is few:

/// The newest.
pub(super) const SELECT_LAST_EVENT: &str = "SELECT at, payload FROM conductor_events \
    INDEXED BY conductor_events_name WHERE run = ?1 AND name = ?2 AND name NOT IN (9, 10) ORDER BY seq DESC LIMIT 1";

/// The newest of a task, among the last.
pub(super) const SELECT_LAST_MARK: &str = "SELECT at, payload FROM (SELECT task, at, payload FROM conductor_events \
    INDEXED BY conductor_events_name WHERE run = ?1 AND name = ?2 AND name NOT IN (9, 10) \
    ORDER BY seq DESC LIMIT 1000) WHERE task = ?3 LIMIT 1";

/// That of a task at a moment, among the last.
pub(super) const SELECT_LAST_CANCEL: &str = "SELECT payload FROM (SELECT task, at, payload FROM conductor_events \
    INDEXED BY conductor_events_name WHERE run = ?1 AND name = ?2 AND name NOT IN (9, 10) \
    ORDER BY seq DESC LIMIT 500) WHERE task = ?3 AND at = ?4 LIMIT 1";

/// The same, among those behind another.
pub(super) const SELECT_CANCEL_SINCE: &str = "SELECT payload FROM (SELECT task, at, payload FROM conductor_events \
    INDEXED BY conductor_events_name WHERE run = ?1 AND name = ?2 AND name NOT IN (9, 10) AND seq >= ?5 \
    ORDER BY seq LIMIT 500) WHERE task = ?3 AND at = ?4 LIMIT 1";

/// The next from a number on.
pub(super) const SELECT_NEXT_EVENT: &str = "SELECT seq, at FROM conductor_events INDEXED BY conductor_events_name \
    WHERE run = ?1 AND name = ?2 AND name NOT IN (9, 10) AND seq >= ?3 ORDER BY seq LIMIT 1";
