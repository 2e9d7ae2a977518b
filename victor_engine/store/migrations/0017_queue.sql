-- The people of each request, for the queue of a user: `may` is 1 for an assignee (the empty name is anyone), and 0 for
-- a user who started the run and may not approve it. The name of such a user is `user:NAME` or `uid:NUMBER`.
CREATE TABLE request_people (
  request_key INTEGER NOT NULL REFERENCES requests (key) ON DELETE CASCADE,
  name        TEXT NOT NULL,
  may         INTEGER NOT NULL,
  PRIMARY KEY (request_key, name, may)
) WITHOUT ROWID;

INSERT OR IGNORE INTO request_people (request_key, name, may)
  SELECT q.key, each.value, 1 FROM requests q, json_each(q.spec, '$.assignees') each;
INSERT INTO request_people (request_key, name, may)
  SELECT key, '', 1 FROM requests WHERE key NOT IN (SELECT request_key FROM request_people);
INSERT OR IGNORE INTO request_people (request_key, name, may)
  WITH RECURSIVE line (request_key, actor, parent_key) AS (
    SELECT q.key, r.actor, r.parent_key FROM requests q JOIN runs r ON r.key = q.run_key
      WHERE json_extract(q.spec, '$.allow_self_approval') = 0
    UNION SELECT l.request_key, r.actor, r.parent_key FROM line l JOIN runs r ON r.key = l.parent_key)
  SELECT request_key, 'user:' || json_extract(actor, '$.user'), 0 FROM line WHERE actor IS NOT NULL
  UNION ALL SELECT request_key, 'uid:' || json_extract(actor, '$.uid'), 0 FROM line
    WHERE json_extract(actor, '$.uid') >= 0;

-- The order of the inbox: by deadline, priority and age.
CREATE INDEX requests_urgent ON requests (deadline IS NULL, deadline, priority DESC, key) WHERE status = 'open';

-- SQLite preferred the index that begins with the status to one that has the order.
DROP INDEX requests_status;
CREATE INDEX requests_workflow ON requests (workflow, answered_at);
