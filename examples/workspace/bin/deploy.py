"""The steps of the deployment, on local files: build, roll-out, health-check, roll-back."""

import hashlib
import json
import pathlib
import shutil
import sys
import time

call = json.load(sys.stdin)
inputs = call.get("inputs", {})
live = pathlib.Path("out/live")
previous = pathlib.Path("out/live.previous")
built = pathlib.Path("out/build")


def live_release():
    marker = live / "RELEASE"
    return marker.read_text().strip() if marker.exists() else "none"


def build():
    release = inputs.get("release") or time.strftime("%Y.%m.%d-%H%M%S")
    target = built / release
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree("site", target)
    (target / "RELEASE").write_text(release + "\n")
    if inputs.get("broken"):
        (target / "index.html").write_text("")
    files = [path for path in sorted(target.rglob("*")) if path.is_file()]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    for path in files:
        print(f"built {path.relative_to(target)}", file=sys.stderr)
    return {
        "release": release,
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "digest": digest[:12],
        "live_release": live_release(),
        "changes": [str(path.relative_to(target)) for path in files],
    }


def roll_out():
    source = built / inputs["release"]
    if live_release() != inputs["release"]:
        shutil.rmtree(previous, ignore_errors=True)
        if live.exists():
            live.rename(previous)
        shutil.copytree(source, live)
    print(f"{live} is release {inputs['release']}", file=sys.stderr)
    return {"now_live": live_release()}


def health_check():
    page = live / "index.html"
    if live_release() != inputs["release"]:
        return {"healthy": False, "reason": f"{live} contains release {live_release()}"}
    if not page.exists() or "</html>" not in page.read_text():
        return {"healthy": False, "reason": f"{page} is missing or incomplete"}
    return {"healthy": True, "reason": "the front page is complete"}


def roll_back():
    if not previous.exists():
        shutil.rmtree(live, ignore_errors=True)
        return {"restored": "none"}
    shutil.rmtree(live, ignore_errors=True)
    shutil.copytree(previous, live)
    print(f"{live} is release {live_release()} again", file=sys.stderr)
    return {"restored": live_release()}


json.dump({"build": build, "roll-out": roll_out, "health-check": health_check, "roll-back": roll_back}[sys.argv[1]](), sys.stdout)
