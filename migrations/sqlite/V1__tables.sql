-- The tables of Origin Conductor. The layout is lean on purpose: states, kinds and times are integers, a child's
-- name is derived, ids stand under one unique index, and wide JSON lives beside the rows that change.
-- ARCHITECTURE.md, "The physical layout", has the measurements and the reasons.
--
-- Times are milliseconds since 1970 in UTC. States: 0 PENDING, 1 RUNNING, 2 SUCCEEDED, 3 FAILED, 4 CANCELLED.

CREATE TABLE conductor_kinds (
    key  INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE conductor_runs (
    key                INTEGER PRIMARY KEY AUTOINCREMENT,
    id                 BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    state              INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    -- A run is the parent of its root tasks, with the same numbers as any other.
    sealed             INTEGER NOT NULL CHECK (sealed IN (0, 1)),
    fanout             INTEGER CHECK ((sealed = 1) = (fanout IS NOT NULL) AND fanout >= 0),
    children           INTEGER NOT NULL CHECK (children >= 0),
    open_children      INTEGER NOT NULL CHECK (open_children >= 0),
    failed_children    INTEGER NOT NULL CHECK (failed_children >= 0),
    cancelled_children INTEGER NOT NULL CHECK (cancelled_children >= 0),
    -- How many of all its tasks are in each state.
    pending            INTEGER NOT NULL CHECK (pending >= 0),
    running            INTEGER NOT NULL CHECK (running >= 0),
    succeeded          INTEGER NOT NULL CHECK (succeeded >= 0),
    failed             INTEGER NOT NULL CHECK (failed >= 0),
    cancelled          INTEGER NOT NULL CHECK (cancelled >= 0)
) STRICT;

-- Runs that are not settled: few, however many there have been.
CREATE INDEX conductor_runs_open ON conductor_runs (state, created_at) WHERE state IN (0, 1);
CREATE INDEX conductor_runs_to_decide ON conductor_runs (key)
    WHERE sealed = 1 AND children = fanout AND open_children = 0 AND state IN (0, 1);

-- What the submitter said of a run: apart from the row that each transaction rewrites.
CREATE TABLE conductor_submissions (
    run             INTEGER PRIMARY KEY REFERENCES conductor_runs (key),
    meta            TEXT,
    idempotency_key TEXT UNIQUE,
    payload_version INTEGER,
    payload_hash    BLOB
) STRICT;

CREATE TABLE conductor_tasks (
    key                INTEGER PRIMARY KEY AUTOINCREMENT,
    id                 BLOB    NOT NULL CHECK (length(id) = 16),
    run                INTEGER NOT NULL,
    -- 0 for a root task.
    parent             INTEGER NOT NULL,
    -- The child's index, from 1.
    ordinal            INTEGER NOT NULL,
    state              INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),
    kind               INTEGER NOT NULL,
    priority           INTEGER NOT NULL,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    -- FAILED: when the retry is due. PENDING: before when it must not start.
    due_at             INTEGER CHECK (due_at IS NULL OR state IN (0, 3)),
    -- Counts starts, and is the fence of a claim.
    attempt            INTEGER NOT NULL CHECK (attempt BETWEEN 0 AND 2000000000),
    retry_count        INTEGER NOT NULL CHECK (retry_count BETWEEN 0 AND 2000000000),
    max_retries        INTEGER NOT NULL CHECK (max_retries BETWEEN 0 AND 1000),
    -- Until when a claim holds it; NULL on a RUNNING leaf that is held from outside.
    lease_until        INTEGER,
    -- The numbers of a parent; NULL on a leaf, `fanout` also while the fan-out is open.
    sealed             INTEGER,
    fanout             INTEGER CHECK (fanout BETWEEN 0 AND 10000000),
    children           INTEGER CHECK (children >= 0),
    open_children      INTEGER CHECK (open_children >= 0),
    failed_children    INTEGER CHECK (failed_children >= 0),
    cancelled_children INTEGER CHECK (cancelled_children >= 0),
    -- What a parent that is not settled wants of the steps: 1 children, 2 an append or its seal, 3 its decision. NULL
    -- when it wants nothing of them: it waits for its children or for its time, or is settled; NULL on a leaf.
    wants              INTEGER GENERATED ALWAYS AS (
        CASE
            WHEN sealed IS NULL OR state > 1 OR due_at IS NOT NULL THEN NULL
            WHEN sealed = 0 THEN 2
            WHEN children < fanout THEN 1
            WHEN open_children = 0 THEN 3
        END
    ) VIRTUAL,
    -- NULL on a leaf below a parent: the parent's name, `#` and the ordinal.
    name               TEXT CHECK (length(name) > 0),
    backoff            TEXT,
    last_error         TEXT,
    output             TEXT
) STRICT;

CREATE UNIQUE INDEX conductor_tasks_id ON conductor_tasks (id);
-- Idempotency as a constraint; also the order in which the tasks of a run and the children of a parent are read.
CREATE UNIQUE INDEX conductor_tasks_place ON conductor_tasks (run, parent, ordinal);
-- Ready leaves, in the order of claims.
CREATE INDEX conductor_tasks_ready ON conductor_tasks (kind, run, priority DESC, key)
    WHERE state = 0 AND due_at IS NULL AND sealed IS NULL;
-- Running leaves: held from outside (NULL first), then by the end of their lease.
CREATE INDEX conductor_tasks_running ON conductor_tasks (lease_until, updated_at)
    WHERE state = 1 AND sealed IS NULL;
-- What must be looked at again, by its time: delayed starts (state 0) and retries (state 3); before these, without a
-- time, what failed for good.
CREATE INDEX conductor_tasks_due ON conductor_tasks (state, due_at, run) WHERE due_at IS NOT NULL OR state = 3;
-- Parents that a step has something to do for.
CREATE INDEX conductor_tasks_wants ON conductor_tasks (wants, run) WHERE wants IS NOT NULL;
-- Leaves that were retried: few, and counted by monitoring.
CREATE INDEX conductor_tasks_retried ON conductor_tasks (run, retry_count) WHERE retry_count > 0;

-- What a task works on. A child of a counted fan-out has no row: it gets its parent's, without the key `fanout`.
CREATE TABLE conductor_inputs (
    task  INTEGER PRIMARY KEY,
    input TEXT NOT NULL
) STRICT;

-- Append-only, in commit order. The names of the events are numbered in the code that writes them.
CREATE TABLE conductor_events (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    run     INTEGER NOT NULL,
    task    INTEGER,
    name    INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    payload TEXT
) STRICT;

CREATE INDEX conductor_events_run ON conductor_events (run);
-- Everything but the starts (9) and successes (10) of tasks: few, and counted and looked up by name.
CREATE INDEX conductor_events_name ON conductor_events (run, name) WHERE name NOT IN (9, 10);
