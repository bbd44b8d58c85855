//! Finds the child that the explanation of a parent or a run continues with, in bounded parts of a few indexes.
//!
//! The first children are looked at one by one. Behind them, an open or failed task of the run leads to the child above
//! it. Keys grow with the indices, so that a seek in an index with the key as its last column starts behind those
//! children. Last, it reads the last children. If the open child is in none of these places, the explanation says that
//! it is unknown.

use super::event_log::code_of;
use super::explain::Explainer;
use super::ledger::Place;
use super::sql::{Sql, array};
use crate::StoreError;
use rusqlite::params;

/// The largest number of ready kinds that are searched in a run, and of pairs of kind and priority there.
const MOST_KINDS: u32 = 100;
const MOST_LANES: u32 = 30;

/// What is looked for among the children of a parent.
pub(super) struct Sought {
    /// Among the first.
    pub(super) first: &'static str,
    /// Among the ancestors of what is given, and that itself.
    pub(super) above: &'static str,
    /// Among the last.
    pub(super) last: &'static str,
}

impl Explainer<'_> {
    /// The oldest child that is open, of those that are found.
    pub(super) fn open_child(&self, place: Place) -> Result<Option<i64>, StoreError> {
        self.child(place, &OPEN, |behind| self.open_in(place.run, behind))
    }

    /// A child that failed permanently.
    pub(super) fn failed_child(&self, place: Place) -> Result<Option<i64>, StoreError> {
        let failed = |behind| self.connection.all(FAILED_IN, [place.run, behind], |row| row.get(0));
        self.child(place, &FAILED, failed)
    }

    /// A child that was cancelled: nothing in an index of tasks says which, but a person's cancel left an event.
    pub(super) fn cancelled_child(&self, place: Place) -> Result<Option<i64>, StoreError> {
        self.child(place, &CANCELLED, |_| {
            let mut keys = Vec::new();
            for name in ["task.cancelled", "task.cancel_requested"] {
                let last = params![place.run, code_of(name)];
                keys.extend(self.connection.all(LAST_CANCELS, last, |row| row.get::<_, i64>(0))?);
            }
            Ok(keys)
        })
    }

    /// Looks at the first children, then at what leads up to one behind them, then at the last.
    fn child(
        &self,
        place: Place,
        sought: &Sought,
        below: impl FnOnce(i64) -> Result<Vec<i64>, StoreError>,
    ) -> Result<Option<i64>, StoreError> {
        let family = [place.run, place.parent];
        let first = self.connection.first(sought.first, family, |row| row.get(0))?;
        if first.is_some() {
            return Ok(first);
        }
        let Some(behind) = self.connection.first(LAST_OF_THE_FIRST, family, |row| row.get(0))? else {
            return Ok(None);
        };
        let below = array(below(behind)?);
        let found: Option<Option<i64>> =
            self.connection.first(sought.above, params![below, place.parent], |row| row.get(0))?;
        match found.flatten() {
            Some(child) => Ok(Some(child)),
            None => Ok(self.connection.first(sought.last, family, |row| row.get(0))?.flatten()),
        }
    }

    /// Open tasks of a run behind a key: running, delayed, in need of a step, or ready.
    fn open_in(&self, run: i64, behind: i64) -> Result<Vec<i64>, StoreError> {
        let mut keys = Vec::new();
        for sql in [RUNNING_OUTSIDE, CLAIMED, DUE] {
            keys.extend(self.connection.all(sql, [run, behind], |row| row.get::<_, i64>(0))?);
        }
        for wants in 1..=4 {
            keys.extend(self.connection.all(WANTING, [run, behind, wants], |row| row.get::<_, i64>(0))?);
        }
        for lanes in [&READY, &ALONE] {
            self.ready_in(run, behind, lanes, &mut keys)?;
        }
        Ok(keys)
    }

    /// Some of each kind and priority that is ready in a run.
    fn ready_in(&self, run: i64, behind: i64, lanes: &Lanes, keys: &mut Vec<i64>) -> Result<(), StoreError> {
        let (mut kind, mut left) = (0, MOST_LANES);
        for _ in 0..MOST_KINDS {
            let Some(next) = self.connection.first(lanes.kind, [kind], |row| row.get(0))? else { break };
            kind = next;
            let mut priority = i64::from(i16::MAX) + 1;
            while left > 0 {
                let above = [kind, run, priority];
                let Some(next) = self.connection.first(lanes.priority, above, |row| row.get(0))? else {
                    break;
                };
                priority = next;
                left -= 1;
                let lane = [kind, run, priority, behind];
                keys.extend(self.connection.all(lanes.keys, lane, |row| row.get::<_, i64>(0))?);
            }
        }
        Ok(())
    }
}

macro_rules! sought {
    ($filter:literal) => {
        Sought {
            first: concat!(
                "SELECT key FROM (SELECT key, state, due_at FROM conductor_tasks INDEXED BY conductor_tasks_place ",
                "WHERE run = ?1 AND parent = ?2 AND ordinal > 0 ORDER BY ordinal LIMIT 300) WHERE ",
                $filter,
                " LIMIT 1"
            ),
            above: concat!(
                "WITH RECURSIVE above (key, parent, ordinal, state, due_at) AS (",
                "SELECT key, parent, ordinal, state, due_at FROM conductor_tasks WHERE key IN rarray(?1) ",
                "UNION SELECT p.key, p.parent, p.ordinal, p.state, p.due_at FROM above CROSS JOIN conductor_tasks p ",
                "ON p.key = above.parent WHERE above.parent <> ?2) ",
                "SELECT min(key) FROM above WHERE parent = ?2 AND ordinal > 0 AND (",
                $filter,
                ")"
            ),
            last: concat!(
                "SELECT min(key) FROM (SELECT key, state, due_at FROM conductor_tasks INDEXED BY ",
                "conductor_tasks_place WHERE run = ?1 AND parent = ?2 AND ordinal > 0 ORDER BY ordinal DESC LIMIT 300) ",
                "WHERE ",
                $filter
            ),
        }
    };
}

pub(super) const OPEN: Sought = sought!("state < 2 OR (state = 3 AND due_at IS NOT NULL)");
pub(super) const FAILED: Sought = sought!("state = 3 AND due_at IS NULL");
pub(super) const CANCELLED: Sought = sought!("state = 4");

/// As many as a statement looks at of the first; without it there is nothing behind them.
pub(super) const LAST_OF_THE_FIRST: &str =
    "SELECT key FROM conductor_tasks WHERE run = ?1 AND parent = ?2 AND ordinal = 300";

pub(super) const RUNNING_OUTSIDE: &str = "SELECT key FROM (SELECT key, run FROM conductor_tasks \
    INDEXED BY conductor_tasks_running WHERE state = 1 AND sealed IS NULL AND lease_until IS NULL LIMIT 300) \
    WHERE run = ?1 AND key > ?2";
pub(super) const CLAIMED: &str = "SELECT key FROM (SELECT key, run FROM conductor_tasks \
    INDEXED BY conductor_tasks_running WHERE state = 1 AND sealed IS NULL AND lease_until IS NOT NULL LIMIT 300) \
    WHERE run = ?1 AND key > ?2";
pub(super) const DUE: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_due_of_run \
    WHERE due_at IS NOT NULL AND run = ?1 AND key > ?2 ORDER BY key LIMIT 50";
pub(super) const WANTING: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_wants \
    WHERE wants = ?3 AND run = ?1 AND key > ?2 ORDER BY key LIMIT 50";
pub(super) const FAILED_IN: &str = "SELECT key FROM conductor_tasks INDEXED BY conductor_tasks_due \
    WHERE state = 3 AND due_at IS NULL AND run = ?1 AND key > ?2 ORDER BY key LIMIT 300";
pub(super) const LAST_CANCELS: &str = "SELECT task FROM conductor_events INDEXED BY conductor_events_name \
    WHERE run = ?1 AND name = ?2 AND name NOT IN (9, 10) ORDER BY seq DESC LIMIT 200";

/// An index of what is ready, and how it is walked.
pub(super) struct Lanes {
    /// The next kind, of any run.
    pub(super) kind: &'static str,
    /// The next lower priority in a run.
    pub(super) priority: &'static str,
    /// The first behind a key.
    pub(super) keys: &'static str,
}

macro_rules! lanes {
    ($index:literal, $where:literal) => {
        Lanes {
            kind: lanes!("kind", $index, $where, "kind > ?1 ORDER BY kind LIMIT 1"),
            priority: lanes!(
                "priority",
                $index,
                $where,
                "kind = ?1 AND run = ?2 AND priority < ?3 ORDER BY priority DESC LIMIT 1"
            ),
            keys: lanes!(
                "key",
                $index,
                $where,
                "kind = ?1 AND run = ?2 AND priority = ?3 AND key > ?4 ORDER BY key LIMIT 10"
            ),
        }
    };
    ($column:literal, $index:literal, $where:literal, $of:literal) => {
        concat!(
            "SELECT ",
            $column,
            " FROM conductor_tasks INDEXED BY ",
            $index,
            " WHERE state = 0 AND due_at IS NULL AND sealed IS NULL AND ",
            $where,
            " AND ",
            $of
        )
    };
}

pub(super) const READY: Lanes = lanes!("conductor_tasks_ready", "coalesce(lost, 0) < 2");
pub(super) const ALONE: Lanes = lanes!("conductor_tasks_alone", "lost = 2");
