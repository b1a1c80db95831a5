-- Versions that answer some of a model's calls (canary) or run copies of them (shadow), beside the active one; and what
-- was changed about that, by whom and why.

ALTER TABLE models ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;  -- how often its traffic was changed

CREATE TABLE traffic_roles (
    tenant  TEXT NOT NULL,
    model   TEXT NOT NULL,
    role    TEXT NOT NULL CHECK (role IN ('canary', 'shadow')),
    version TEXT NOT NULL,
    rules   TEXT CHECK ((rules IS NULL) = (role = 'shadow')),  -- JSON: which calls go there
    PRIMARY KEY (tenant, model, role),
    FOREIGN KEY (tenant, model) REFERENCES models (tenant, name) ON DELETE CASCADE,
    -- Checked at commit: a deleted tenant takes both along, in any order.
    FOREIGN KEY (tenant, model, version) REFERENCES versions (tenant, model, version) DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID;

CREATE TABLE traffic_changes (
    tenant   TEXT NOT NULL,
    model    TEXT NOT NULL,
    revision INTEGER NOT NULL,               -- of the model, after the change
    at       INTEGER NOT NULL,
    key      TEXT,                           -- whose change it is; null = the server's own
    reason   TEXT NOT NULL,
    before   TEXT NOT NULL,                  -- JSON
    after    TEXT NOT NULL,
    PRIMARY KEY (tenant, model, revision),
    FOREIGN KEY (tenant, model) REFERENCES models (tenant, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
