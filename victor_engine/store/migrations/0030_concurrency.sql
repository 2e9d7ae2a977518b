-- The concurrency key of a run, from its first claim, and whether the run counts towards the limit of its key.
ALTER TABLE runs ADD COLUMN concurrency TEXT;
ALTER TABLE runs ADD COLUMN concurrency_held INTEGER NOT NULL DEFAULT 0;
CREATE INDEX runs_concurrency ON runs (workflow, concurrency) WHERE concurrency IS NOT NULL;
