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
