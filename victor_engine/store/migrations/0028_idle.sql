-- Microseconds between an end of a run and the command that continued it, which do not count as its duration.
ALTER TABLE runs ADD COLUMN idle INTEGER NOT NULL DEFAULT 0;
