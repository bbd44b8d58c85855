-- Prune: whole settled runs are removed, in bounded transactions.

-- Runs that can be pruned, the longest ended first. Terminal alone is not enough: a run that was adopted may have open
-- tasks below something that had ended.
CREATE INDEX conductor_runs_ended ON conductor_runs (updated_at)
    WHERE state IN (2, 3, 4) AND pending = 0 AND running = 0;

-- Runs that are being removed, by the row key that they had. Their row of `conductor_runs` goes first, so that from then on
-- nobody finds them, and this one last.
CREATE TABLE conductor_pruned (
    run INTEGER PRIMARY KEY
) STRICT;
