"""Write `victor_engine/store/schema.sql` anew from the migrations: ``python -m tests.store.write_schema``."""

from __future__ import annotations

from pathlib import Path

import victor_engine.store
from tests.store.test_schema import migrated
from victor_engine.store.schema import dump_schema

HEAD = """-- The whole current schema. The migrations lead to it, which tests/store/test_schema.py checks.
-- After adding a migration, write it anew: python -m tests.store.write_schema

"""

if __name__ == "__main__":
    path = Path(victor_engine.store.__file__).with_name("schema.sql")
    path.write_text(HEAD + dump_schema(migrated()), encoding="utf-8")
    print(path)
