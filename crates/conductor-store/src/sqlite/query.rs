//! What readers ask.

use super::event_log::{self, SELECT_EVENTS, event_record};
use super::fence::Fences;
use super::rows::{self, SELECT_RUNS};
use super::sql::{ScopeKey, Sql, fault, id_blob, known_run_key, run_key};
use super::task_record::{SELECT_TASKS, Tasks};
use super::{SqliteStore, page_limit, progress, results, waits};
use crate::{
    ChildFailure, ChildOutput, EngineKey, EventFilter, Fence, NodeId, Page, Query, RunBlockers, Scope,
    StoreError, TaskFilter,
};
use conductor_model::{
    Event, Explanation, Json, Kind, Run, RunId, StateCounts, Task, TaskId, TaskProgress, Timestamp,
};
use rusqlite::{Connection, Params, Row, params};
use std::collections::HashSet;

impl Query for SqliteStore {
    fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        let sql = format!("{SELECT_RUNS} WHERE r.id = ?1");
        self.read(|connection| connection.first(&sql, [id_blob(id.as_u128())], rows::run_record))
    }

    fn runs(&self, after: Option<RunId>, limit: u32) -> Result<Page<Run, RunId>, StoreError> {
        let limit = page_limit(limit);
        let sql = format!("{SELECT_RUNS} WHERE r.key > ?1 ORDER BY r.key LIMIT ?2");
        self.read(|connection| {
            let after = after.map_or(Ok(0), |id| known_run_key(connection, id))?;
            let items = connection.all(&sql, params![after, limit + 1], rows::run_record)?;
            Ok(cut(items, limit, |run| run.id))
        })
    }

    fn task(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        let sql = format!("{SELECT_TASKS} WHERE t.id = ?1");
        self.read(|connection| Ok(read_tasks(connection, &sql, [id_blob(id.as_u128())], 1)?.0.pop()))
    }

    fn tasks(
        &self,
        run: RunId,
        filter: TaskFilter,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Page<Task, TaskId>, StoreError> {
        let limit = page_limit(limit);
        let state = filter.state.map(rows::state_code);
        self.read(|connection| {
            let Some(run) = run_key(connection, run)? else {
                return Ok(Page { items: Vec::new(), next: None });
            };
            let place = match after {
                Some(id) => place_of(connection, run, id)?,
                // The join of a run is a root task with ordinal 0.
                None => (-1, 0),
            };
            let params = params![run, place.0, place.1, limit + 1, state];
            let (items, more) = read_tasks(connection, &tasks_sql(), params, limit)?;
            Ok(page(items, more, |task| task.id))
        })
    }

    fn children(&self, parent: TaskId, after: u32, limit: u32) -> Result<Page<Task, u32>, StoreError> {
        let limit = page_limit(limit);
        self.read(|connection| {
            let Some((run, parent)) = run_and_key_of(connection, parent)? else {
                return Ok(Page { items: Vec::new(), next: None });
            };
            let params = params![run, parent, after, limit + 1];
            let (items, more) = read_tasks(connection, &children_sql(), params, limit)?;
            Ok(page(items, more, |task| task.index))
        })
    }

    fn child_outputs(
        &self,
        of: NodeId,
        after: u32,
        limit: u32,
    ) -> Result<Page<ChildOutput, u32>, StoreError> {
        self.read(|connection| results::outputs(connection, of, after, page_limit(limit)))
    }

    fn child_failures(
        &self,
        of: NodeId,
        after: u32,
        limit: u32,
    ) -> Result<Page<ChildFailure, u32>, StoreError> {
        self.read(|connection| results::failures(connection, of, after, page_limit(limit)))
    }

    fn events(
        &self,
        filter: EventFilter<'_>,
        after: u64,
        limit: u32,
    ) -> Result<Page<Event, u64>, StoreError> {
        let limit = page_limit(limit);
        let nothing = Ok(Page { items: Vec::new(), next: None });
        let name = match filter.name.map(event_log::code_of) {
            Some(None) => return nothing,
            Some(code) => code,
            None => None,
        };
        self.read(|connection| {
            let mut run =
                filter.run.map(|run| run_key(connection, run)).transpose()?.map(|key| key.unwrap_or(0));
            let mut task = None;
            if let Some(id) = filter.task {
                let found = run_and_key_of(connection, id)?;
                let Some((its_run, key)) = found.filter(|(its, _)| run.is_none_or(|run| run == *its)) else {
                    return nothing;
                };
                (run, task) = (Some(its_run), Some(key));
            }
            let (since, until) =
                (filter.since.map(Timestamp::as_millis), filter.until.map(Timestamp::as_millis));
            let after = i64::try_from(after).unwrap_or(i64::MAX);
            let sql = events_sql(run.is_some());
            let params = params![after, limit + 1, task, name, since, until, run];
            let (items, more) = read_events(connection, &sql, params, limit)?;
            Ok(page(items, more, |event| event.seq))
        })
    }

    fn task_progress(&self, task: TaskId) -> Result<Option<TaskProgress>, StoreError> {
        self.read(|connection| progress::of_task(connection, id_blob(task.as_u128())))
    }

    fn run_progress(
        &self,
        run: RunId,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Page<TaskProgress, TaskId>, StoreError> {
        let limit = page_limit(limit);
        self.read(|connection| {
            let Some(run) = run_key(connection, run)? else {
                return Ok(Page { items: Vec::new(), next: None });
            };
            let after = match after {
                Some(id) => {
                    let place = run_and_key_of(connection, id)?.filter(|(its_run, _)| *its_run == run);
                    place.ok_or(StoreError::TaskNotFound(id))?.1
                }
                None => 0,
            };
            let items = progress::of_run(connection, run, after, limit + 1)?;
            Ok(cut(items, limit, |progress| progress.task))
        })
    }

    fn change_token(&self) -> Result<u64, StoreError> {
        let mut change_token = 0;
        self.probe(|connection| {
            // What others wrote changes the one, what this connection wrote the other.
            let theirs = connection.first("PRAGMA data_version", [], |row| row.get::<_, u32>(0))?;
            change_token = u64::from(theirs.unwrap_or(0)) << 40 ^ connection.total_changes();
            Ok(true)
        })?;
        Ok(change_token)
    }

    #[cfg(target_os = "linux")]
    fn write_notifier(&self) -> Option<Box<dyn crate::WriteNotifier>> {
        super::write_notifier::of(self.path.as_deref()?)
    }

    fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut next = None;
        self.probe(|connection| {
            next = connection.first(NEXT_DUE, [], |row| rows::readable_due_at(row, 0))?.flatten();
            Ok(true)
        })?;
        Ok(next)
    }

    fn ready_kinds(&self, limit: u32) -> Result<Vec<Kind>, StoreError> {
        self.read(|connection| waits::ready_kinds(connection, ScopeKey::All, page_limit(limit)))
    }

    fn explain(&self, subject: NodeId, now: Timestamp) -> Result<Option<Explanation>, StoreError> {
        self.explain_subject(subject, now)
    }

    fn stale_claims(&self, fences: &[Fence]) -> Result<Vec<Fence>, StoreError> {
        self.read(|connection| {
            let mut held = Fences::read(connection, fences)?;
            Ok(fences.iter().copied().filter(|fence| held.take(*fence).is_none()).collect())
        })
    }

    fn unknown_claims(
        &self,
        holder: EngineKey,
        known: &[Fence],
        limit: u32,
    ) -> Result<Vec<Fence>, StoreError> {
        let known: HashSet<&Fence> = known.iter().collect();
        let limit = page_limit(limit) as usize;
        self.read(|connection| {
            let mut statement = connection.cached(HELD)?;
            let unknown_claims = statement.query_map([holder.0.cast_signed()], fence).map_err(fault)?;
            let unknown =
                unknown_claims.filter(|fence| fence.as_ref().map_or(true, |fence| !known.contains(fence)));
            unknown.take(limit).collect::<rusqlite::Result<_>>().map_err(fault)
        })
    }

    fn run_blockers(&self, run: RunId, limit: u32) -> Result<RunBlockers, StoreError> {
        self.read(|connection| waits::of_run(connection, known_run_key(connection, run)?, page_limit(limit)))
    }

    fn state_counts(&self, scope: Scope) -> Result<StateCounts, StoreError> {
        self.read(|connection| tally(connection, ScopeKey::of(scope, connection)?))
    }
}

/// The tasks of a run after a place, in the order of the index of places.
pub(super) fn tasks_sql() -> String {
    format!(
        "{SELECT_TASKS} WHERE t.run = ?1 AND (t.parent, t.ordinal) > (?2, ?3) AND (?5 IS NULL OR t.state = ?5) \
         ORDER BY t.parent, t.ordinal LIMIT ?4"
    )
}

/// The children of a parent after an index.
pub(super) fn children_sql() -> String {
    format!(
        "{SELECT_TASKS} WHERE t.run = ?1 AND t.parent = ?2 AND t.ordinal > ?3 ORDER BY t.ordinal LIMIT ?4"
    )
}

/// Events after a sequence number, of one run or of all.
pub(super) fn events_sql(of_run: bool) -> String {
    let run = if of_run { "e.run = ?7" } else { "?7 IS NULL" };
    format!(
        "{SELECT_EVENTS} WHERE {run} AND e.seq > ?1 AND (?3 IS NULL OR e.task = ?3) AND (?4 IS NULL OR e.name = ?4) \
         AND (?5 IS NULL OR e.at >= ?5) AND (?6 IS NULL OR e.at < ?6) ORDER BY e.seq LIMIT ?2"
    )
}

pub(super) fn tally(connection: &Connection, scope: ScopeKey) -> Result<StateCounts, StoreError> {
    let tally = match scope.run() {
        Some(run) => connection.first(TALLY_OF_RUN, [run], |row| rows::tally(row, 0))?,
        None => connection.first(TALLY, [], |row| rows::tally(row, 0))?,
    };
    Ok(tally.unwrap_or_default())
}

const TALLY_OF_RUN: &str =
    "SELECT pending, running, succeeded, failed, cancelled FROM conductor_runs WHERE key = ?1";
pub(super) const TALLY: &str = "SELECT coalesce(sum(pending), 0), coalesce(sum(running), 0), coalesce(sum(succeeded), 0), \
    coalesce(sum(failed), 0), coalesce(sum(cancelled), 0) FROM conductor_runs";

/// How many bytes of inputs and outputs a page of tasks holds, about; each of its tasks may have 2 MiB.
pub(super) const BYTES_PER_PAGE: usize = 16 << 20;

/// Tasks up to one more than fit on the page, and whether there are more.
fn read_tasks(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    limit: u32,
) -> Result<(Vec<Task>, bool), StoreError> {
    let mut reader = Tasks::on(connection);
    let mut statement = connection.cached(sql)?;
    let mut rows = statement.query(params).map_err(fault)?;
    let (mut tasks, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next().map_err(fault)? {
        if tasks.len() == limit as usize || bytes >= BYTES_PER_PAGE {
            return Ok((tasks, true));
        }
        let task = reader.record(row).map_err(fault)?;
        let size = |json: &Option<Json>| json.as_ref().map_or(0, |json| json.as_str().len());
        bytes += size(&task.input) + size(&task.output);
        tasks.push(task);
    }
    Ok((tasks, false))
}

/// Reads events up to the end of the page, or up to an unreadable event, with which the next page starts. Also returns
/// whether there are more.
fn read_events(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    limit: u32,
) -> Result<(Vec<Event>, bool), StoreError> {
    let mut statement = connection.cached(sql)?;
    let mut rows = statement.query(params).map_err(fault)?;
    let mut events = Vec::new();
    while let Some(row) = rows.next().map_err(fault)? {
        if events.len() == limit as usize {
            return Ok((events, true));
        }
        match event_record(row).map_err(fault) {
            Ok(event) => events.push(event),
            Err(StoreError::CorruptRow { .. }) if !events.is_empty() => return Ok((events, true)),
            Err(fault) => return Err(fault),
        }
    }
    Ok((events, false))
}

pub(super) fn run_and_key_of(
    connection: &Connection,
    task: TaskId,
) -> Result<Option<(i64, i64)>, StoreError> {
    let sql = "SELECT run, key FROM conductor_tasks WHERE id = ?1";
    connection.first(sql, [id_blob(task.as_u128())], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Where a page of a run's tasks ended.
fn place_of(connection: &Connection, run: i64, task: TaskId) -> Result<(i64, u32), StoreError> {
    let sql = "SELECT parent, ordinal FROM conductor_tasks WHERE id = ?1 AND run = ?2";
    let id = id_blob(task.as_u128());
    let place = connection.first(sql, params![id, run], |row| Ok((row.get(0)?, row.get(1)?)))?;
    place.ok_or(StoreError::TaskNotFound(task))
}

/// A page from one row more than fits on it: that row says that there is a next page.
fn cut<T, Cursor>(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> Cursor) -> Page<T, Cursor> {
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    page(items, more, cursor)
}

fn page<T, Cursor>(items: Vec<T>, more: bool, cursor: impl Fn(&T) -> Cursor) -> Page<T, Cursor> {
    let next = if more { items.last().map(cursor) } else { None };
    Page { items, next }
}

/// The earliest of what waits for its time.
pub(super) const NEXT_DUE: &str = "SELECT min(at) FROM ( \
    SELECT min(due_at) AS at FROM conductor_tasks INDEXED BY conductor_tasks_due WHERE state = 0 AND due_at IS NOT NULL \
    UNION ALL \
    SELECT min(due_at) FROM conductor_tasks INDEXED BY conductor_tasks_due WHERE state = 3 AND due_at IS NOT NULL \
    UNION ALL \
    SELECT min(lease_until) FROM conductor_tasks INDEXED BY conductor_tasks_running \
        WHERE state = 1 AND sealed IS NULL AND lease_until IS NOT NULL \
    UNION ALL \
    SELECT min(deadline) FROM conductor_runs INDEXED BY conductor_runs_deadline \
        WHERE deadline IS NOT NULL AND mark IS NULL AND state IN (0, 1))";

fn fence(row: &Row<'_>) -> rusqlite::Result<Fence> {
    let key: i64 = row.get(1)?;
    Ok(Fence { task: TaskId::from_u128(rows::id(row, 0)?), key: key.cast_unsigned(), attempt: row.get(2)? })
}

/// What an engine holds; it reads the claims of all of them, as many as run at this moment.
pub(super) const HELD: &str = "SELECT id, key, attempt FROM conductor_tasks INDEXED BY conductor_tasks_running \
    WHERE state = 1 AND sealed IS NULL AND lease_until IS NOT NULL AND holder = ?1";
