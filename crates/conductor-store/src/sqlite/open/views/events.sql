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
