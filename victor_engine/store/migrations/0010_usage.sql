-- What the work of an attempt has used so far: a language model's tokens, and the calls of its tools.
CREATE TABLE usage (
  attempt_id    INTEGER PRIMARY KEY REFERENCES attempts (id) ON DELETE CASCADE,
  model         TEXT NOT NULL,
  input_tokens  INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  tool_calls    INTEGER NOT NULL,
  cost          REAL                    -- in the currency of the binding's prices; NULL where it has none
);
