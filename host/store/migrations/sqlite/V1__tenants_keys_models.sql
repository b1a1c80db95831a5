-- Tenants, API keys, models and their versions.
--
-- Names of tenants and of versions are never given twice. So each has a table of taken names that only grows, beside
-- the table of what lives now; the foreign keys between the two make that a rule of the database.

CREATE TABLE tenant_names (
    name       TEXT PRIMARY KEY NOT NULL,
    retired_at INTEGER                       -- ms since 1970; null = in use
) STRICT, WITHOUT ROWID;

CREATE TABLE tenants (
    id         TEXT PRIMARY KEY NOT NULL REFERENCES tenant_names (name),
    created_at INTEGER NOT NULL              -- ms since 1970, as every time here
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    seq        INTEGER PRIMARY KEY,          -- the order in which they were added
    id         TEXT NOT NULL UNIQUE,
    tenant     TEXT REFERENCES tenants (id) ON DELETE CASCADE,  -- null = an operator's
    hash       BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),  -- HMAC-SHA256, never the key
    label      TEXT NOT NULL,
    scopes     TEXT NOT NULL,                -- names, separated by commas
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE INDEX api_keys_by_tenant ON api_keys (tenant, seq);

CREATE TABLE models (
    tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name   TEXT NOT NULL,
    active TEXT,                             -- the version that answers where none is named
    PRIMARY KEY (tenant, name),
    -- Checked at commit: a model and its first version arrive together.
    FOREIGN KEY (tenant, name, active) REFERENCES versions (tenant, model, version) DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID;

CREATE TABLE version_names (
    tenant     TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    model      TEXT NOT NULL,
    version    TEXT NOT NULL,
    retired_at INTEGER,                      -- null = in use
    PRIMARY KEY (tenant, model, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE versions (
    seq         INTEGER PRIMARY KEY,         -- the order in which they were added
    tenant      TEXT NOT NULL,
    model       TEXT NOT NULL,
    version     TEXT NOT NULL,
    digest      BLOB NOT NULL CHECK (length(digest) = 32),
    plugin      BLOB NOT NULL CHECK (length(plugin) = 32),
    artifact    BLOB CHECK (length(artifact) = 32),
    settings    TEXT NOT NULL,               -- canonical JSON, for the plugin
    isolation   TEXT NOT NULL CHECK (isolation IN ('fresh', 'reuse')),
    deadline_ms INTEGER NOT NULL,
    memory_mib  INTEGER NOT NULL,
    max_rows    INTEGER NOT NULL,
    cache       INTEGER NOT NULL CHECK (cache IN (0, 1)),
    signature   TEXT NOT NULL,               -- JSON
    bytes       INTEGER NOT NULL,            -- of plugin and artifact
    created_at  INTEGER NOT NULL,
    UNIQUE (tenant, model, version),
    FOREIGN KEY (tenant, model) REFERENCES models (tenant, name) ON DELETE CASCADE,
    FOREIGN KEY (tenant, model, version) REFERENCES version_names (tenant, model, version)
) STRICT;

-- One row, written and read back by health checks.
CREATE TABLE probe (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    count INTEGER NOT NULL
) STRICT;

INSERT INTO probe (id, count) VALUES (1, 0);
