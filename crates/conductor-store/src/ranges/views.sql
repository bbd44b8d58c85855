-- The views `runs`, `tasks` and `events`, which show the tables as those of the TypeScript version. Any program with SQLite
-- 3.40 or later can read them: they call no function of ours.
--
-- A view reads its rows from a subquery with cheap columns, and computes the others outside of it. So the columns that a
-- query does not ask for cost nothing, and a condition on `run_id` reaches each part of the subquery. CROSS JOIN keeps the
-- order of the tables: from the run to its blocks, to the keys of a block.

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

CREATE VIEW runs AS
SELECT
    r.id AS id,
    strftime('%Y-%m-%dT%H:%M:%fZ', r.created_at / 1000.0, 'unixepoch') AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', r.updated_at / 1000.0, 'unixepoch') AS updated_at,
    CASE r.state
        WHEN 0 THEN 'PENDING' WHEN 1 THEN 'RUNNING' WHEN 2 THEN 'SUCCEEDED' WHEN 3 THEN 'FAILED' WHEN 4 THEN 'CANCELLED'
    END AS state,
    s.meta AS meta
FROM conductor_runs r
LEFT JOIN conductor_submissions s ON s.run = r.key;

CREATE VIEW tasks AS
SELECT
    t.prefix || t.suffix AS id,
    t.run_id AS run_id,
    p.prefix || (SELECT n.suffix FROM conductor_offsets n WHERE n.n = p.low) AS parent_task_id,
    coalesce(
        CASE WHEN json_valid(b.names) THEN b.names ->> (t.task & 1023) END,
        CASE WHEN json_valid(p.names) THEN p.names ->> 0 END || '#' || (b.child_index + (t.task & 1023))
    ) AS name,
    CASE t.state
        WHEN 0 THEN 'PENDING' WHEN 1 THEN 'RUNNING' WHEN 2 THEN 'SUCCEEDED' WHEN 3 THEN 'FAILED' WHEN 4 THEN 'CANCELLED'
    END AS state,
    strftime('%Y-%m-%dT%H:%M:%fZ', b.created_at / 1000.0, 'unixepoch') AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', t.updated_at / 1000.0, 'unixepoch') AS updated_at,
    coalesce(
        -- The nearest row of inputs at or before the task has its input, or no row has it.
        (
            SELECT
                CASE
                    WHEN i.task + i.count > t.task AND json_valid(i.inputs) THEN i.inputs -> (t.task - i.task)
                END
            FROM conductor_inputs i
            WHERE i.task <= t.task
            ORDER BY i.task DESC
            LIMIT 1
        ),
        -- Three tasks inherit the input of the parent: a join, a child of a counted fan-out, and a child of an imported
        -- parent with the input `null`. The input of a parent has a row of its own.
        (
            SELECT
                CASE
                    WHEN json_valid(j.inputs) AND (
                        b.child_index = 0
                        OR json_type(j.inputs, '$[0].fanout') = 'integer'
                            AND json_extract(j.inputs, '$[0].fanout') BETWEEN 1 AND 10000000
                        OR json_type(j.inputs, '$[0]') = 'null' AND EXISTS (
                            SELECT 1 FROM conductor_events e
                            WHERE e.run = b.run AND e.name = 18 AND e.name NOT IN (9, 10)
                        )
                    ) THEN json_remove(j.inputs, '$[0].fanout') -> 0
                END
            FROM conductor_inputs j
            WHERE j.task = b.parent
        )
    ) AS input,
    coalesce(
        t.output,
        (SELECT o.output FROM conductor_outputs o WHERE o.task = t.task)
    ) AS output,
    t.retry_count AS retry_count,
    b.max_retries AS max_retries,
    (SELECT x.error FROM conductor_errors x WHERE x.task = t.task) AS last_error
FROM (
    SELECT
        r.id AS run_id,
        b.prefix AS prefix,
        n.suffix AS suffix,
        e.task AS task,
        e.state AS state,
        e.at AS updated_at,
        e.retry_count AS retry_count,
        e.output AS output
    FROM conductor_runs r
    CROSS JOIN conductor_blocks b ON b.run = r.key
    CROSS JOIN conductor_ended e ON e.task BETWEEN 1024 * b.block AND 1024 * b.block + 1023
    CROSS JOIN conductor_offsets n ON n.n = b.low + (e.task & 1023)
    UNION ALL
    -- Without `members`, a range has all offsets; with it, those whose bit is set: the lowest bit of a byte is the first.
    SELECT r.id, b.prefix, n.suffix, 1024 * b.block + n.n - b.low, g.state, g.since, g.retry_count, NULL
    FROM conductor_runs r
    CROSS JOIN conductor_blocks b ON b.run = r.key
    CROSS JOIN conductor_ranges g ON g.block = b.block
    CROSS JOIN conductor_offsets n ON n.n BETWEEN b.low + g.first AND b.low + g.last
    WHERE
        g.members IS NULL
        OR instr('0123456789ABCDEF', substr(
            hex(substr(g.members, 1 + (n.n - b.low) / 8, 1)), 2 - (n.n - b.low) / 4 % 2, 1
        )) - 1 >> (n.n - b.low) % 4 & 1
    UNION ALL
    SELECT r.id, b.prefix, n.suffix, t.task, t.state, t.updated_at, coalesce(t.retry_count, 0), t.output
    FROM conductor_runs r
    CROSS JOIN conductor_blocks b ON b.run = r.key AND b.is_parent = 1
    CROSS JOIN conductor_parents t ON t.task = 1024 * b.block
    CROSS JOIN conductor_offsets n ON n.n = b.low
) t
LEFT JOIN conductor_blocks b ON b.block = t.task >> 10
LEFT JOIN conductor_blocks p ON p.block = b.parent >> 10;

-- The id of an event is its number in 26 digits: a text that sorts in commit order and has the form of a ULID. An imported
-- event shows the same values as in the TypeScript version.
CREATE VIEW events AS
SELECT
    coalesce(
        CASE WHEN e.name = 20 AND json_valid(e.payload) THEN e.payload ->> '$.id' END,
        -- The place of an event is that of the first of its array, plus the counts of the pairs before, plus its place in
        -- its pair.
        printf('%026d', 1024 * e.key + CASE WHEN e.pairs IS NULL THEN 0 ELSE
            (e.pairs ->> 1) + e.offset - (e.pairs ->> e.pair)
            + (SELECT total(c.value) FROM json_each(e.pairs) c WHERE c.key BETWEEN 3 AND e.pair AND c.key % 2 = 1)
        END)
    ) AS id,
    e.run_id AS run_id,
    e.prefix || e.suffix AS task_id,
    coalesce(
        CASE WHEN e.name = 20 AND json_valid(e.payload) THEN e.payload ->> '$.name' END,
        CASE e.name
            WHEN 0 THEN 'run.created'
            WHEN 1 THEN 'run.sealed'
            WHEN 2 THEN 'run.started'
            WHEN 3 THEN 'run.aggregated'
            WHEN 4 THEN 'run.cancel_requested'
            WHEN 5 THEN 'run.reopened'
            WHEN 6 THEN 'task.created'
            WHEN 7 THEN 'task.fanned_out'
            WHEN 8 THEN 'task.sealed'
            WHEN 9 THEN 'task.started'
            WHEN 10 THEN 'task.succeeded'
            WHEN 11 THEN 'task.failed'
            WHEN 12 THEN 'task.retried'
            WHEN 13 THEN 'task.released'
            WHEN 14 THEN 'task.cancelled'
            WHEN 15 THEN 'task.revived'
            WHEN 16 THEN 'task.reopened'
            WHEN 17 THEN 'task.aggregated'
            WHEN 18 THEN 'run.adopted'
            WHEN 19 THEN 'task.adopted'
            WHEN 20 THEN 'original'
            WHEN 21 THEN 'run.swept'
            WHEN 22 THEN 'task.cancel_requested'
            WHEN 23 THEN 'task.swept'
        END
    ) AS name,
    strftime('%Y-%m-%dT%H:%M:%fZ', e.at / 1000.0, 'unixepoch') AS at,
    CASE
        WHEN e.name = 20 THEN CASE WHEN json_valid(e.payload) THEN json_extract(e.payload, '$.payload') END
        -- The index of a created root task grows with its place. All have one pair.
        WHEN e.name = 6 AND e.pairs IS NOT NULL AND json_valid(e.payload) THEN
            json_set(e.payload, '$.index', (e.payload ->> '$.index') + e.offset - (e.pairs ->> 2))
        ELSE e.payload
    END AS payload
FROM (
    SELECT
        r.id AS run_id,
        e.key AS key,
        e.name AS name,
        e.at AS at,
        e.payload AS payload,
        b.prefix AS prefix,
        n.suffix AS suffix,
        NULL AS pairs,
        0 AS pair,
        0 AS offset
    FROM conductor_runs r
    CROSS JOIN conductor_events e ON e.run = r.key AND e.tasks IS NULL
    LEFT JOIN conductor_blocks b ON b.block = e.task >> 10
    LEFT JOIN conductor_offsets n ON n.n = b.low + (e.task & 1023)
    UNION ALL
    SELECT r.id, e.key, e.name, e.at, e.payload, b.prefix, n.suffix, a.value, o.key, n.n - b.low
    FROM conductor_runs r
    CROSS JOIN conductor_events e ON e.run = r.key AND e.tasks IS NOT NULL
    CROSS JOIN json_each(CASE WHEN json_valid(e.tasks) THEN e.tasks END) a
    CROSS JOIN conductor_blocks b ON b.block = a.value ->> 0
    CROSS JOIN json_each(a.value) o ON o.key > 1 AND o.key % 2 = 0
    CROSS JOIN conductor_offsets n ON n.n BETWEEN b.low + o.value AND b.low + o.value + (a.value ->> (o.key + 1)) - 1
) e;
