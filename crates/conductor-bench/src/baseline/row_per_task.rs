//! The second floor: raw SQL on tables with a row for each task and each event. It shows what the layout itself gives.
//!
//! The tables of tasks and events have the columns and the indexes of the layout before blocks. All else is as in the other
//! floor: the same pragmas, all events, many rows in a statement, the row of the run. Row key 1 is the parent; its children
//! follow.

use super::{NOW, ROWS_PER_STATEMENT, in_transactions, name, run};
use crate::outcome::Outcome;
use crate::workspace::Workspace;
use conductor_store::Environment;
use rusqlite::{Connection, Transaction, params};
use std::time::Duration;

/// The fastest number of inserts in one transaction.
pub(crate) const INSERTS: u32 = 10_000;

const TABLES: &str = "
    DROP TABLE conductor_events;
    CREATE TABLE conductor_tasks (
        key                INTEGER PRIMARY KEY AUTOINCREMENT,
        id                 BLOB    NOT NULL CHECK (length(id) = 16),
        run                INTEGER NOT NULL,
        parent             INTEGER NOT NULL,
        ordinal            INTEGER NOT NULL,
        state              INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),
        kind               INTEGER NOT NULL,
        priority           INTEGER NOT NULL,
        created_at         INTEGER NOT NULL,
        updated_at         INTEGER NOT NULL,
        due_at             INTEGER CHECK (due_at IS NULL OR state IN (0, 3)),
        attempt            INTEGER NOT NULL CHECK (attempt BETWEEN 0 AND 2000000000),
        retry_count        INTEGER NOT NULL CHECK (retry_count BETWEEN 0 AND 2000000000),
        max_retries        INTEGER NOT NULL CHECK (max_retries BETWEEN 0 AND 1000),
        lease_until        INTEGER,
        sealed             INTEGER,
        fanout             INTEGER CHECK (fanout BETWEEN 0 AND 10000000),
        children           INTEGER CHECK (children >= 0),
        open_children      INTEGER CHECK (open_children >= 0),
        failed_children    INTEGER CHECK (failed_children >= 0),
        cancelled_children INTEGER CHECK (cancelled_children >= 0),
        name               TEXT CHECK (length(name) > 0),
        backoff            TEXT,
        last_error         TEXT,
        output             TEXT,
        holder             INTEGER,
        timeout_ms         INTEGER CHECK (timeout_ms BETWEEN 1 AND 604800000),
        lost               INTEGER CHECK (lost BETWEEN 1 AND 2),
        policy             TEXT,
        mark               INTEGER CHECK (mark BETWEEN 1 AND 4),
        swept              INTEGER CHECK (swept >= 0),
        joining            INTEGER CHECK (joining IN (0, 1)),
        wants              INTEGER GENERATED ALWAYS AS (
            CASE
                WHEN sealed IS NULL OR state > 1 OR (due_at IS NOT NULL AND mark IS NULL) THEN NULL
                WHEN mark IS NOT NULL AND (joining = 1 OR (open_children > 0 AND coalesce(swept, 0) < children)) THEN 4
                WHEN joining = 1 THEN NULL
                WHEN mark IS NOT NULL THEN CASE WHEN open_children = 0 THEN 3 END
                WHEN sealed = 0 THEN 2
                WHEN children < fanout THEN 1
                WHEN open_children = 0 THEN 3
            END
        ) VIRTUAL
    ) STRICT;
    CREATE UNIQUE INDEX conductor_tasks_id ON conductor_tasks (id);
    CREATE UNIQUE INDEX conductor_tasks_place ON conductor_tasks (run, parent, ordinal);
    CREATE INDEX conductor_tasks_running ON conductor_tasks (lease_until, updated_at)
        WHERE state = 1 AND sealed IS NULL;
    CREATE INDEX conductor_tasks_due ON conductor_tasks (state, due_at, run) WHERE due_at IS NOT NULL OR state = 3;
    CREATE INDEX conductor_tasks_wants ON conductor_tasks (wants, run) WHERE wants IS NOT NULL;
    CREATE INDEX conductor_tasks_retried ON conductor_tasks (run, retry_count) WHERE retry_count > 0;
    CREATE INDEX conductor_tasks_due_of_run ON conductor_tasks (run) WHERE due_at IS NOT NULL;
    CREATE INDEX conductor_tasks_ready ON conductor_tasks (kind, run, priority DESC, key)
        WHERE state = 0 AND due_at IS NULL AND sealed IS NULL AND coalesce(lost, 0) < 2;
    CREATE INDEX conductor_tasks_alone ON conductor_tasks (kind, run, priority DESC, key)
        WHERE state = 0 AND due_at IS NULL AND sealed IS NULL AND lost = 2;
    CREATE TABLE conductor_events (
        seq     INTEGER PRIMARY KEY AUTOINCREMENT,
        run     INTEGER NOT NULL,
        task    INTEGER,
        name    INTEGER NOT NULL,
        at      INTEGER NOT NULL,
        payload TEXT
    ) STRICT;
    CREATE INDEX conductor_events_run ON conductor_events (run);
    CREATE INDEX conductor_events_name ON conductor_events (run, name) WHERE name NOT IN (9, 10);
";
const PARENT: &str = "INSERT INTO conductor_tasks (id, run, parent, ordinal, state, kind, priority, created_at, updated_at, \
    attempt, retry_count, max_retries, sealed, fanout, children, open_children, failed_children, cancelled_children, name) \
    VALUES (zeroblob(16), 1, 0, 1, 1, 1, 0, ?1, ?1, 1, 0, 3, 1, ?2, 0, 0, 0, 0, 'noop')";

/// Opens a file with one run and one parent, whose children do not exist yet.
pub(crate) fn open(workspace: &Workspace, children: u32) -> Outcome<Connection> {
    let raw = workspace.raw_with_parent(children)?;
    raw.execute_batch(TABLES)?;
    raw.execute(PARENT, params![NOW, children])?;
    Ok(raw)
}

/// Creates the children of the parent.
pub(crate) fn fan_out(raw: &mut Connection, children: u32) -> Outcome<Duration> {
    let (env, mut first) = (Environment::system(), 1);
    in_transactions(raw, |tx| {
        let last = children.min(first + INSERTS - 1);
        let mut ids = env.ids(last - first + 1);
        let ids: Vec<_> =
            std::iter::from_fn(|| ids.take_task()).map(|id| id.as_u128().to_be_bytes()).collect();
        insert(tx, first, &ids)?;
        let payload = format!(r#"{{"first":{first},"last":{last}}}"#);
        let event = "INSERT INTO conductor_events (run, task, name, at, payload) VALUES (1, 1, ?1, ?2, ?3)";
        run(tx, event, params![name::TASK_FANNED_OUT, NOW, payload])?;
        run(tx, "UPDATE conductor_tasks SET children = ?1, open_children = ?1 WHERE key = 1", [last])?;
        run(tx, "UPDATE conductor_runs SET state = 1, pending = ?1 WHERE key = 1", [last])?;
        first = last + 1;
        Ok(last < children)
    })
}

fn insert(tx: &Transaction<'_>, first: u32, ids: &[[u8; 16]]) -> Outcome<()> {
    for (group, first) in ids.chunks(ROWS_PER_STATEMENT).zip((first..).step_by(ROWS_PER_STATEMENT)) {
        let row = |i| format!("(?{}, 1, 1, ?1 + {i}, 0, 1, 0, {NOW}, {NOW}, 0, 0, 3)", i + 2);
        let rows: Vec<_> = (0..group.len()).map(row).collect();
        let mut insert = tx.prepare_cached(&format!("{INSERT} {}", rows.join(", ")))?;
        insert.raw_bind_parameter(1, first)?;
        for (i, id) in group.iter().enumerate() {
            insert.raw_bind_parameter(i + 2, id)?;
        }
        insert.raw_execute()?;
    }
    Ok(())
}

/// Claims all ready children and settles them; the tasks of one claim are settled together with the next claim.
pub(crate) fn drain(raw: &mut Connection, each: u32) -> Outcome<Duration> {
    let (mut first, mut claimed) = (2, 0);
    in_transactions(raw, |tx| {
        if claimed > 0 {
            run(tx, SETTLE, params![first, first + claimed - 1, NOW])?;
            run(tx, EVENTS, params![first, first + claimed - 1, name::TASK_SUCCEEDED, NOW])?;
        }
        let settled = claimed;
        first += claimed;
        claimed = run(tx, CLAIM, params![each, NOW])?;
        if claimed > 0 {
            run(tx, EVENTS, params![first, first + claimed - 1, name::TASK_STARTED, NOW])?;
        }
        run(tx, "UPDATE conductor_tasks SET open_children = open_children - ?1 WHERE key = 1", [settled])?;
        run(tx, COUNT, [claimed, settled])?;
        Ok(claimed > 0)
    })
}

/// Fails unless so many children have succeeded, with two events each.
pub(crate) fn check_drained(raw: &Connection, children: u32) -> Outcome<()> {
    for (sql, expected) in [
        ("SELECT count(*) FROM conductor_tasks WHERE state = 2", children),
        ("SELECT count(*) FROM conductor_events WHERE name IN (9, 10)", 2 * children),
        ("SELECT succeeded FROM conductor_runs", children),
    ] {
        let found: u32 = raw.query_row(sql, [], |row| row.get(0))?;
        if found != expected {
            return Err(format!("the second floor has {found} and not {expected}: {sql}").into());
        }
    }
    Ok(())
}

const INSERT: &str = "INSERT INTO conductor_tasks (id, run, parent, ordinal, state, kind, priority, created_at, updated_at, \
    attempt, retry_count, max_retries) VALUES";
const EVENTS: &str = "INSERT INTO conductor_events (run, task, name, at) \
    SELECT 1, key, ?3, ?4 FROM conductor_tasks WHERE key BETWEEN ?1 AND ?2";
const SETTLE: &str = "UPDATE conductor_tasks SET state = 2, updated_at = ?3, lease_until = NULL, holder = NULL \
    WHERE key BETWEEN ?1 AND ?2";
const CLAIM: &str = "UPDATE conductor_tasks SET state = 1, updated_at = ?2, attempt = attempt + 1, \
    lease_until = ?2 + 30000, holder = 1 WHERE key IN (SELECT key FROM conductor_tasks WHERE kind = 1 AND run = 1 \
    AND state = 0 AND due_at IS NULL AND sealed IS NULL AND coalesce(lost, 0) < 2 ORDER BY priority DESC, key LIMIT ?1)";
const COUNT: &str = "UPDATE conductor_runs SET pending = pending - ?1, running = running + ?1 - ?2, \
    succeeded = succeeded + ?2 WHERE key = 1";
