"""`make screenshots`: pictures of the console on a real engine, on the day that the tests share."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from textual.pilot import Pilot

from tests.tui.calm import pause
from tests.tui.conftest import console
from tests.tui.one_thread import run_in_one_thread
from tests.tui.pictures import LARGE, SMALL, settle
from tests.tui.world import World, make_world

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


async def draw(world: World, keys: list[str], size: tuple[int, int]) -> str:
    """Return one scene as SVG, with fonts that every viewer has."""
    app = console(world)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        for key in keys:
            await pilot.press(key)
            await settle(pilot)
        svg = app.export_screenshot(title="victor-tui")
    # The exported picture names a font on the web; it must not need one.
    svg = re.sub(r"@font-face\s*\{[^}]*\}", "", svg)
    svg = re.sub(r"\bterminal-\d+-", "terminal-", svg)
    return svg.replace("Fira Code", "DejaVu Sans Mono") + "\n"


async def draw_all() -> None:
    world = make_world(live=True, same_everywhere=True)
    await world.open()
    for name, keys in SCENES.items():
        for size, suffix in ((LARGE, ""), (SMALL, "-80x24")):
            path = FOLDER / f"{name}{suffix}.svg"
            path.write_text(await draw(world, keys, size))
            print(path.relative_to(FOLDER.parent))
    await world.end()


def main() -> None:
    os.environ.pop("NO_COLOR", None)
    FOLDER.mkdir(exist_ok=True)
    Pilot.pause = pause  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = home
        run_in_one_thread(draw_all)
    if shutil.which("rsvg-convert") and os.environ.get("PNG"):
        for path in sorted(FOLDER.glob("*.svg")):
            subprocess.run(["rsvg-convert", "-o", str(path.with_suffix(".png")), str(path)], check=True)


if __name__ == "__main__":
    main()
