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
