"""The work that the nodes of the test workspace do: each does as the state of its run says."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from victor_engine.clock import FakeClock

log = logging.getLogger(__name__)

_CLOCKS: list[FakeClock] = []


def begin(clock: FakeClock) -> None:
    """From now on work takes its time by this clock."""
    _CLOCKS[:] = [clock]


class DiskFullError(Exception):
    """A command found no room."""


async def work(payload: dict[str, Any]) -> dict[str, Any]:
    """Do what `state["do"]` says of this node.

    Seconds: take that long. `hang`: never end. `stay`: refuse to end at the first cancellation. `fail`: fail.
    `fail twice`: fail, and succeed at the third attempt. Nodes of which nothing is said take nine seconds.
    """
    state, node = payload.get("state", {}), payload["node_id"]
    told = state.get("do", {}).get(node, 9)
    print(f"{node} begins, attempt {payload['attempt']}")
    print('{"progress": 0.5}')
    log.warning("retrying [connection] \x1b[33mslow\x1b[0m")
    print(f"{node} says hello: ünïcode, 漢字")
    if told == "fail" or (told == "fail twice" and payload["attempt"] < 3):
        raise DiskFullError(state.get("error", "exit 2: disk [b]/var[/b] is full"))
    if told == "hang":
        await asyncio.Event().wait()
    elif told == "stay":
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()
    else:
        await _CLOCKS[0].sleep(told if isinstance(told, int | float) else 9)
    return {node: {"ok": True, "attempt": payload["attempt"]}}
