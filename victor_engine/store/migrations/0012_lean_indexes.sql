-- An index of a table ends with the table's key by itself: naming it again stored it twice.
DROP INDEX attempts_run;
CREATE INDEX attempts_run ON attempts (run_key);
DROP INDEX attempts_live;
CREATE INDEX attempts_live ON attempts (run_key)
  WHERE status = 'running' OR status = 'waiting' OR status = 'retrying';
DROP INDEX events_run;
CREATE INDEX events_run ON events (run_key) WHERE run_key IS NOT NULL;
DROP INDEX events_schedule;
CREATE INDEX events_schedule ON events (schedule_id) WHERE schedule_id IS NOT NULL;
DROP INDEX events_request;
CREATE INDEX events_request ON events (request_id) WHERE request_id IS NOT NULL;
DROP INDEX events_time;
CREATE INDEX events_time ON events (at) WHERE node_id IS NULL;
DROP INDEX runs_workflow;
CREATE INDEX runs_workflow ON runs (workflow);
DROP INDEX runs_status;
CREATE INDEX runs_status ON runs (status);
DROP INDEX runs_workflow_status;
CREATE INDEX runs_workflow_status ON runs (workflow, status);
