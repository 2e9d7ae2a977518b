"""The production section of the guide, as root with a real user of the service, in a mount namespace of its own.

It changes file systems in memory at `/etc`, `/var/lib`, `/srv` and `/run`, so that the machine is not changed, runs the
lines of the unit as systemd would, and prints the results as JSON.
"""

from __future__ import annotations

import configparser
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

OPS = 61201
ROOT = Path("/srv/ops")
VENV = Path("/srv/venv")
VICTOR = (str(VENV / "bin" / "python"), "-m", "victor_engine.cli.main")
PYTHON = "/usr/bin/python3"
PACKAGES = (str(Path(__file__).parents[2]), *(path for path in sys.path if path.endswith("site-packages")))
LOG = Path("/srv/journal")
UNIT = Path("/etc/systemd/system/victor-scheduler.service")
SAY = "import json\nprint(json.dumps({'said': 'one'}))\n"
FLOW = """
workflows:
  report:
    schedule: {every: 1s}
    nodes: [{id: say, type: agent, role: r, goal: g}]
"""


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def isolate() -> None:
    """Replace the directories that the story changes by file systems in memory, which end with this namespace.

    Nothing of the machine is mounted elsewhere, and nothing is deleted.
    """
    if os.readlink("/proc/self/ns/mnt") == os.readlink(f"/proc/{os.getppid()}/ns/mnt"):
        raise SystemExit("this program needs a mount namespace of its own: unshare -m")
    for path in ("/var/lib", "/srv", "/run"):
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", path)
    etc = Path("/srv/etc")
    shutil.copytree("/etc", etc, symlinks=True, ignore=shutil.ignore_patterns("victor"))
    for name, line in (
        ("passwd", f"vt-ops:x:{OPS}:{OPS}::/nonexistent:/bin/sh\n"),
        ("group", f"vt-ops:x:{OPS}:\n"),
    ):
        with open(etc / name, "a") as file:
            file.write(line)
    mount("--bind", str(etc), "/etc")
    UNIT.parent.mkdir(parents=True, exist_ok=True)
    # An interpreter that all users can execute, with the packages of this one.
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", str(VENV)], check=True)
    [packages] = VENV.glob("lib/python3*/site-packages")
    (packages / "product.pth").write_text("\n".join(PACKAGES))


def as_ops(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, user=OPS, group=OPS, extra_groups=[], cwd="/", text=True, capture_output=True, check=False,
        env={"HOME": "/nonexistent", "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"}, timeout=60, **options,
    )  # fmt: skip


class Service:
    """The process of the unit, as systemd starts it, with its output."""

    def __init__(self) -> None:
        unit = configparser.ConfigParser(interpolation=None, strict=False)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read(UNIT)
        section = unit["Service"]
        self.log = LOG
        for base, name in (("/var/lib", section["StateDirectory"]), ("/run", section["RuntimeDirectory"])):
            path = Path(base, name)
            path.mkdir(parents=True, exist_ok=True)
            os.chown(path, OPS, OPS)
        name, value = section["Environment"].split("=", 1)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                shlex.split(section["ExecStart"]), user=OPS, group=OPS, extra_groups=[], cwd="/", stdout=log,
                stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                env={"HOME": "/nonexistent", "PATH": os.defpath, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1",
                     name: value},
            )  # fmt: skip
        self.user, self.reload_line = section["User"], section["ExecReload"]

    def since(self, mark: int) -> str:
        return self.log.read_bytes()[mark:].decode()

    def mark(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def until(self, mark: int, check: Callable[[str], bool]) -> str:
        """Return the output since a mark, when it meets a condition."""
        deadline = time.monotonic() + 60
        while not check(text := self.since(mark)):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"the service printed only:\n{text}")
            time.sleep(0.05)
        return text

    def reload(self) -> None:
        assert self.reload_line == "/bin/kill -HUP $MAINPID"
        os.kill(self.process.pid, signal.SIGHUP)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def victor(*words: str) -> list[Any]:
    """Run the command as root. Return its exit code and its output."""
    done = subprocess.run(
        [*VICTOR, "--workspace", str(ROOT), *words], cwd="/", text=True, capture_output=True, check=False,
        timeout=60, env={"HOME": "/var/lib/root-home", "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    return [done.returncode, done.stdout + done.stderr]


def story() -> dict[str, Any]:
    found: dict[str, Any] = {}
    (ROOT / "bin").mkdir(parents=True)
    (ROOT / "victor.yaml").write_text("default_agent: {command: [python3, bin/say.py]}\n")
    (ROOT / "flow.yaml").write_text(FLOW)
    (ROOT / "bin/say.py").write_text(SAY)
    if as_ops(*VICTOR, "--help").returncode:
        return {"skip": f"other users cannot run the product with {PYTHON}"}
    found["no user"] = victor("scheduler", "install", "--user", "vt-nobody", "--yes")
    (ROOT / "bin/say.py").chmod(0o600)
    found["unreadable"] = victor("scheduler", "install", "--user", "vt-ops", "--yes")
    found["nothing written"] = not UNIT.exists() and not Path("/etc/victor").exists()
    (ROOT / "bin/say.py").chmod(0o644)
    found["install"] = victor("scheduler", "install", "--user", "vt-ops", "--yes")
    verify = shutil.which("systemd-analyze")
    if verify is not None:
        done = subprocess.run([verify, "verify", str(UNIT)], capture_output=True, text=True, check=False)
        found["verify"] = [done.returncode, done.stderr]
    found["list"] = as_ops("cat", "/etc/victor/trusted.json").returncode
    found["write"] = as_ops("sh", "-c", "echo x >> /etc/victor/trusted.json").returncode

    service = Service()
    try:
        done_once = "run.finished report"
        service.until(0, lambda text: done_once in text and "status=succeeded" in text)
        found["fired"] = True
        found["status"] = victor("scheduler", "status")
        found["ops trusts"] = as_ops(*VICTOR, "--workspace", str(ROOT), "trust", "--yes").stderr
        mark = service.mark()
        (ROOT / "bin/say.py").write_text(SAY.replace("one", "two"))
        (ROOT / "flow.yaml").write_text(FLOW.replace("goal: g", "goal: other"))
        service.until(mark, lambda text: "status=failed" in text)
        found["failed"] = victor("runs", "list", "--limit", "3", "--json")
        mark = service.mark()
        service.reload()
        found["refused"] = service.until(mark, lambda text: "nothing was deployed" in text)
        found["plan"] = victor("plan")
        found["yes"] = victor("trust", "--yes")
        mark = service.mark()
        service.until(mark, lambda text: "status=succeeded" in text)
        mark = service.mark()
        service.reload()
        service.until(mark, lambda text: "deployment 2: report 0.0.1 -> 0.0.2" in text)
        found["deployed"] = True
    finally:
        service.stop()
    (ROOT / "victor.yaml").write_text("default_agent: {command: [python3, bin/say.py, x]}\n")
    mark = service.mark()
    service = Service()
    try:
        found["restarted"] = service.until(mark, lambda text: "state directory" in text)
        found["untrusted status"] = victor("scheduler", "status")
        found["explain"] = victor("scheduler", "explain", "report")
        mark = service.mark()
        found["yes again"] = victor("trust", "--yes")
        service.until(mark, lambda text: "status=succeeded" in text)
        found["runs again"] = True
    finally:
        service.stop()
        found["log"] = service.since(0)[-4000:]
    return found


def main() -> None:
    isolate()
    print(json.dumps(story()))


if __name__ == "__main__":
    main()
