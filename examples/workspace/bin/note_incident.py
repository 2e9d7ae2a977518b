"""Append a line to out/incidents.log, once for each idempotency key."""

import datetime
import json
import pathlib
import sys

call = json.load(sys.stdin)
log = pathlib.Path("out/incidents.log")
log.parent.mkdir(parents=True, exist_ok=True)
key = call["idempotency_key"]
known = log.read_text() if log.exists() else ""
if key not in known:
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    facts = " ".join(f"{name}={value}" for name, value in call["inputs"].items())
    with log.open("a") as out:
        out.write(f"{now} {key} {facts}\n")
json.dump({"incident_log": str(log), "lines": len(log.read_text().splitlines())}, sys.stdout)
