-- Claims: who holds a running leaf, how long an attempt may take, and which tasks are run alone because leases were
-- lost over them.

-- The engines that registered, until they are found to be gone. Whether one lives is not said here: it holds a lock on
-- a file of its own beside the database.
CREATE TABLE conductor_engines (
    key        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    started_at INTEGER NOT NULL
) STRICT;

-- The engine whose claim holds the task; NULL when no claim does.
ALTER TABLE conductor_tasks ADD COLUMN holder INTEGER;
-- How long an attempt may take, in milliseconds; NULL without a limit.
ALTER TABLE conductor_tasks ADD COLUMN timeout_ms INTEGER CHECK (timeout_ms BETWEEN 1 AND 604800000);
-- Leases lost in a row: NULL none, 1 one, 2 so many that the task is run alone.
ALTER TABLE conductor_tasks ADD COLUMN lost INTEGER CHECK (lost BETWEEN 1 AND 2);

-- Whether a run has something that waits for its time.
CREATE INDEX conductor_tasks_due_of_run ON conductor_tasks (run) WHERE due_at IS NOT NULL;
-- Ready leaves, in the order of claims; and, apart, those that are run alone.
DROP INDEX conductor_tasks_ready;
CREATE INDEX conductor_tasks_ready ON conductor_tasks (kind, run, priority DESC, key)
    WHERE state = 0 AND due_at IS NULL AND sealed IS NULL AND coalesce(lost, 0) < 2;
CREATE INDEX conductor_tasks_alone ON conductor_tasks (kind, run, priority DESC, key)
    WHERE state = 0 AND due_at IS NULL AND sealed IS NULL AND lost = 2;
