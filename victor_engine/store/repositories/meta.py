"""The table `meta`: values of the whole store by name."""

from __future__ import annotations

from typing import Any

import msgspec

from victor_engine.api import ClockAhead, PauseInfo
from victor_engine.store.queries.ids import Source
from victor_engine.store.transaction import Tx

CLOCK_AHEAD = "clock.ahead"
DRAINING = "draining"
ENGINE_CONFIG = "engine.config"
"""The configuration file that the last daemon was started with; empty for none."""
ENGINE_ENVIRON = "engine.environ"
"""The environment variables with settings of the last daemon: JSON."""
SETTINGS = "settings"
"""The settings of `victor.yaml` that the last engine used, as text."""
RETENTION = "retention"
"""The confirmed rules of retention: JSON with their digest, the user and the instant."""
NOTIFY_CURSOR = "notify.cursor"
NOTIFY_AUDIT = "notify.audit"
"""The last head of the audit chain that was announced: its number and the instant, as `NUMBER AT`."""


def get(source: Source, key: str) -> Any:
    """Return the value with a name; None if there is none."""
    row = source.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else row[0]


def put(tx: Tx, key: str, value: str | int) -> None:
    """Store a value under a name, in place of another one."""
    tx.execute(
        "INSERT INTO meta (key, value) VALUES (?,?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )


def delete(tx: Tx, key: str) -> bool:
    """Delete the value with a name; return whether there was one."""
    return tx.execute("DELETE FROM meta WHERE key = ?", (key,)).rowcount > 0


def draining(source: Source) -> PauseInfo | None:
    """Return who drains the engine, and since when; None if the engine is not draining."""
    value = get(source, DRAINING)
    return None if value is None else msgspec.json.decode(value, type=PauseInfo)


def drain(tx: Tx, info: PauseInfo) -> None:
    """Store that the engine drains."""
    put(tx, DRAINING, msgspec.json.encode(info).decode())


def undrain(tx: Tx) -> bool:
    """Store that the engine does not drain; return whether it did."""
    return delete(tx, DRAINING)


def clock_ahead(source: Source) -> ClockAhead | None:
    """Return the last time in which the clock was ahead; None if there was none."""
    value = get(source, CLOCK_AHEAD)
    return None if value is None else msgspec.json.decode(value, type=ClockAhead)


def put_clock_ahead(tx: Tx, ahead: ClockAhead) -> None:
    """Store the last time in which the clock was ahead."""
    put(tx, CLOCK_AHEAD, msgspec.json.encode(ahead).decode())


def settings(source: Source) -> dict[str, str] | None:
    """Return the settings of `victor.yaml` that the last engine used; None if they are not stored."""
    value = get(source, SETTINGS)
    return None if value is None else msgspec.json.decode(value, type=dict[str, str])


def put_settings(tx: Tx, values: dict[str, str]) -> None:
    """Store the settings of `victor.yaml` that this engine uses."""
    put(tx, SETTINGS, msgspec.json.encode(values).decode())
