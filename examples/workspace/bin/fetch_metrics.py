"""Collect figures about the output of the example workflows, in place of an agent."""

import json
import pathlib
import sys

call = json.load(sys.stdin)
print(f"goal: {call.get('goal', '').strip()}", file=sys.stderr)
readings = sorted(pathlib.Path("out/readings").glob("*.json"))
values = [row["value"] for path in readings for row in json.loads(path.read_text())]
json.dump(
    {
        "files": len(readings),
        "values": len(values),
        "mean": round(sum(values) / len(values), 2) if values else None,
        "highest": max(values, default=None),
    },
    sys.stdout,
)
