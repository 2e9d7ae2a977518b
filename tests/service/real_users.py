"""An engine and seven Unix users on one socket: a program for root, in a mount namespace of its own.

It adds the users to copies of `/etc/passwd` and `/etc/group`, so that the machine is not changed. It prints the
results as JSON. Each user is a process of its own, forked before the engine starts, with one open connection.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import pkgutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.engine.support import question, workspace
from tests.service.roles_table import permitted
from tests.service.test_permissions import FLOWS
from victor_engine.api import Answer, RequestQuery
from victor_engine.clock import FakeClock
from victor_engine.engine import Engine
from victor_engine.errors import VictorError
from victor_engine.service.client import Client
from victor_engine.service.guard import Guard
from victor_engine.service.server import PortServer

USERS = {
    "vt-ana": 61001, "vt-ben": 61002, "vt-cy": 61003, "vt-dee": 61004, "vt-eve": 61005, "vt-fay": 61006,
    "vt-zed": 61007,
}  # fmt: skip
GROUPS = {"watchers": (61101, ["vt-ana"]), "pair": (61102, ["vt-eve", "vt-fay"])}
PERMISSIONS = """\
permissions: {viewer: ["@watchers"], operator: [vt-ben], approver: [vt-cy], admin: [vt-dee]}
"""


def add_users(folder: Path) -> Path:
    """Replace the user database of this mount namespace by a copy with the users. Return the file of groups."""
    users = [f"{name}:x:{uid}:{uid}::/nonexistent:/bin/sh\n" for name, uid in USERS.items()]
    primary = [f"{name}:x:{uid}:\n" for name, uid in USERS.items()]
    for path, lines in (("/etc/passwd", users), ("/etc/group", primary)):
        copy = folder / Path(path).name
        copy.write_text(Path(path).read_text() + "".join(lines))
        copy.chmod(0o644)
        subprocess.run(["mount", "--bind", str(copy), path], check=True)
    return folder / "group"


def set_groups(file: Path, base: str, groups: dict[str, tuple[int, list[str]]]) -> None:
    lines = [f"{name}:x:{gid}:{','.join(members)}\n" for name, (gid, members) in groups.items()]
    file.write_text(base + "".join(lines))


class User:
    """A process of one user with one connection. `do` sends it a command and returns the result."""

    def __init__(self, name: str, path: Path) -> None:
        self._mine, theirs = socket.socketpair()
        if os.fork() == 0:
            self._mine.close()
            uid = USERS[name]
            os.initgroups(name, uid)
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.chdir("/")
            try:
                serve_commands(theirs, path)
            finally:
                os._exit(0)
        theirs.close()
        self._file = self._mine.makefile("rw")

    async def do(self, command: str, *given: Any) -> Any:
        self._file.write(json.dumps([command, *given]) + "\n")
        self._file.flush()
        return json.loads(await asyncio.to_thread(self._file.readline))

    def close(self) -> None:
        self._file.close()
        self._mine.close()


def serve_commands(connection: socket.socket, path: Path) -> None:
    file = connection.makefile("rw")
    with asyncio.Runner() as runner:
        client: Client | None = None
        for line in file:
            command, *given = json.loads(line)
            try:
                if client is None:
                    client = runner.run(Client.connect(path))
                found = runner.run(perform(client, command, given))
            except VictorError as error:
                found = {"error": error.code, "message": error.message}
            file.write(json.dumps(found) + "\n")
            file.flush()


async def perform(client: Client, command: str, given: list[Any]) -> Any:
    match command:
        case "permitted":
            return sorted(await permitted(client, given[0]))
        case "whoami":
            caller = await client.whoami()
            return [caller.user, caller.uid, list(caller.roles)]
        case "requests":
            return [
                request.id for request in await client.requests(RequestQuery(statuses=("open", "answered")))
            ]
        case "approve":
            found = await client.answer(
                given[0], given[1], Answer("approved", comment=os.environ.get("USER", ""))
            )
            return [found.status, [vote.actor.user for vote in found.votes]]
        case "forge":
            # The environment of the user says that it is root.
            os.environ.update({"USER": "root", "LOGNAME": "root", "SUDO_USER": "root", "HOME": "/root"})
            return await perform(client, "whoami", [])
        case method:
            await getattr(client, method)(*given)
            return "done"


async def story(folder: Path, users: dict[str, User], groups: Path, base: str) -> dict[str, Any]:
    os.environ["HOME"] = str(folder / "home")
    (folder / "home" / ".victor").mkdir(parents=True)
    (folder / "home" / ".victor" / "scheduler.yaml").write_text(PERMISSIONS)
    root = workspace(folder, {"victor.yaml": "hitl: {unknown_assignees: warn}", "w.yaml": FLOWS})
    clock = FakeClock()
    engine = await Engine.open(root, folder / "state", clock=clock, fire=False)
    guard = Guard(engine, engine.rights, clock, lambda: engine.workspace.assignees)
    server = PortServer(engine, folder / "socket" / "engine.sock", clock, gate=guard, mode=0o666)
    await server.start()
    server.path.parent.chmod(0o755)
    found: dict[str, Any] = {}
    try:
        done = await question(engine, (await engine.start_run("anyone")).id)
        await engine.answer(done.id, done.revision, Answer("approved"))
        open_to_all = await question(engine, (await engine.start_run("anyone")).id)
        mine = await question(engine, (await engine.start_run("named")).id)
        found["requests"] = {"done": done.id, "open": open_to_all.id, "mine": mine.id}
        found["whoami"] = {name: await user.do("whoami") for name, user in users.items()}
        found["permitted"] = {
            name: await users[name].do("permitted", done.id)
            for name in ("vt-ana", "vt-ben", "vt-cy", "vt-dee", "vt-eve")
        }
        eve, fay = users["vt-eve"], users["vt-fay"]
        found["eve sees"] = await eve.do("requests")
        found["eve claims another"] = await eve.do("claim", open_to_all.id)
        found["ana approves"] = await users["vt-ana"].do("approve", mine.id, mine.revision)
        found["eve approves"] = await eve.do("approve", mine.id, mine.revision)
        found["eve approves again"] = await eve.do("approve", mine.id, mine.revision)
        found["fay approves"] = await fay.do("approve", mine.id, mine.revision)
        found["forged"] = await users["vt-ana"].do("forge")
        found["ana drains"] = await users["vt-ana"].do("drain")
        found["ana before"] = await users["vt-ana"].do("workflows")
        set_groups(groups, base, {**GROUPS, "watchers": (61101, [])})
        await clock.advance(60)
        found["ana after"] = await users["vt-ana"].do("workflows")
    finally:
        await server.close()
        await engine.close()
    return found


def main() -> None:
    for module in pkgutil.walk_packages(importlib.import_module("victor_engine").__path__, "victor_engine."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    importlib.import_module("encodings.idna")
    importlib.import_module("encodings.ascii")
    with tempfile.TemporaryDirectory(prefix="victor-users-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        groups = add_users(folder)
        base = groups.read_text()
        set_groups(groups, base, GROUPS)
        users = {user: User(user, folder / "socket" / "engine.sock") for user in USERS}
        try:
            print(json.dumps(asyncio.run(story(folder, users, groups, base))))
        finally:
            for user in users.values():
                user.close()
            subprocess.run(["umount", "/etc/passwd", "/etc/group"], check=False)


if __name__ == "__main__":
    sys.exit(main())
