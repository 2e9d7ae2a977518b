"""The store: an SQLite database with numbered migrations, one writer with group commit, and readers."""

from victor_engine.store.db import Store, Tx, open_store

__all__ = ["Store", "Tx", "open_store"]
