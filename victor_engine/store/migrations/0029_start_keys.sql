-- The keys with which programs started runs, so that a start that is sent twice makes one run.
CREATE TABLE start_keys (
  uid     INTEGER NOT NULL,             -- of the user or token that started the run
  key     TEXT NOT NULL,
  run_key INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
  PRIMARY KEY (uid, key)
);
CREATE INDEX start_keys_run ON start_keys (run_key);
