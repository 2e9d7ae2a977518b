-- The encrypted values of secret fields of answers, until their run ends.
CREATE TABLE secret_answers (
  run_key     INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
  node_id     TEXT NOT NULL,
  field       TEXT NOT NULL,
  request_key INTEGER NOT NULL REFERENCES requests (key),
  key_id      TEXT NOT NULL,            -- of the key that encrypted it
  sealed      BLOB NOT NULL,            -- nonce and ciphertext, see people.secret_answers
  PRIMARY KEY (run_key, node_id, field)
) WITHOUT ROWID;

CREATE TRIGGER secret_answers_end AFTER UPDATE OF status ON runs
  WHEN NEW.status IN ('succeeded', 'failed', 'rejected', 'cancelled') BEGIN
  DELETE FROM secret_answers WHERE run_key = NEW.key;
END;

-- Versions up to this one still get secret answers in the state, for one release.
INSERT INTO meta (key, value) SELECT 'secret_answers.after', id FROM definitions ORDER BY id DESC LIMIT 1;
