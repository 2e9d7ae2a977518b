-- A run that was told to pause while a node is at work has a status of its own, and counts as active.
DROP INDEX runs_of_schedule;
CREATE INDEX runs_of_schedule ON runs (schedule_id, key)
  WHERE schedule_id IS NOT NULL AND status IN ('queued', 'running', 'waiting', 'pausing', 'paused', 'cancelling');
