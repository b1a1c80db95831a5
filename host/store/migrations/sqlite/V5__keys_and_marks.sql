-- Models that a key is for, as a JSON list of names; null = all of its tenant's.
ALTER TABLE api_keys ADD COLUMN models TEXT;
-- When it was last shown, to the minute; null = never.
ALTER TABLE api_keys ADD COLUMN last_used_at INTEGER;

-- What a call that is done once is found by.
ALTER TABLE audit ADD COLUMN once BLOB;
CREATE UNIQUE INDEX audit_once ON audit (once) WHERE once IS NOT NULL;
