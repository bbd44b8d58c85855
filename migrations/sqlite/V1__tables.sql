-- The tables of Origin Conductor.
--
-- Children of a fan-out share everything but their index, their id and their item, so they are stored together. A block is
-- up to 1,024 siblings. The key of a task is 1,024 times the number of its block, plus its offset in the block.
--
-- Each leaf is in exactly one place:
--   conductor_ranges: PENDING, RUNNING, FAILED with a retry, CANCELLED. A row is a set of leaves of one block in the same
--       condition.
--   conductor_ended: SUCCEEDED, FAILED without a retry. A row is one leaf.
-- A parent has a row of its own in conductor_parents, from the beginning to the end.
--
-- Columns that say "not used yet" are for interruptions, delays and attempts that linger. Nothing writes them.
--
-- Times are milliseconds since 1970 in UTC. States: 0 PENDING, 1 RUNNING, 2 SUCCEEDED, 3 FAILED, 4 CANCELLED. Ids are ULIDs.

CREATE TABLE conductor_kinds (
    key  INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE conductor_runs (
    key                INTEGER PRIMARY KEY AUTOINCREMENT,
    id                 TEXT    NOT NULL UNIQUE CHECK (length(id) = 26),
    state              INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    -- A run is the parent of its root tasks, with the same counts as any other.
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
    cancelled          INTEGER NOT NULL CHECK (cancelled >= 0),
    -- How failures of its children count: JSON. NULL for the default.
    policy             TEXT,
    -- 1 a person cancelled it, 2 its deadline passed, 3 a child failed and the policy fails fast, 4 something above it was
    -- cancelled.
    cancel_cause       INTEGER CHECK (cancel_cause BETWEEN 1 AND 4),
    -- Up to which index its children were cancelled.
    swept              INTEGER CHECK (swept >= 0),
    -- NULL without a join, 1 while it is open, 0 before and after.
    join_open          INTEGER CHECK (join_open IN (0, 1)),
    deadline           INTEGER,
    -- Not used yet: the length of a deadline that was given as a delay.
    deadline_ms        INTEGER CHECK (deadline_ms >= 0),
    -- What it needs next: 3 its decision, 4 a sweep.
    next_step          INTEGER GENERATED ALWAYS AS (
        CASE
            WHEN state > 1 THEN NULL
            WHEN cancel_cause IS NOT NULL
                AND (join_open = 1 OR (open_children > 0 AND coalesce(swept, 0) < children)) THEN 4
            WHEN join_open = 1 THEN NULL
            WHEN cancel_cause IS NOT NULL THEN CASE WHEN open_children = 0 THEN 3 END
            WHEN sealed = 1 AND children = fanout AND open_children = 0 THEN 3
        END
    ) VIRTUAL
) STRICT;

CREATE INDEX conductor_runs_open ON conductor_runs (state, created_at) WHERE state IN (0, 1);
CREATE INDEX conductor_runs_next_step ON conductor_runs (next_step) WHERE next_step IS NOT NULL;
CREATE INDEX conductor_runs_deadline ON conductor_runs (deadline)
    WHERE deadline IS NOT NULL AND cancel_cause IS NULL AND state IN (0, 1);
-- Runs that can be pruned. A terminal state is not enough: an imported run may have open tasks.
CREATE INDEX conductor_runs_settled ON conductor_runs (updated_at)
    WHERE state IN (2, 3, 4) AND pending = 0 AND running = 0;

-- What the submitter said of a run, apart from the row that each transaction writes.
CREATE TABLE conductor_submissions (
    run             INTEGER PRIMARY KEY,
    meta            TEXT,
    idempotency_key TEXT UNIQUE,
    payload_version INTEGER,
    payload_hash    BLOB
) STRICT;

-- Up to 1,024 siblings with consecutive ids and indices and the same options; or one parent; or one join.
CREATE TABLE conductor_blocks (
    block       INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The id of the task at offset 0: its first 24 characters, and the number that its last two stand for.
    prefix      TEXT    NOT NULL CHECK (length(prefix) = 24),
    low         INTEGER NOT NULL CHECK (low BETWEEN 0 AND 1023),
    count       INTEGER NOT NULL CHECK (count >= 1 AND low + count <= 1024),
    run         INTEGER NOT NULL,
    -- The key of the parent; 0 for root tasks.
    parent      INTEGER NOT NULL,
    -- The index of the task at offset 0; 0 for a join.
    child_index INTEGER NOT NULL CHECK (child_index >= 0),
    -- Whether its only task is a parent.
    is_parent   INTEGER NOT NULL CHECK (is_parent IN (0, 1) AND (is_parent = 0 OR count = 1)),
    kind        INTEGER NOT NULL,
    priority    INTEGER NOT NULL,
    max_retries INTEGER NOT NULL CHECK (max_retries BETWEEN 0 AND 1000),
    -- Not used yet: how often the tasks may be interrupted.
    max_interruptions INTEGER CHECK (max_interruptions BETWEEN 0 AND 1000),
    timeout_ms  INTEGER CHECK (timeout_ms BETWEEN 1 AND 604800000),
    created_at  INTEGER NOT NULL,
    -- 0 if no task has an input of its own.
    has_inputs  INTEGER NOT NULL CHECK (has_inputs IN (0, 1)),
    backoff     TEXT,
    -- The names: a JSON array. NULL if each is that of the parent, `#` and the index.
    names       TEXT
) STRICT;

CREATE UNIQUE INDEX conductor_blocks_id ON conductor_blocks (prefix, low);
CREATE UNIQUE INDEX conductor_blocks_position ON conductor_blocks (run, parent, child_index);

CREATE TABLE conductor_parents (
    task               INTEGER PRIMARY KEY,
    run                INTEGER NOT NULL,
    state              INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),
    updated_at         INTEGER NOT NULL,
    -- Before when it must not start.
    due_at             INTEGER CHECK (due_at IS NULL OR state = 0),
    -- Not used yet: the length of a start that was given as a delay.
    delay_ms           INTEGER CHECK (delay_ms >= 0),
    sealed             INTEGER NOT NULL CHECK (sealed IN (0, 1)),
    fanout             INTEGER CHECK (fanout BETWEEN 0 AND 10000000),
    children           INTEGER NOT NULL CHECK (children >= 0),
    open_children      INTEGER NOT NULL CHECK (open_children >= 0),
    failed_children    INTEGER NOT NULL CHECK (failed_children >= 0),
    cancelled_children INTEGER NOT NULL CHECK (cancelled_children >= 0),
    policy             TEXT,
    cancel_cause       INTEGER CHECK (cancel_cause BETWEEN 1 AND 4),
    swept              INTEGER CHECK (swept >= 0),
    join_open          INTEGER CHECK (join_open IN (0, 1)),
    -- What it needs next: 1 children, 2 an append or its seal, 3 its decision, 4 a sweep.
    next_step          INTEGER GENERATED ALWAYS AS (
        CASE
            WHEN state > 1 OR (due_at IS NOT NULL AND cancel_cause IS NULL) THEN NULL
            WHEN cancel_cause IS NOT NULL
                AND (join_open = 1 OR (open_children > 0 AND coalesce(swept, 0) < children)) THEN 4
            WHEN join_open = 1 THEN NULL
            WHEN cancel_cause IS NOT NULL THEN CASE WHEN open_children = 0 THEN 3 END
            WHEN sealed = 0 THEN 2
            WHEN children < fanout THEN 1
            WHEN open_children = 0 THEN 3
        END
    ) VIRTUAL,
    output             TEXT,
    -- How often an imported parent was retried; NULL for never, and for all others.
    retry_count        INTEGER CHECK (retry_count BETWEEN 1 AND 2000000000)
) STRICT;

CREATE INDEX conductor_parents_next_step ON conductor_parents (next_step, run) WHERE next_step IS NOT NULL;
CREATE INDEX conductor_parents_due ON conductor_parents (due_at, run) WHERE due_at IS NOT NULL;
CREATE INDEX conductor_parents_retried ON conductor_parents (run) WHERE retry_count IS NOT NULL;

CREATE TABLE conductor_ranges (
    key          INTEGER PRIMARY KEY,
    block        INTEGER NOT NULL,
    -- The smallest and the largest offset.
    first        INTEGER NOT NULL,
    last         INTEGER NOT NULL CHECK (first >= 0 AND first <= last AND last < 1024),
    -- One bit for each offset from 0 on, the lowest bit of a byte first. NULL for all from `first` to `last`.
    members      BLOB,
    state        INTEGER NOT NULL CHECK (state IN (0, 1, 3, 4)),
    -- FAILED: when the retry is due. PENDING: before when it must not start.
    due_at       INTEGER CHECK (CASE state WHEN 3 THEN due_at IS NOT NULL WHEN 0 THEN 1 ELSE due_at IS NULL END),
    attempt      INTEGER NOT NULL CHECK (attempt BETWEEN 0 AND 2000000000),
    retry_count  INTEGER NOT NULL CHECK (retry_count BETWEEN 0 AND 2000000000),
    -- Leases lost in a row: NULL none, 1 one, 2 so many that the task runs alone.
    lease_losses INTEGER CHECK (lease_losses BETWEEN 1 AND 2),
    -- RUNNING: who claimed it, and until when; NULL if a caller outside reported it.
    engine       INTEGER,
    lease_until  INTEGER,
    -- Not used yet: how often the tasks were interrupted; the length of the delay that ends at `due_at`; which of the members
    -- that are claimed have begun, as bits like `members`.
    interruptions INTEGER CHECK (interruptions >= 1),
    delay_ms     INTEGER CHECK (delay_ms >= 0),
    begun        BLOB,
    -- When it last changed.
    since        INTEGER NOT NULL,
    -- Copies from the block. A claim fails the leaves of a block with another run, parent or kind.
    run          INTEGER NOT NULL,
    parent       INTEGER NOT NULL,
    kind         INTEGER NOT NULL,
    priority     INTEGER NOT NULL
) STRICT;

CREATE INDEX conductor_ranges_block ON conductor_ranges (block, state, due_at);
CREATE INDEX conductor_ranges_ready ON conductor_ranges (kind, run, priority DESC, block)
    WHERE state = 0 AND due_at IS NULL AND coalesce(lease_losses, 0) < 2;
CREATE INDEX conductor_ranges_isolated ON conductor_ranges (kind, run, priority DESC, block)
    WHERE state = 0 AND due_at IS NULL AND lease_losses = 2;
CREATE INDEX conductor_ranges_running ON conductor_ranges (lease_until, since) WHERE state = 1;
CREATE INDEX conductor_ranges_due ON conductor_ranges (state, due_at, run) WHERE due_at IS NOT NULL;
CREATE INDEX conductor_ranges_retried ON conductor_ranges (run) WHERE retry_count > 0;
CREATE INDEX conductor_ranges_due_of_run ON conductor_ranges (run) WHERE due_at IS NOT NULL;

CREATE TABLE conductor_ended (
    task         INTEGER PRIMARY KEY,
    at           INTEGER NOT NULL,
    state        INTEGER NOT NULL CHECK (state IN (2, 3)),
    attempt      INTEGER NOT NULL CHECK (attempt BETWEEN 0 AND 2000000000),
    retry_count  INTEGER NOT NULL CHECK (retry_count BETWEEN 0 AND 2000000000),
    lease_losses INTEGER CHECK (lease_losses BETWEEN 1 AND 2),
    -- Not used yet: how often it was interrupted, and when its last attempt began.
    interruptions INTEGER CHECK (interruptions >= 1),
    began_at     INTEGER,
    -- Up to 100 bytes of JSON; a longer output has a row in conductor_outputs.
    output       TEXT
) STRICT;

CREATE INDEX conductor_ended_failed ON conductor_ended (task) WHERE state = 3;
CREATE INDEX conductor_ended_retried ON conductor_ended (task, retry_count, state) WHERE retry_count > 0;

-- Outputs that are longer. An imported leaf may have one in any state.
CREATE TABLE conductor_outputs (
    task   INTEGER PRIMARY KEY,
    output TEXT NOT NULL
) STRICT;

-- The last error of a task, in whatever state it is.
CREATE TABLE conductor_errors (
    task  INTEGER PRIMARY KEY,
    error TEXT NOT NULL
) STRICT;

-- The inputs of tasks with consecutive keys. A task without an input of its own is in none.
CREATE TABLE conductor_inputs (
    -- The key of the first task.
    task   INTEGER PRIMARY KEY,
    count  INTEGER NOT NULL CHECK (count BETWEEN 1 AND 1024),
    -- A JSON array.
    inputs TEXT NOT NULL
) STRICT;

-- Append-only, in commit order. A row is one event of a run or a parent, or the same event of up to 1,024 leaves. The number
-- of an event is 1,024 times the key, plus its place in the row.
CREATE TABLE conductor_events (
    key     INTEGER PRIMARY KEY AUTOINCREMENT,
    run     INTEGER NOT NULL,
    -- The names are numbered in the code that writes them.
    name    INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    count   INTEGER NOT NULL CHECK (count BETWEEN 1 AND 1024),
    -- The task of one event; NULL for an event of the run, and where `tasks` has the leaves.
    task    INTEGER,
    -- The leaves of more events: a JSON array of arrays. Each has the number of a block, the place of its first event in the
    -- row, and up to 32 pairs: an offset, and how many leaves there are from there on. A block with more pairs has more
    -- arrays. Their places spare readers in plain SQL the sum of all counts before.
    tasks   TEXT,
    payload TEXT
) STRICT;

CREATE INDEX conductor_events_run ON conductor_events (run);
-- Without the starts (9) and successes (10) of tasks, the events are few.
CREATE INDEX conductor_events_name ON conductor_events (run, name) WHERE name NOT IN (9, 10);

CREATE TABLE conductor_engines (
    key        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    started_at INTEGER NOT NULL,
    -- What it handles: JSON.
    handles    TEXT
) STRICT;

-- The joins that parents (by their key) and runs (0) will have, or have.
CREATE TABLE conductor_joins (
    run         INTEGER NOT NULL,
    parent      INTEGER NOT NULL,
    id          TEXT    NOT NULL UNIQUE CHECK (length(id) = 26),
    kind        INTEGER NOT NULL,
    max_retries INTEGER NOT NULL CHECK (max_retries BETWEEN 0 AND 1000),
    backoff     TEXT,
    timeout_ms  INTEGER CHECK (timeout_ms BETWEEN 1 AND 604800000),
    PRIMARY KEY (run, parent)
) STRICT;

-- Not used yet: attempts that are over while their handlers still run.
CREATE TABLE conductor_lingering (
    task    INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    engine  INTEGER NOT NULL,
    since   INTEGER NOT NULL,
    PRIMARY KEY (task, attempt)
) STRICT, WITHOUT ROWID;

-- What the handlers of running tasks report. It is no event.
CREATE TABLE conductor_progress (
    run     INTEGER NOT NULL,
    task    INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    done    INTEGER NOT NULL CHECK (done >= 0),
    total   INTEGER CHECK (total >= 0),
    message TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (run, task)
) STRICT, WITHOUT ROWID;

-- Runs that are being removed. Their row of conductor_runs goes first, and this one last.
CREATE TABLE conductor_prune_queue (
    run INTEGER PRIMARY KEY
) STRICT;

-- The numbers of the tasks with the same first 24 characters of their ids, and the last two characters: 1,024 is 32 times 32.
CREATE TABLE conductor_offsets (
    n      INTEGER PRIMARY KEY,
    suffix TEXT NOT NULL
) STRICT;

INSERT INTO conductor_offsets (n, suffix)
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1023)
SELECT
    n,
    substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', 1 + n / 32, 1) || substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', 1 + n % 32, 1)
FROM numbers;
