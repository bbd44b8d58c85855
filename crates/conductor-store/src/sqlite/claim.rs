//! Claim ready leaves.

use super::SqliteStore;
use super::damage::MAX_COUNT;
use super::inputs::{Input, Inputs};
use super::ledger::Place;
use super::marks::Marks;
use super::rows::{self, bad_row};
use super::sql::{Sql, kind_key};
use super::task_row::TaskRow;
use super::transit::{Brings, Lease};
use super::turns::{runs_in_turn, share};
use super::write::Write;
use crate::{Claim, ClaimOutcome, ClaimedTask, Fence, KindQuota, RotationCursor, StoreError};
use conductor_model::{Json, MAX_LEASE_MS, RunId, Signal, TaskId};
use rusqlite::{Connection, Row, params};
use std::collections::HashMap;

/// The largest number of runs that one claim visits per kind. Each costs a few seeks; the next claim continues behind them.
const RUNS_PER_KIND: usize = 64;

impl SqliteStore {
    pub(super) fn claim_tasks(&self, request: &Claim) -> Result<ClaimOutcome, StoreError> {
        if !self.probe(|connection| is_something_ready(connection, request))? {
            return Ok(nothing(request));
        }
        self.write(request.now, |write| claim(write, request))
    }
}

/// What a claim finds where there is nothing.
pub(super) fn nothing(request: &Claim) -> ClaimOutcome {
    let turns = request.quotas.iter().map(|want| want.cursor).collect();
    ClaimOutcome { cursors: turns, ..ClaimOutcome::default() }
}

fn is_something_ready(connection: &Connection, request: &Claim) -> Result<bool, StoreError> {
    for want in &request.quotas {
        let Some(kind) = kind_key(connection, want.kind.as_str())? else { continue };
        if want.limit > 0
            && request.limit > 0
            && (next_run(connection, kind, 0)?.is_some()
                || request.allow_isolated && first_alone(connection, kind)?.is_some())
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Ready leaves of one kind in one run.
struct Queue {
    want: usize,
    kind: i64,
    run: i64,
}

/// Claims ready leaves in the transaction that is open.
pub(super) fn claim(write: &mut Write<'_>, request: &Claim) -> Result<ClaimOutcome, StoreError> {
    let mut claiming = Claiming::new(write.tx(), request)?;
    if request.allow_isolated {
        claiming.claim_alone(write)?;
    }
    claiming.claim_in_turns(write)?;
    Ok(claiming.claimed)
}

/// A claim on its way.
struct Claiming<'r> {
    request: &'r Claim,
    lease: Lease,
    /// The row keys of the kinds that are wanted; `None` for one that no task ever had, or of which nothing is wanted now.
    kinds: Vec<Option<i64>>,
    /// How many of each kind may still be claimed.
    left: Vec<u32>,
    relatives: Relatives,
    marks: Marks,
    claimed: ClaimOutcome,
}

impl<'r> Claiming<'r> {
    fn new(tx: &Connection, request: &'r Claim) -> Result<Self, StoreError> {
        let key = |want: &KindQuota| if want.limit > 0 { kind_key(tx, want.kind.as_str()) } else { Ok(None) };
        Ok(Self {
            request,
            lease: Lease {
                holder: request.engine.0.cast_signed(),
                until: request.now.plus_millis(request.lease_ms.min(MAX_LEASE_MS)),
            },
            kinds: request.quotas.iter().map(key).collect::<Result<_, _>>()?,
            left: request.quotas.iter().map(|want| want.limit.min(request.limit)).collect(),
            relatives: Relatives::default(),
            marks: Marks::default(),
            claimed: nothing(request),
        })
    }

    /// How many of all kinds together may still be claimed.
    fn room(&self) -> u32 {
        self.request.limit.saturating_sub(u32::try_from(self.claimed.tasks.len()).unwrap_or(u32::MAX))
    }

    /// Claims the first task that is to be run alone.
    fn claim_alone(&mut self, write: &mut Write<'_>) -> Result<(), StoreError> {
        for want in 0..self.kinds.len() {
            let Some(kind) = self.kinds[want].filter(|_| self.left[want] > 0) else { continue };
            if let Some(found) = first_alone(write.tx(), kind)? {
                self.take(write, want, vec![found])?;
                // What was found and not claimed is gone, and there may be another one.
                self.claimed.more |= self.claimed.tasks.is_empty();
                return Ok(());
            }
        }
        Ok(())
    }

    /// Claims an equal share of what is left from each queue that is left; what one does not need goes to the others.
    fn claim_in_turns(&mut self, write: &mut Write<'_>) -> Result<(), StoreError> {
        let queues = self.queues(write.tx())?;
        for (nth, queue) in queues.iter().enumerate() {
            let room = self.room();
            if room == 0 {
                self.claimed.more = true;
                break;
            }
            let share = share(room, queues.len() - nth).min(self.left[queue.want]);
            if share == 0 {
                continue;
            }
            let found =
                write.tx().all(SELECT_READY, params![queue.kind, queue.run, share], Ready::try_read)?;
            self.claimed.more |= found.len() == share as usize;
            self.claimed.cursors[queue.want] = RotationCursor(queue.run.cast_unsigned());
            self.take(write, queue.want, found)?;
        }
        Ok(())
    }

    /// The queues to claim from, those of all kinds in turns, each kind's behind the run at which its last claim stopped.
    fn queues(&mut self, tx: &Connection) -> Result<Vec<Queue>, StoreError> {
        let mut queues = Vec::new();
        for (want, wanted) in self.request.quotas.iter().enumerate() {
            let Some(kind) = self.kinds[want].filter(|_| self.request.limit > 0) else { continue };
            let most = RUNS_PER_KIND.min(self.left[want] as usize);
            // One further, to know whether there is one.
            let mut runs = runs_in_turn(wanted.cursor, most + 1, |after| next_run(tx, kind, after))?;
            self.claimed.more |= runs.len() > most;
            runs.truncate(most);
            queues.extend(runs.into_iter().enumerate().map(|(nth, run)| (nth, Queue { want, kind, run })));
        }
        queues.sort_by_key(|(nth, queue)| (*nth, queue.want));
        Ok(queues.into_iter().map(|(_, queue)| queue).collect())
    }

    /// What can be started of what was found. What is below something that is marked is cancelled, and what cannot be read
    /// fails.
    fn ready(
        &mut self,
        write: &mut Write<'_>,
        found: Vec<Found>,
    ) -> Result<(Vec<TaskRow>, Vec<Work>), StoreError> {
        let mut sound = Vec::with_capacity(found.len());
        for found in found {
            match found {
                Ok(Ready { mut row, .. }) if row.attempt >= MAX_COUNT => {
                    row.attempt = MAX_COUNT - 1;
                    write.fail_damaged(&mut row, "its attempt was changed, and cannot increase".into())?;
                    self.claimed.rejected += 1;
                }
                Ok(ready) => sound.push(ready),
                Err((key, why)) => {
                    write.set_aside(key, &why)?;
                    self.claimed.rejected += 1;
                }
            }
        }
        let (mut rows, mut works) = (Vec::with_capacity(sound.len()), Vec::with_capacity(sound.len()));
        // Only now, because a failure above may have cancelled an ancestor of the others.
        for Ready { mut row, work } in sound {
            if self.marks.is_doomed(write, row.place)? {
                let cancelled = write.transit(&mut row, Signal::Cancel, Brings::default());
                cancelled.map_err(|error| error.in_step(row.key))?;
                self.claimed.rejected += 1;
            } else {
                rows.push(row);
                works.push(work);
            }
        }
        Ok((rows, works))
    }

    /// Starts what was found, and adds it to what was claimed.
    fn take(&mut self, write: &mut Write<'_>, want: usize, found: Vec<Found>) -> Result<(), StoreError> {
        self.left[want] -= u32::try_from(found.len()).unwrap_or(u32::MAX);
        let (mut rows, works) = self.ready(write, found)?;
        write.transit_leaves(&mut rows, Signal::Start, Some(self.lease))?;
        for (mut row, work) in rows.into_iter().zip(works) {
            match self.relatives.of(write.tx(), row.place, work.input) {
                Ok((run, parent, input)) => self.claimed.tasks.push(ClaimedTask {
                    fence: Fence { task: row.id, key: row.key.cast_unsigned(), attempt: row.attempt },
                    run,
                    parent,
                    index: row.ordinal,
                    quota_index: want,
                    input,
                    retry_count: row.retry_count,
                    timeout_ms: work.timeout_ms,
                    isolated: row.runs_alone(),
                }),
                // A row that another program made unreadable fails its task, and does not stop the claim.
                Err(StoreError::CorruptRow { row: what, reason: why }) => {
                    write.fail_damaged(&mut row, format!("{what}: {why}"))?;
                    self.claimed.rejected += 1;
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }
}

/// What a claim found: a ready leaf, or the key of a row that cannot be read and why.
type Found = Result<Ready, (i64, String)>;

fn next_run(tx: &Connection, kind: i64, after: i64) -> Result<Option<i64>, StoreError> {
    tx.first(NEXT_RUN, params![kind, after], |row| row.get(0))
}

fn first_alone(tx: &Connection, kind: i64) -> Result<Option<Found>, StoreError> {
    tx.first(SELECT_ALONE, [kind], Ready::try_read)
}

/// A ready leaf, as a claim reads it.
struct Ready {
    row: TaskRow,
    work: Work,
}

/// The data for its handler.
struct Work {
    timeout_ms: Option<u32>,
    /// Its own input, if it has one; or why it cannot be read.
    input: Result<Option<Json>, String>,
}

impl Ready {
    fn try_read(row: &Row<'_>) -> rusqlite::Result<Found> {
        let key = row.get(0)?;
        Ok(Self::read(row).map_err(|error| (key, error.to_string())))
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let work = Work {
            timeout_ms: row.get(TaskRow::COLUMNS)?,
            input: rows::text(row, TaskRow::COLUMNS + 1).map_err(|error| error.to_string()),
        };
        Ok(Self { row: TaskRow::read(row)?, work })
    }
}

/// The ids of runs and parents, and the inputs that children have from their parents: each read once per claim.
#[derive(Default)]
struct Relatives {
    runs: HashMap<i64, RunId>,
    parents: HashMap<i64, TaskId>,
    inputs: Inputs,
}

impl Relatives {
    /// The run, the parent and the input of a task. An input of its own comes with it, or why that cannot be read.
    fn of(
        &mut self,
        tx: &Connection,
        place: Place,
        own: Result<Option<Json>, String>,
    ) -> Result<(RunId, Option<TaskId>, Option<Json>), StoreError> {
        let changed = |why| StoreError::CorruptRow { row: "its input was changed".into(), reason: why };
        let run = self.run(tx, place.run)?;
        let parent = self.parent(tx, place.parent)?;
        let input = match self.inputs.of(tx, place, own.map_err(changed)?) {
            Ok(Input::Missing) => return Err(changed("it is missing".into())),
            Err(StoreError::CorruptRow { reason, .. }) => return Err(changed(reason)),
            input => input?.into_json(),
        };
        Ok((run, parent, input))
    }

    fn run(&mut self, tx: &Connection, key: i64) -> Result<RunId, StoreError> {
        if let Some(known) = self.runs.get(&key) {
            return Ok(*known);
        }
        let id = tx.first("SELECT id FROM conductor_runs WHERE key = ?1", [key], |row| rows::id(row, 0))?;
        let id = RunId::from_u128(id.ok_or_else(|| bad_row("run", key, "its row is missing"))?);
        self.runs.insert(key, id);
        Ok(id)
    }

    fn parent(&mut self, tx: &Connection, key: i64) -> Result<Option<TaskId>, StoreError> {
        if key == 0 {
            return Ok(None);
        }
        if let Some(known) = self.parents.get(&key) {
            return Ok(Some(*known));
        }
        let id = tx.first("SELECT id FROM conductor_tasks WHERE key = ?1", [key], |row| rows::id(row, 0))?;
        let id = TaskId::from_u128(id.ok_or_else(|| bad_row("task", key, "its row is missing"))?);
        self.parents.insert(key, id);
        Ok(Some(id))
    }
}

pub(super) const NEXT_RUN: &str = "SELECT run FROM conductor_tasks INDEXED BY conductor_tasks_ready \
    WHERE kind = ?1 AND run > ?2 AND state = 0 AND due_at IS NULL AND sealed IS NULL AND coalesce(lost, 0) < 2 \
    ORDER BY run LIMIT 1";

macro_rules! select_ready {
    ($index:literal, $where:literal) => {
        concat!(
            "SELECT t.key, t.id, t.run, t.parent, t.sealed, t.state, t.due_at, t.attempt, t.retry_count, ",
            "t.max_retries, t.backoff, t.lease_until, t.lost, t.ordinal, t.timeout_ms, i.input ",
            "FROM conductor_tasks t INDEXED BY ",
            $index,
            " LEFT JOIN conductor_inputs i ON i.task = t.key ",
            "WHERE t.kind = ?1 AND t.state = 0 AND t.due_at IS NULL AND t.sealed IS NULL AND ",
            $where
        )
    };
}

pub(super) const SELECT_READY: &str = select_ready!(
    "conductor_tasks_ready",
    "coalesce(t.lost, 0) < 2 AND t.run = ?2 ORDER BY t.priority DESC, t.key LIMIT ?3"
);

pub(super) const SELECT_ALONE: &str =
    select_ready!("conductor_tasks_alone", "t.lost = 2 ORDER BY t.run, t.priority DESC, t.key LIMIT 1");
