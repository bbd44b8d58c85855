-- Marks (a cancel, a deadline, a policy that fails fast), policies, joins, and what running tasks say of their progress.

ALTER TABLE conductor_tasks ADD COLUMN policy TEXT;
-- Why a parent was marked: 1 a person cancelled it, 2 the run's deadline passed, 3 a child failed and the policy fails
-- fast, 4 something above it was marked.
ALTER TABLE conductor_tasks ADD COLUMN mark INTEGER CHECK (mark BETWEEN 1 AND 4);
-- Up to which ordinal the children of a marked parent were swept.
ALTER TABLE conductor_tasks ADD COLUMN swept INTEGER CHECK (swept >= 0);
-- NULL without a join, 1 while it is open, 0 before and after.
ALTER TABLE conductor_tasks ADD COLUMN joining INTEGER CHECK (joining IN (0, 1));

ALTER TABLE conductor_runs ADD COLUMN policy TEXT;
ALTER TABLE conductor_runs ADD COLUMN mark INTEGER CHECK (mark BETWEEN 1 AND 4);
ALTER TABLE conductor_runs ADD COLUMN swept INTEGER CHECK (swept >= 0);
ALTER TABLE conductor_runs ADD COLUMN joining INTEGER CHECK (joining IN (0, 1));
-- When what is open of the run is cancelled.
ALTER TABLE conductor_runs ADD COLUMN deadline INTEGER;
CREATE INDEX conductor_runs_deadline ON conductor_runs (deadline)
    WHERE deadline IS NOT NULL AND mark IS NULL AND state IN (0, 1);

-- What a parent that is not settled wants of the steps: 1 children, 2 an append or its seal, 3 its decision, 4 a sweep. NULL
-- when it wants nothing of them: it waits for its children, its join or its time, or is settled; NULL on a leaf.
DROP INDEX conductor_tasks_wants;
ALTER TABLE conductor_tasks DROP COLUMN wants;
ALTER TABLE conductor_tasks ADD COLUMN wants INTEGER GENERATED ALWAYS AS (
    CASE
        WHEN sealed IS NULL OR state > 1 OR (due_at IS NOT NULL AND mark IS NULL) THEN NULL
        WHEN mark IS NOT NULL AND (joining = 1 OR (open_children > 0 AND coalesce(swept, 0) < children)) THEN 4
        WHEN joining = 1 THEN NULL
        WHEN mark IS NOT NULL THEN CASE WHEN open_children = 0 THEN 3 END
        WHEN sealed = 0 THEN 2
        WHEN children < fanout THEN 1
        WHEN open_children = 0 THEN 3
    END
) VIRTUAL;
CREATE INDEX conductor_tasks_wants ON conductor_tasks (wants, run) WHERE wants IS NOT NULL;

-- The same of a run, which wants no children of the steps.
DROP INDEX conductor_runs_to_decide;
ALTER TABLE conductor_runs ADD COLUMN wants INTEGER GENERATED ALWAYS AS (
    CASE
        WHEN state > 1 THEN NULL
        WHEN mark IS NOT NULL AND (joining = 1 OR (open_children > 0 AND coalesce(swept, 0) < children)) THEN 4
        WHEN joining = 1 THEN NULL
        WHEN mark IS NOT NULL THEN CASE WHEN open_children = 0 THEN 3 END
        WHEN sealed = 1 AND children = fanout AND open_children = 0 THEN 3
    END
) VIRTUAL;
CREATE INDEX conductor_runs_wants ON conductor_runs (wants) WHERE wants IS NOT NULL;

-- The joins that parents (by their key) and runs (0) will have, or have. A join's task has ordinal 0.
CREATE TABLE conductor_joins (
    run         INTEGER NOT NULL,
    task        INTEGER NOT NULL,
    id          BLOB    NOT NULL CHECK (length(id) = 16),
    kind        INTEGER NOT NULL,
    max_retries INTEGER NOT NULL CHECK (max_retries BETWEEN 0 AND 1000),
    backoff     TEXT,
    timeout_ms  INTEGER CHECK (timeout_ms BETWEEN 1 AND 604800000),
    PRIMARY KEY (run, task)
) STRICT;
-- A task that chooses its id may not take that of a join to come.
CREATE UNIQUE INDEX conductor_joins_id ON conductor_joins (id);

-- What an engine handles, as JSON: so that a reader can say why something is not claimed.
ALTER TABLE conductor_engines ADD COLUMN handles TEXT;

-- How far the handlers of running tasks say that they have come: the newest word of each, and no event. A row of an attempt
-- that is over means nothing, and goes with the next ones that are written.
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
