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
