"""The console of one visitor, in a process of its own. It attaches to the engine and never starts one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from victor_engine.api import Port
from victor_engine.identity import current_actor, local_actor
from victor_engine.service.connect import open_console
from victor_tui.keymap import keymap_path, read_keymap
from victor_tui.keys import use_keymap


def main(argv: Sequence[str] | None = None) -> int:
    """Run the console for the driver of a browser, and return its exit code."""
    use_keymap(read_keymap(keymap_path()))
    from victor_tui.app import VictorApp

    parser = argparse.ArgumentParser()
    parser.add_argument("--workspace")
    parser.add_argument("--state")
    given = parser.parse_args(argv)

    async def connect() -> Port:
        port, _ = await open_console(
            workspace=given.workspace, state=given.state, attach_only=True, via="web"
        )
        return port

    current_actor.set(local_actor("web"))
    app = VictorApp(connect)
    app.run()
    return app.return_code or 0


if __name__ == "__main__":
    sys.exit(main())
