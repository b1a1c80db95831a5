-- Recordings of predictions, for tenants that want them: sealed, each under a key of the person whom it is about.

CREATE TABLE recording_policies (
    tenant  TEXT PRIMARY KEY NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    days    INTEGER NOT NULL CHECK (days BETWEEN 1 AND 3650)
) STRICT, WITHOUT ROWID;

CREATE TABLE subject_keys (
    tenant     TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    subject    BLOB NOT NULL CHECK (length(subject) = 32),  -- a keyed hash, never the name
    wrapped    BLOB NOT NULL,                -- the key, sealed under the host's
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE recordings (
    seq        INTEGER PRIMARY KEY,          -- the order in which they were added
    tenant     TEXT NOT NULL,
    subject    BLOB NOT NULL,
    request_id TEXT NOT NULL,
    at         INTEGER NOT NULL,
    model      TEXT NOT NULL,
    version    TEXT NOT NULL,
    digest     BLOB NOT NULL CHECK (length(digest) = 32),
    sealed     BLOB NOT NULL,                -- inputs and outputs
    -- What a key seals goes with it.
    FOREIGN KEY (tenant, subject) REFERENCES subject_keys (tenant, subject) ON DELETE CASCADE
) STRICT;

CREATE INDEX recordings_by_request ON recordings (tenant, request_id, seq);
CREATE INDEX recordings_by_subject ON recordings (tenant, subject, seq);
CREATE INDEX recordings_by_age ON recordings (tenant, at);
