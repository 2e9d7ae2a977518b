"""The engine of victor-tui: definitions, schedules, durable runs, requests to people and versions."""

__version__ = "0.5.0"
