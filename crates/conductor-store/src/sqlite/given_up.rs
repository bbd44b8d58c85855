//! What was given up, or is being given up: by whom or what, and why.

use super::event_log::code_of;
use super::explain::{Explainer, Leaf};
use super::ledger::Place;
use super::rows;
use super::sql::Sql;
use crate::Fault;
use conductor_model::{ErrorText, Mark, Reason};
use rusqlite::params;

impl Explainer<'_> {
    /// Why a leaf is CANCELLED.
    pub(super) fn cancelled(&self, leaf: &Leaf) -> Result<Reason, Fault> {
        let own = params![leaf.place.run, code_of("task.cancelled"), leaf.key];
        let told = self.connection.first(SELECT_RECENT_CANCEL, own, |row| {
            Ok((rows::timestamp(row, 0)?, row.get::<_, Option<String>>(1)?))
        })?;
        // An event of an earlier life, before it was revived, is not the reason.
        let told = told.filter(|(at, _)| *at == leaf.updated_at);
        if let Some(reason) = told.as_ref().and_then(|(_, payload)| reason_in(payload.as_deref())) {
            return Ok(Reason::Cancelled { by: Some(Mark::Cancelled), reason: Some(reason) });
        }
        // It went with something above it, unless nothing there was given up.
        let by = (told.is_none() || self.is_below_a_mark(leaf.place)?).then_some(Mark::Above);
        Ok(Reason::Cancelled { by, reason: self.words_of(leaf.place, by)? })
    }

    /// Whether a parent or run, or anything above it, is marked.
    pub(super) fn is_below_a_mark(&self, place: Place) -> Result<bool, Fault> {
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

    /// Why something was marked, in the words of whoever marked it, or what is above it.
    pub(super) fn words_of(&self, place: Place, by: Option<Mark>) -> Result<Option<ErrorText>, Fault> {
        let (mut parent, mut by) = (place.parent, by);
        // What was marked with something above it has no words of its own.
        while by == Some(Mark::Above) && parent != 0 {
            let above = self
                .connection
                .first(SELECT_MARK, [parent], |row| Ok((row.get::<_, i64>(0)?, rows::mark(row, 1)?)))?;
            match above {
                Some((_, Some(mark))) if mark != Mark::Above => by = Some(mark),
                Some((above, _)) => parent = above,
                None => return Ok(None),
            }
        }
        if by.is_none() {
            return Ok(None);
        }
        let payload: Option<Option<String>> = if parent == 0 {
            let params = params![place.run, code_of("run.cancelled")];
            self.connection.first(SELECT_LAST_EVENT, params, |row| row.get(0))?
        } else {
            let params = params![place.run, code_of("task.marked"), parent];
            self.connection.first(SELECT_RECENT_EVENT, params, |row| row.get(0))?
        };
        Ok(reason_in(payload.flatten().as_deref()))
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

/// The newest event of a run with a name that is few.
const SELECT_LAST_EVENT: &str = "SELECT payload FROM conductor_events INDEXED BY conductor_events_name \
    WHERE run = ?1 AND name = ?2 AND name NOT IN (9, 10) ORDER BY seq DESC LIMIT 1";

/// When a task was cancelled last, and what was said of it, among the last thousand cancels of its run.
const SELECT_RECENT_CANCEL: &str = "SELECT at, payload FROM (SELECT task, at, payload FROM conductor_events \
    INDEXED BY conductor_events_name WHERE run = ?1 AND name = ?2 AND name NOT IN (9, 10) \
    ORDER BY seq DESC LIMIT 1000) WHERE task = ?3 LIMIT 1";

/// The same of one task, among the last thousand.
const SELECT_RECENT_EVENT: &str = "SELECT payload FROM (SELECT task, payload FROM conductor_events \
    INDEXED BY conductor_events_name WHERE run = ?1 AND name = ?2 AND name NOT IN (9, 10) \
    ORDER BY seq DESC LIMIT 1000) WHERE task = ?3 LIMIT 1";
