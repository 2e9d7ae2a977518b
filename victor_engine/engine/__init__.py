"""The embedded implementation of the console port."""

from victor_engine.engine.core import Engine

__all__ = ["Engine"]
