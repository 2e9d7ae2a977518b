"""Debian's Chromium without a window, driven over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

SECONDS = 60.0
_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?<>=]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_KEYS = {
    "Enter": (13, "\r"),
    "ArrowRight": (39, ""),
    "ArrowLeft": (37, ""),
    "Escape": (27, ""),
    "Tab": (9, ""),
}


def chromium() -> str:
    """Return the path of Chromium. Skip the test without it."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("Chromium is not installed")
    return found


class Page:
    """A page of the browser. `received` is the text that the terminal in the page received."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self.received = ""
        self._reading = asyncio.create_task(self._read())

    async def call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        async with asyncio.timeout(SECONDS):
            return await answer

    async def evaluate(self, script: str) -> Any:
        found = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        return found["result"].get("value")

    async def open(self, address: str) -> None:
        await self.call("Page.navigate", url=address)

    async def press(self, key: str, *, ctrl: bool = False) -> None:
        """Press a key: a letter, or a name of `_KEYS`."""
        code, text = _KEYS[key] if key in _KEYS else (ord(key.upper()), "" if ctrl else key)
        event = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 2 if ctrl else 0}
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **event)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition on the received text."""
        try:
            async with asyncio.timeout(SECONDS):
                while not condition():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(
                f"{what} did not happen; the terminal received: {self.received[-2000:]!r}"
            ) from None

    async def until_text(self, text: str) -> None:
        await self.until(lambda: text in self.received, f"the text {text!r}")

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])
        await self._socket.close()

    async def _read(self) -> None:
        async for message in self._socket:
            found = message.json()
            if "id" in found:
                answer = self._answers.pop(found["id"])
                if "error" in found:
                    answer.set_exception(AssertionError(str(found["error"])))
                else:
                    answer.set_result(found["result"])
            elif found.get("method") == "Network.webSocketFrameReceived":
                frame = found["params"]["response"]
                if frame["opcode"] == 2:
                    text = base64.b64decode(frame["payloadData"]).decode("utf-8", "replace")
                    self.received += _SEQUENCE.sub("", text)


@asynccontextmanager
async def browser(folder: Path, *, width: int = 1000, height: int = 600) -> AsyncIterator[Page]:
    """Start Chromium with a profile in `folder`, and yield a page of it."""
    words = [
        chromium(), "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={folder}", "--no-first-run",
        "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", f"--window-size={width},{height}",
    ]  # fmt: skip
    if os.geteuid() == 0:
        words.append("--no-sandbox")
    process = await asyncio.create_subprocess_exec(
        *words, "about:blank", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(SECONDS):
            while not (lines := _lines(folder / "DevToolsActivePort")):
                assert process.returncode is None, "Chromium did not start"
                await asyncio.sleep(0.05)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{lines[0]}/json/list") as response:
                pages = [each for each in await response.json() if each["type"] == "page"]
            socket = await session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)
            page = Page(socket)
            await page.call("Page.enable")
            await page.call("Network.enable")
            yield page
            await page.close()
    finally:
        process.kill()
        await process.wait()


def _lines(path: Path) -> list[str]:
    """Return the lines of the file in which Chromium writes its port, once it is complete."""
    try:
        found = path.read_text().split("\n")
    except FileNotFoundError:
        return []
    return found if len(found) >= 2 else []
