-- The version of a workflow that its files declared at the last load, with the instant since when.
ALTER TABLE definitions ADD COLUMN in_force_since INTEGER;
CREATE UNIQUE INDEX definitions_in_force ON definitions (workflow) WHERE in_force_since IS NOT NULL;
