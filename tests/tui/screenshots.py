"""`make screenshots`: pictures of the real app, drawn by script on data that stands still."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.tui.conftest import console
from tests.tui.fake_port import FakePort

FOLDER = Path(__file__).resolve().parents[2] / "screenshots"
SCENES: dict[str, list[str]] = {
    "schedules": ["1", "down"],
    "day": ["1", "down", "v", "right", "right"],
    "month": ["1", "down", "m"],
    "why": ["1", "down", "w"],
    "backfill": ["1", "down", "b"],
    "runs": ["2", "down"],
    "run": ["2", "slash", *"status:failed", "enter", "enter", "t"],
    "redrive": ["2", "slash", *"status:failed", "enter", "d"],
    "compare": ["2", "down", "equals_sign"],
    "dead-letters": ["2", "x", "down"],
    "inbox": ["3", "down"],
    "answer": ["3", "a"],
    "history": ["4", "down"],
    "trend": ["4", "t"],
    "versions": ["5", "down"],
    "help": ["question_mark"],
}


async def _settle(pilot: Any) -> None:
    for _ in range(8):
        await pilot.pause()


async def draw(name: str, keys: list[str], size: tuple[int, int]) -> str:
    """One scene as SVG, with fonts that every viewer has."""
    app = console(FakePort())
    async with app.run_test(size=size, notifications=False) as pilot:
        await _settle(pilot)
        for key in keys:
            await pilot.press(key)
            await _settle(pilot)
        svg = app.export_screenshot(title=f"victor-tui: {name}")
    # The exported picture names a font on the web; it must not need one.
    svg = re.sub(r"@font-face\s*\{[^}]*\}", "", svg)
    return svg.replace("Fira Code", "DejaVu Sans Mono") + "\n"


def main() -> None:
    os.environ.pop("NO_COLOR", None)
    FOLDER.mkdir(exist_ok=True)
    for name, keys in SCENES.items():
        for size, suffix in (((120, 36), ""), ((80, 24), "-80x24")):
            path = FOLDER / f"{name}{suffix}.svg"
            path.write_text(asyncio.run(draw(name, keys, size)))
            print(path.relative_to(FOLDER.parent))
            if shutil.which("rsvg-convert") and os.environ.get("PNG"):
                subprocess.run(["rsvg-convert", "-o", str(path.with_suffix(".png")), str(path)], check=True)


if __name__ == "__main__":
    main()
