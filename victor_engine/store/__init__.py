"""SQLite inside: numbered schema, one writer with group commit, readers of their own."""

from victor_engine.store.db import Store, Tx, open_store

__all__ = ["Store", "Tx", "open_store"]
