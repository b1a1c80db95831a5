-- Checkpoints of the audit log.

-- Added and never changed, as the rows that they are over.
CREATE TABLE checkpoints (
    size INTEGER PRIMARY KEY CHECK (size > 0),   -- rows that it is over
    at   INTEGER NOT NULL,
    edge BLOB NOT NULL,                          -- hashes of the tree's right edge, from where the next one goes on
    note TEXT NOT NULL                           -- signed
) STRICT;

CREATE TRIGGER checkpoints_are_not_changed BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;

CREATE TRIGGER checkpoints_are_not_deleted BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;
