"""Polling: the wait of the embedded engine for a time, a file or an HTTP response."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from victor_engine import jsonio
from victor_engine.clock import Clock
from victor_engine.errors import NodeError
from victor_engine.graph_walk.waits import HttpProbe, Wait, WaitEnd
from victor_engine.work.secrets import SecretStore

LONGEST_SLEEP = 60.0
"""Seconds between two looks at the wall clock, because the clock may be set."""

LONGEST_LOOK = 30.0
"""Seconds after which one poll is cancelled."""

LARGEST_ANSWER = 1_000_000
"""Maximum size of an HTTP response, in bytes."""

Look = Callable[[], Awaitable[Mapping[str, Any] | None]]


async def wait_over(wait: Wait, clock: Clock, look: Look | None) -> WaitEnd:
    """Poll until the wait is over, and return its end. The last poll counts even if it is late."""
    while True:
        if look is not None:
            found = await look()
            if found is not None:
                return WaitEnd("done", found)
        now = clock.now()
        if wait.until is not None and now >= wait.until:
            return WaitEnd("done" if wait.due == wait.until else "timed_out")
        pause = LONGEST_SLEEP if look is None else min(wait.poll, LONGEST_SLEEP)
        if wait.until is not None:
            pause = min(pause, (wait.until - now).total_seconds())
        await clock.sleep(pause)


class FileWatch:
    """Polls for a regular file, and for a time without changes if the node asks for it."""

    def __init__(self, wait: Wait, clock: Clock, workspace: Path) -> None:
        assert wait.file is not None
        self._path = workspace / Path(wait.file).expanduser()
        self._stable_for = wait.stable_for
        self._clock = clock
        self._seen: tuple[int, int, int] | None = None
        self._since = 0.0

    async def __call__(self) -> Mapping[str, Any] | None:
        try:
            # In a thread, because a network file system may be slow.
            found = await asyncio.to_thread(os.stat, self._path)
        except (FileNotFoundError, NotADirectoryError):
            self._seen = None
            return None
        except OSError as error:
            raise NodeError(
                f"{self._path}: cannot be read: {error.strerror or error}",
                error_type=type(error).__name__,
            ) from error
        if not stat.S_ISREG(found.st_mode) and self._stable_for:
            return None
        now = self._clock.monotonic()
        seen = (found.st_ino, found.st_size, found.st_mtime_ns)
        if seen != self._seen:
            self._seen, self._since = seen, now
        if now - self._since < self._stable_for:
            return None
        try:
            modified = datetime.fromtimestamp(found.st_mtime, UTC).isoformat(timespec="seconds")
        except (OverflowError, ValueError):  # the time of a file may be after the year 9999
            modified = None
        return {
            "file": str(self._path),
            "size": found.st_size,
            "modified": modified and modified.replace("+00:00", "Z"),
        }


class HttpWatch:
    """Sends a request until the response matches. Errors are logged and retried, not raised.

    `satisfied(status, body)` returns why a response does not match, or None. `body` is the JSON of the response,
    or None.
    """

    def __init__(
        self,
        probe: HttpProbe,
        clock: Clock,
        secrets: SecretStore,
        satisfied: Callable[[int, Any], Awaitable[str | None]],
        log: Callable[[str], None],
    ) -> None:
        from victor_engine.work.invokers.http import HttpClient

        self._probe = probe
        self._clock = clock
        self._secrets = secrets
        self._satisfied = satisfied
        self._log = log
        self._client = HttpClient()
        self._last = ""

    async def __call__(self) -> Mapping[str, Any] | None:
        try:
            async with self._clock.timeout(LONGEST_LOOK):
                status, body = await self._ask()
            reason = await self._satisfied(status, body)
        except TimeoutError:
            reason = f"no response within {LONGEST_LOOK:g} s"
        except NodeError as error:
            if error.retryable is False or {"InvalidURL", "UnsupportedProtocol"} & {
                error.error_type,
                *error.bases,
            }:
                error.message = self._secrets.masker.text(error.message)
                raise
            reason = error.message
        if reason is None:
            found = {"status": status} if body is None else {"status": status, "body": body}
            return self._secrets.masker.value(found)  # type: ignore[no-any-return]
        reason = self._secrets.masker.text(reason)
        if reason != self._last:
            self._last = reason
            self._log(f"not yet: {reason}")
        return None

    async def _ask(self) -> tuple[int, Any]:
        from victor_engine.work.invokers.http import read_body

        probe = self._probe
        headers = {"Accept": "application/json, */*;q=0.1", **self._secrets.reveal(probe.headers)}
        url = self._secrets.reveal(probe.url)
        async with self._client.send(probe.method, url, headers, None) as response:
            data = await read_body(response, f"{probe.method} {probe.url}", LARGEST_ANSWER)
        try:
            body = jsonio.read(data) if data.strip() else None
        except ValueError:
            body = None
        return response.status_code, body

    async def close(self) -> None:
        await self._client.close()
