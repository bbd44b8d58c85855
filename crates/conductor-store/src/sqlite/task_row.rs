//! As much of a task's row as a transition needs.

use super::ledger::Place;
use super::rows;
use super::sql::{Sql, array, id_blob};
use crate::StoreError;
use conductor_model::{Backoff, LeaseLosses, MaxRetries, NodeStatus, NodeType, State, TaskId, Timestamp};
use rusqlite::{Connection, Row, params};

/// A task inside a transaction.
#[derive(Clone, Debug)]
pub(super) struct TaskRow {
    pub(super) key: i64,
    pub(super) id: TaskId,
    pub(super) ordinal: u32,
    pub(super) place: Place,
    pub(super) shape: NodeType,
    pub(super) state: State,
    pub(super) due_at: Option<Timestamp>,
    pub(super) attempt: u32,
    pub(super) retry_count: u32,
    pub(super) max_retries: MaxRetries,
    pub(super) backoff: Backoff,
    pub(super) lease_until: Option<i64>,
    /// What is known of leases that were lost over it in a row.
    pub(super) lost: Option<LeaseLosses>,
}

macro_rules! select {
    ($where:literal) => {
        concat!(
            "SELECT key, id, run, parent, sealed, state, due_at, attempt, retry_count, max_retries, backoff, ",
            "lease_until, lost, ordinal FROM conductor_tasks WHERE ",
            $where
        )
    };
}

/// A task whose run is being pruned is not visible.
pub(super) const SELECT_BY_ID: &str =
    select!("id = ?1 AND NOT EXISTS (SELECT 1 FROM conductor_pruned p WHERE p.run = conductor_tasks.run)");
pub(super) const SELECT_BY_KEY: &str = select!("key = ?1");
pub(super) const SELECT_BY_KEYS: &str = select!("key IN rarray(?1)");
pub(super) const SELECT_JOIN: &str = select!("run = ?1 AND parent = ?2 AND ordinal = 0");
/// The tasks of a run behind a place, in the order of their places.
pub(super) const SELECT_NEXT: &str =
    select!("run = ?1 AND (parent, ordinal) > (?2, ?3) ORDER BY parent, ordinal LIMIT 1");
pub(super) const SELECT_CHILDREN: &str =
    select!("run = ?1 AND parent = ?2 AND ordinal > ?3 ORDER BY ordinal LIMIT ?4");

/// What is known of a task whose row cannot be read.
pub(super) struct CorruptRow {
    pub(super) ordinal: u32,
    pub(super) key: i64,
    pub(super) why: String,
}

impl TaskRow {
    /// How many columns [`TaskRow::read`] reads, from the first on.
    pub(super) const COLUMNS: usize = 14;

    /// A row of these columns.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let sealed: Option<bool> = row.get(4)?;
        Ok(Self {
            key: row.get(0)?,
            id: TaskId::from_u128(rows::id(row, 1)?),
            // An ordinal that is none is not a join's: that is always 0.
            ordinal: row.get::<_, i64>(13)?.try_into().unwrap_or(u32::MAX),
            place: Place { run: row.get(2)?, parent: row.get(3)?, is_join: row.get::<_, i64>(13)? == 0 },
            shape: if sealed.is_some() { NodeType::Parent } else { NodeType::Leaf },
            state: rows::state(row, 5)?,
            due_at: rows::readable_due_at(row, 6)?,
            attempt: row.get(7)?,
            retry_count: row.get(8)?,
            max_retries: rows::readable_max_retries(row, 9)?,
            backoff: rows::readable_backoff(row, 10),
            lease_until: row.get(11)?,
            lost: rows::lost(row, 12)?,
        })
    }

    pub(super) fn by_id(connection: &Connection, id: TaskId) -> Result<Option<Self>, StoreError> {
        connection.first(SELECT_BY_ID, [id_blob(id.as_u128())], Self::read)
    }

    pub(super) fn by_key(connection: &Connection, key: i64) -> Result<Self, StoreError> {
        let row = connection.first(SELECT_BY_KEY, [key], Self::read)?;
        row.ok_or_else(|| rows::bad_row("task", key, "its row is missing"))
    }

    /// Those that can be read.
    pub(super) fn by_keys(
        connection: &Connection,
        keys: impl IntoIterator<Item = i64>,
    ) -> Result<Vec<Self>, StoreError> {
        let rows = connection.all(SELECT_BY_KEYS, [array(keys)], |row| Ok(Self::read(row)))?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// The join of the family at this place, if it came into being.
    pub(super) fn join_of(connection: &Connection, place: Place) -> Result<Option<Self>, StoreError> {
        connection.first(SELECT_JOIN, [place.run, place.parent], Self::read)
    }

    /// The children at this place behind an ordinal.
    pub(super) fn children(
        connection: &Connection,
        place: Place,
        after: u32,
        limit: u32,
    ) -> Result<Vec<Result<Self, CorruptRow>>, StoreError> {
        let params = params![place.run, place.parent, after, limit];
        connection.all(SELECT_CHILDREN, params, |row| {
            let (key, ordinal) = (row.get(0)?, row.get(13)?);
            Ok(Self::read(row).map_err(|error| CorruptRow { ordinal, key, why: error.to_string() }))
        })
    }

    /// The place of those below it.
    pub(super) fn below(&self) -> Place {
        Place::child(self.place.run, self.key)
    }

    /// Whether it is run when no other such task runs in the same engine.
    pub(super) fn runs_alone(&self) -> bool {
        self.lost == Some(LeaseLosses::Isolate)
    }

    pub(super) fn subject(&self) -> NodeStatus {
        let retry_scheduled = self.state == State::Failed && self.due_at.is_some();
        NodeStatus { node_type: self.shape, state: self.state, retry_scheduled }
    }
}
