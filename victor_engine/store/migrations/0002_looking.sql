-- What the screens ask, so that no page of a million runs reads them all.

CREATE INDEX runs_status ON runs (status, key);
CREATE INDEX runs_workflow_status ON runs (workflow, status, key);
CREATE INDEX runs_created ON runs (created_at);
CREATE INDEX runs_failed ON runs (finished_at) WHERE status = 'failed';
CREATE INDEX fires_workflow ON fires (workflow, id);
CREATE INDEX attempts_live_run ON attempts (run_key, id) WHERE status IN ('running', 'waiting', 'retrying');
CREATE INDEX events_time ON events (at);

-- Runs per definition, counted as they come and go: counting a million rows is no way to draw a screen.
CREATE TABLE run_totals (
  definition_id INTEGER PRIMARY KEY,
  runs          INTEGER NOT NULL
);
INSERT INTO run_totals SELECT definition_id, COUNT(*) FROM runs GROUP BY definition_id;

CREATE TRIGGER run_totals_insert AFTER INSERT ON runs BEGIN
  INSERT INTO run_totals VALUES (NEW.definition_id, 1)
    ON CONFLICT (definition_id) DO UPDATE SET runs = runs + 1;
END;
CREATE TRIGGER run_totals_delete AFTER DELETE ON runs BEGIN
  UPDATE run_totals SET runs = runs - 1 WHERE definition_id = OLD.definition_id;
END;
CREATE TRIGGER run_totals_move AFTER UPDATE OF definition_id ON runs
  WHEN NEW.definition_id <> OLD.definition_id BEGIN
  UPDATE run_totals SET runs = runs - 1 WHERE definition_id = OLD.definition_id;
  INSERT INTO run_totals VALUES (NEW.definition_id, 1)
    ON CONFLICT (definition_id) DO UPDATE SET runs = runs + 1;
END;
