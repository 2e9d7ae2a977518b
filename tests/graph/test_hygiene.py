"""The Python interface is part of the engine: it loads no terminal library."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_graph_loads_no_terminal() -> None:
    code = (
        "import sys, victor_engine.graph\n"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & "
        "{'textual', 'rich', 'victor_tui', 'httpx', 'click', 'jsonschema', 'croniter', 'yaml'}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
