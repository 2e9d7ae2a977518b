-- The runs whose own content was evaluated when an engine died, with the number of deaths since their last progress.
CREATE TABLE suspects (
  run_key        INTEGER PRIMARY KEY REFERENCES runs (key) ON DELETE CASCADE,
  node_id        TEXT NOT NULL,          -- empty: between two nodes
  deaths         INTEGER NOT NULL,
  quarantined_at INTEGER                 -- NULL: not quarantined
);
