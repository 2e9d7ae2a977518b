"""Delete files older than a day from out/scratch; print their number and size."""

import json
import pathlib
import sys
import time

scratch = pathlib.Path("out/scratch")
scratch.mkdir(parents=True, exist_ok=True)
limit = time.time() - 86_400
removed = freed = 0
for path in scratch.rglob("*"):
    if path.is_file() and path.stat().st_mtime < limit:
        freed += path.stat().st_size
        path.unlink()
        removed += 1
        print(f"removed {path}", file=sys.stderr)
print(f"{removed} files, {freed} bytes", file=sys.stderr)
json.dump({"removed": removed, "freed_bytes": freed}, sys.stdout)
