//! One run, computed again from its events.

use super::event_log;
use super::keys::Keys;
use super::rows;
use super::sql::{Sql, fault, id_blob};
use crate::StoreError;
use conductor_model::{EventBody, EventTarget, FanoutSize, RunId, RunReplay, TaskId};
use rusqlite::{Connection, Row, params};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

/// A run as its events describe it so far.
///
/// It is read in several transactions. Each compares rows only after it has read the new events, so that both are of the same
/// point in time.
pub(super) struct Audit {
    pub(super) run: i64,
    /// Its id; `None` if its row is missing.
    pub(super) id: Option<RunId>,
    pub(super) told: RunReplay,
    pub(super) keys: Keys,
    /// How many events it consists of.
    pub(super) events: u64,
    /// Which event does not fit what came before, and why: then the rest says nothing.
    pub(super) contradiction: Option<String>,
    /// The root tasks that were submitted with a fan-out, and so with an input.
    pub(super) fanned_out: HashSet<u32>,
    last: i64,
    /// The parent that was named last, by its id: its children follow each other.
    parent: Option<(TaskId, u32)>,
}

impl Audit {
    pub(super) fn of(run: i64, id: Option<RunId>) -> Self {
        let (told, keys, fanned_out) = (RunReplay::new(), Keys::default(), HashSet::new());
        Self { run, id, told, keys, events: 0, contradiction: None, fanned_out, last: 0, parent: None }
    }

    /// Takes in at most so many further events; whether there are more.
    pub(super) fn catch_up(&mut self, connection: &Connection, limit: u32) -> Result<bool, StoreError> {
        let page = connection.first(PAGE, params![self.run, self.last, limit], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, Option<i64>>(2)?))
        })?;
        let Some((count, Some(first), Some(end))) = page else { return Ok(false) };
        // Events that lie close together are read as they lie, which is twice as fast as one by one.
        let sql = if end - first < 2 * count { EVENTS_AS_THEY_LIE } else { EVENTS };
        let mut statement = connection.cached(sql)?;
        let mut events = statement.query(params![self.run, self.last, end]).map_err(fault)?;
        while let Some(event) = events.next().map_err(fault)? {
            if self.contradiction.is_some() {
                return Ok(false);
            }
            self.last = event.get(0).map_err(fault)?;
            let (task, code): (_, i64) = (event.get(1).map_err(fault)?, event.get(2).map_err(fault)?);
            let payload = event.get_ref(3).map_err(fault)?.as_str_or_null();
            let body = match (u32::try_from(code), payload) {
                (Ok(code), Ok(payload)) => {
                    event_log::read_body(code, payload).map_err(|error| error.to_string())
                }
                (Err(_), _) => Err(format!("{code} is not an event")),
                (_, Err(error)) => Err(error.to_string()),
            };
            let fits = match body {
                Ok(body) => self.take_in(connection, task, &body)?,
                Err(why) => Err(format!("cannot be read: {why}")),
            };
            if let Err(why) = fits {
                let name = usize::try_from(code).ok().and_then(|code| event_log::NAMES.get(code));
                let name = name.copied().unwrap_or("?");
                self.contradiction = Some(format!("event {} ({name}): {why}", self.last));
            }
            self.events += 1;
        }
        Ok(count == i64::from(limit))
    }

    /// Takes in one event, unless it does not fit.
    fn take_in(
        &mut self,
        connection: &Connection,
        task: Option<i64>,
        body: &EventBody,
    ) -> Result<Result<(), String>, StoreError> {
        if matches!(body, EventBody::Legacy { .. }) {
            return Ok(Ok(()));
        }
        let about = match (task, body) {
            (None, _) => EventTarget::Run,
            (Some(key), EventBody::TaskCreated { parent, .. } | EventBody::TaskAdopted { parent, .. }) => {
                let parent = match parent {
                    Some(parent) => Some(self.parent(connection, key, *parent)?),
                    None => None,
                };
                EventTarget::New { number: self.keys.number_of(key), parent }
            }
            (Some(key), _) => match self.number_of(connection, key)? {
                Some(number) => EventTarget::Task(number),
                None => return Ok(Err(format!("the task with row key {key} does not exist"))),
            },
        };
        let born = match self.told.apply(about, body) {
            Ok(born) => born,
            Err(why) => return Ok(Err(why)),
        };
        let count = born.end - born.start;
        if matches!(body, EventBody::TaskCreated { fanout: Some(FanoutSize::Fixed(_)), .. }) {
            self.fanned_out.insert(born.start);
        }
        match (about, body) {
            (_, EventBody::TaskFannedOut { first_id, .. }) => {
                self.keys.name(born.start, count, *first_id);
                // A row whose key another program changed may say keys that others have.
                let said = first_key(connection, &self.keys, *first_id, count)?;
                match said.filter(|key| self.keys.are_free(*key, count)) {
                    Some(key) => self.keys.add(key, born.start, count),
                    None => self.keys.lose(born.start, count),
                }
            }
            (EventTarget::New { number: None, .. }, _) => {
                self.keys.add(task.unwrap_or_default(), born.start, count);
            }
            _ => {}
        }
        Ok(Ok(()))
    }

    fn number_of(&mut self, connection: &Connection, key: i64) -> Result<Option<u32>, StoreError> {
        if let Some(number) = self.keys.number_of(key) {
            return Ok(Some(number));
        }
        // Children of which no row is left, or whose rows another program gave other keys: their own are those that are
        // missing around this one.
        let gap: Option<(i64, Option<i64>)> =
            connection.first(GAP, [key], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (below, last) = gap.unwrap_or_default();
        let last = last.unwrap_or(key);
        let Some(count) = last.checked_sub(below).and_then(|count| u32::try_from(count).ok()) else {
            return Ok(None);
        };
        let first = last - i64::from(count) + 1;
        let number = self.keys.take_lost(count).or_else(|| self.keys.take_displaced(first, count));
        let Some(number) = number else { return Ok(None) };
        self.keys.add(first, number, count);
        Ok(self.keys.number_of(key))
    }

    /// The number of a parent that the event of a child names by its id.
    fn parent(&mut self, connection: &Connection, child: i64, id: TaskId) -> Result<u32, StoreError> {
        if let Some((_, number)) = self.parent.filter(|(known, _)| *known == id) {
            return Ok(number);
        }
        let blob = id_blob(id.as_u128());
        let key = match connection.first(KEY_OF_ID, params![blob, self.run], |row| row.get(0))? {
            Some(key) => Some(key),
            None => connection.first(KEY_OF_PARENT, params![child, self.run], |row| row.get::<_, i64>(0))?,
        };
        let known = key.and_then(|key| self.keys.number_of(key)).or_else(|| self.keys.number_with_id(id));
        let number = known.unwrap_or_else(|| {
            let number = self.told.reserve();
            if let Some(key) = key {
                self.keys.add(key, number, 1);
            }
            number
        });
        self.parent = Some((id, number));
        Ok(number)
    }

    /// The id of the task with that number: from the events, or else from its row.
    pub(super) fn task_id(&self, connection: &Connection, number: u32) -> Result<Option<TaskId>, StoreError> {
        if let Some(id) = self.keys.id_of(number) {
            return Ok(Some(id));
        }
        let Some(key) = self.keys.key_of(number) else { return Ok(None) };
        let sql = "SELECT id FROM conductor_tasks WHERE key = ?1";
        let id = connection.first(sql, [key], |row| Ok(rows::id(row, 0).ok()))?;
        Ok(id.flatten().map(TaskId::from_u128))
    }
}

/// The key of the first of children that were created together, if one of their rows still shows it. Their keys are
/// consecutive like their ids, because one transaction inserted all of them.
fn first_key(
    connection: &Connection,
    keys: &Keys,
    first_id: TaskId,
    count: u32,
) -> Result<Option<i64>, StoreError> {
    let last_id = first_id.as_u128() + u128::from(count.saturating_sub(1));
    let ids = [id_blob(first_id.as_u128()), id_blob(last_id)];
    // What the row of one of them says.
    let said = |row: &Row<'_>| {
        let (key, nth): (i64, _) = (row.get(0)?, i64::try_from(rows::id(row, 1)? - first_id.as_u128()));
        Ok(nth.ok().and_then(|nth| key.checked_sub(nth)))
    };
    let first = connection.first(FIRST_LEFT, ids, said)?.flatten();
    if count == 1 || first == connection.first(LAST_LEFT, ids, said)?.flatten() {
        return Ok(first);
    }
    // Another program changed some keys. The majority of the rows decides; in a tie, the key behind the earlier tasks
    // wins.
    let mut votes: BTreeMap<i64, u32> = BTreeMap::new();
    for key in connection.all(ALL_LEFT, ids, said)?.into_iter().flatten() {
        *votes.entry(key).or_default() += 1;
    }
    let behind = keys.last();
    let weight = |(key, votes): &(i64, u32)| (*votes, behind.is_none_or(|last| *key > last), Reverse(*key));
    Ok(votes.into_iter().max_by_key(weight).map(|(key, _)| key))
}

/// How many events are next, and where the first and the last of them lie: read from the index alone.
pub(super) const PAGE: &str = "SELECT count(*), min(seq), max(seq) FROM (SELECT seq FROM conductor_events \
    INDEXED BY conductor_events_run WHERE run = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3)";
pub(super) const EVENTS: &str = "SELECT seq, task, name, payload FROM conductor_events INDEXED BY conductor_events_run \
    WHERE run = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq";
pub(super) const EVENTS_AS_THEY_LIE: &str = "SELECT seq, task, name, payload FROM conductor_events NOT INDEXED \
    WHERE run = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq";

macro_rules! select_left {
    ($order:literal) => {
        concat!(
            "SELECT key, id FROM conductor_tasks INDEXED BY conductor_tasks_id ",
            "WHERE id BETWEEN ?1 AND ?2 AND length(id) = 16 ORDER BY id ",
            $order
        )
    };
}

const FIRST_LEFT: &str = select_left!("LIMIT 1");
const LAST_LEFT: &str = select_left!("DESC LIMIT 1");
const ALL_LEFT: &str = select_left!("LIMIT 100000");

const KEY_OF_ID: &str = "SELECT key FROM conductor_tasks WHERE id = ?1 AND run = ?2";
const KEY_OF_PARENT: &str = "SELECT parent FROM conductor_tasks WHERE key = ?1 AND run = ?2 AND parent > 0";

/// Between which keys one lies that is not taken: the next one below that is, and the last one above that is not.
const GAP: &str = "SELECT coalesce((SELECT max(key) FROM conductor_tasks WHERE key < ?1), 0), \
    coalesce((SELECT min(key) FROM conductor_tasks WHERE key > ?1) - 1, \
        (SELECT seq FROM sqlite_sequence WHERE name = 'conductor_tasks'))";
