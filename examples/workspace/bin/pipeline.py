"""The steps of the data pipeline: extract, check-range, check-gaps, load."""

import json
import math
import pathlib
import sys
import time

call = json.load(sys.stdin)
inputs = call.get("inputs", {})
step = sys.argv[1]


def extract():
    minute = int(time.time()) // 60
    rows = []
    for second in range(0, 60, 5):
        if (minute + second) % 37 == 0:
            continue
        value = 20 + 15 * math.sin((minute * 60 + second) / 97) + (second % 7)
        rows.append({"second": second, "value": round(value, 2)})
    print(f"{len(rows)} readings of minute {minute}", file=sys.stderr)
    name = inputs.get("name", "rows")
    return {name: rows, "minute": minute, "row_count": len(rows)}


def check_range():
    limit = inputs.get("upper_limit") or 38
    bad = [row for row in inputs["rows"] if row["value"] > limit]
    for row in bad:
        print(f"second {row['second']}: {row['value']} is above {limit}", file=sys.stderr)
    return {"out_of_range": len(bad), "upper_limit": limit}


def check_gaps():
    have = {row["second"] for row in inputs["rows"]}
    missing = [second for second in range(0, 60, 5) if second not in have]
    return {"missing_seconds": missing}


def load():
    folder = pathlib.Path("out/readings")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{call['run_id']}.json"
    path.write_text(json.dumps(inputs["rows"], indent=1))
    print(f"wrote {path}", file=sys.stderr)
    return {"written_to": str(path), "written": len(inputs["rows"])}


json.dump({"extract": extract, "check-range": check_range, "check-gaps": check_gaps, "load": load}[step](), sys.stdout)
