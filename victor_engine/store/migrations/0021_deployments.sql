-- The deployments: each load of the files that changed versions or schedules, and each way back.
CREATE TABLE deployments (
  number    INTEGER PRIMARY KEY,
  at        INTEGER NOT NULL,
  actor     TEXT NOT NULL,          -- JSON actor
  how       TEXT NOT NULL,          -- start, reload, deploy or undo
  files     TEXT NOT NULL,          -- the digest of the files
  undoes    INTEGER REFERENCES deployments (number),
  lines     TEXT NOT NULL,          -- JSON: the changes as text
  replaced  TEXT NOT NULL           -- JSON: the versions and schedules that it replaced
);
