//! What runs after the children: a join comes into being, or is run again, and its end decides its family.

use super::aggregate::{decide_parent, decide_run};
use super::create::Columns;
use super::damage::readable;
use super::event_log;
use super::ledger::{Moved, Place};
use super::rows::bad_row;
use super::sql::{Sql, id_blob};
use super::task_row::TaskRow;
use super::transit::Brings;
use super::write::Write;
use crate::StoreError;
use conductor_model::{EventBody, JoinStatus, NewJoin, NodeStatus, NodeType, Policy, Signal, State, TaskId};
use rusqlite::{Connection, params};

impl Write<'_> {
    /// Notes the join that a run (`parent` 0) or a parent will have.
    pub(super) fn plan_join(&self, place: Place, id: TaskId, join: &NewJoin) -> Result<(), StoreError> {
        let kind = super::create::kind_key(self.tx(), join.kind.as_str())?;
        let backoff = super::create::backoff_text(join.backoff)?;
        let id = id_blob(id.as_u128());
        let retries = join.max_retries.get();
        let params = params![place.run, place.parent, id, kind, retries, backoff, join.timeout_ms];
        self.tx().run(INSERT_JOIN, params)?;
        Ok(())
    }

    /// Makes the join of a family ready: its children are settled, and its policy is satisfied.
    pub(super) fn begin_join(&mut self, family: Place, parent: Option<TaskId>) -> Result<(), StoreError> {
        let earlier = match TaskRow::join_of(self.tx(), family) {
            Ok(earlier) => earlier,
            // The family fails before the commit.
            Err(StoreError::CorruptRow { reason: why, .. }) => {
                self.ledger.damaged.note_join(family.run, family.parent, &why);
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        if let Some(join) = earlier {
            return self.take_up_join(family, join);
        }
        let place = Place { is_join: true, ..family };
        let (tx, ledger, now) = self.parts();
        let key = match insert(tx, family, now.as_millis()) {
            Ok(key) => key,
            // The family fails before the commit.
            Err(StoreError::CorruptRow { reason: why, .. }) => {
                ledger.damaged.note_join(family.run, family.parent, &why);
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        let body =
            EventBody::TaskCreated { index: 0, parent, fanout: None, policy: Policy::Fail, has_join: false };
        event_log::record(tx, family.run, Some(key), now, &body)?;
        let pending = NodeStatus { node_type: NodeType::Leaf, state: State::Pending, retry_scheduled: false };
        ledger.count_many(tx, place, now, Moved { before: None, after: pending, count: 1 })
    }

    /// Goes on with a join that came into being before: one that ended in an earlier life of its family is run again. All
    /// else is damage, for a family whose join is open waits, and one whose join succeeded has succeeded with it.
    fn take_up_join(&mut self, family: Place, mut join: TaskRow) -> Result<(), StoreError> {
        if join.shape == NodeType::Parent {
            self.ledger.damaged.note_join(family.run, family.parent, "it was made a parent");
            return Ok(());
        }
        if !join.subject().is_settled() {
            return self.note_joining(family, JoinStatus::Open);
        }
        if join.state == State::Succeeded {
            self.note_joining(family, JoinStatus::Settled(State::Succeeded))?;
            return self.join_ended(family);
        }
        let key = join.key;
        self.transit(&mut join, Signal::Revive, Brings::default()).map_err(|error| error.in_step(key))
    }

    /// Notes how the join of a family stands, as its own row says.
    pub(super) fn note_joining(&mut self, family: Place, joining: JoinStatus) -> Result<(), StoreError> {
        let (tx, ledger, _) = self.parts();
        if let Some(head) = readable(ledger.head(tx, family))? {
            head.standing.join = joining;
        }
        Ok(())
    }

    /// The join at this place is settled, which decides its family, unless that was made to end before.
    pub(super) fn join_ended(&mut self, place: Place) -> Result<(), StoreError> {
        let (tx, ledger, _) = self.parts();
        if readable(ledger.head(tx, place))?.is_none_or(|head| head.state.is_terminal()) {
            return Ok(());
        }
        if place.parent == 0 { decide_run(self, place.run) } else { decide_parent(self, place.parent) }
            .map(|_| ())
    }
}

/// Inserts the task of the join of a family; its row key.
fn insert(tx: &Connection, family: Place, now: i64) -> Result<i64, StoreError> {
    let planned = tx.first(SELECT_PLANNED, params![family.run, family.parent], |row| {
        let id = TaskId::from_u128(super::rows::id(row, 0)?);
        let backoff: Option<String> = row.get(3)?;
        let name: String = row.get(5)?;
        Ok((id, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, backoff, row.get::<_, Option<u32>>(4)?, name))
    })?;
    let Some((id, kind, max_retries, backoff, timeout_ms, kind_name)) = planned else {
        return Err(bad_row("run", family.run, "the plan of a join is missing"));
    };
    let priority =
        tx.first("SELECT priority FROM conductor_tasks WHERE key = ?1", [family.parent], |row| {
            row.get::<_, i16>(0)
        })?;
    let columns = Columns {
        id,
        run: family.run,
        parent: family.parent,
        ordinal: 0,
        kind,
        priority: priority.unwrap_or(0),
        now,
        due_at: None,
        max_retries,
        timeout_ms,
        numbers: None,
        // Below a parent its name is derived, like that of any child; the join of a run is named after its kind.
        name: (family.parent == 0).then_some(kind_name.as_str()),
        backoff: backoff.as_deref(),
        policy: None,
        joins: false,
    };
    columns.insert(tx, None)
}

const INSERT_JOIN: &str = "INSERT INTO conductor_joins (run, task, id, kind, max_retries, backoff, timeout_ms) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

const SELECT_PLANNED: &str = "SELECT j.id, j.kind, j.max_retries, j.backoff, j.timeout_ms, k.name \
    FROM conductor_joins j JOIN conductor_kinds k ON k.key = j.kind WHERE j.run = ?1 AND j.task = ?2";
