-- The audit log, usage by day, credits, and what tenants and keys may use.

-- Rows are added and never changed: not even this program can, without taking the triggers away. They outlive the
-- tenants they tell of.
CREATE TABLE audit (
    seq        INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,             -- never before that of the row before
    tenant     TEXT,                         -- null = the host's
    actor      TEXT NOT NULL,
    act        TEXT NOT NULL,
    object     TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    request_id TEXT,
    origin     TEXT,                         -- a keyed hash of an address
    detail     TEXT NOT NULL,                -- JSON
    hash       BLOB NOT NULL CHECK (length(hash) = 32)  -- keyed, over this row and the hash before
) STRICT;

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

CREATE INDEX audit_by_tenant ON audit (tenant, seq);
-- Predictions are nearly all rows: what is looked for is found beside them.
CREATE INDEX audit_by_act ON audit (act, seq) WHERE act <> 'predict';

CREATE TABLE usage (
    tenant      TEXT NOT NULL,
    day         INTEGER NOT NULL,            -- since 1970-01-01 UTC
    actor       TEXT NOT NULL,
    model       TEXT NOT NULL,
    version     TEXT NOT NULL,
    calls       INTEGER NOT NULL,
    predictions INTEGER NOT NULL,
    cached      INTEGER NOT NULL,
    failed      INTEGER NOT NULL,
    compute_us  INTEGER NOT NULL,
    credits     INTEGER NOT NULL,            -- millionths
    PRIMARY KEY (tenant, day, actor, model, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    tenant  TEXT PRIMARY KEY NOT NULL,       -- also a deleted one: what was paid stays known
    granted INTEGER NOT NULL,                -- millionths of credits
    spent   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tenant_limits (
    tenant TEXT PRIMARY KEY NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    limits TEXT NOT NULL                     -- JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE key_limits (
    key    TEXT PRIMARY KEY NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    limits TEXT NOT NULL                     -- JSON
) STRICT, WITHOUT ROWID;
