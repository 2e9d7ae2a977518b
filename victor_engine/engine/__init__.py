"""The engine: the implementation of the port in this process."""

from victor_engine.engine.core import Engine

__all__ = ["Engine"]
