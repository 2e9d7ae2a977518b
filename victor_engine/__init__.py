"""The engine under victor-tui: definitions, scheduling, durable runs, people, versions."""

__version__ = "0.1.1"
