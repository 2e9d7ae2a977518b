-- The id that the moves of one command have in common, so that they can be undone together.
ALTER TABLE run_migrations ADD COLUMN batch TEXT;
CREATE INDEX run_migrations_batch ON run_migrations (batch) WHERE batch IS NOT NULL;
