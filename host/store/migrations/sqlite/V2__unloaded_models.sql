-- A model that its owner has unloaded answers no calls until it is loaded again.

ALTER TABLE models ADD COLUMN unloaded INTEGER NOT NULL DEFAULT 0 CHECK (unloaded IN (0, 1));
