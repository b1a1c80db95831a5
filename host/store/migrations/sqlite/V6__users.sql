-- Users, who log in with a password, and their sessions.

CREATE TABLE users (
    seq         INTEGER PRIMARY KEY,         -- the order in which they were added
    id          TEXT NOT NULL UNIQUE,
    name        TEXT NOT NULL UNIQUE,        -- on the whole host: it is all that a login begins with
    tenant      TEXT REFERENCES tenants (id) ON DELETE CASCADE,  -- null = an operator
    roles       TEXT NOT NULL,               -- names, separated by commas
    password    TEXT NOT NULL,               -- a PHC string of argon2id, never the password
    created_at  INTEGER NOT NULL,
    password_at INTEGER NOT NULL,            -- when the password was set
    disabled_at INTEGER                      -- null = it may log in
) STRICT;

CREATE INDEX users_by_tenant ON users (tenant, seq);

CREATE TABLE sessions (
    seq      INTEGER PRIMARY KEY,            -- the order in which they began
    hash     BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),  -- HMAC-SHA256, never the secret
    csrf     BLOB NOT NULL CHECK (length(csrf) = 32),         -- the same of the second secret
    user     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    begun_at INTEGER NOT NULL,
    used_at  INTEGER NOT NULL,               -- to the minute
    ends_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_by_user ON sessions (user, seq);
