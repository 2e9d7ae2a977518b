"""Isolation of commands by the kernel: without a network, and killed when the engine dies."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

from victor_engine.definition.limits import Constraints

_NOT_ENFORCED = ("write_allowed", "filesystem_allowed")


@functools.cache
def no_network() -> tuple[str, ...] | None:
    """Return the command prefix that removes the network, or None if the kernel does not allow it.

    Root creates a network namespace directly. Other users need user namespaces, which some systems
    disable. The user id is kept inside, so that the ownership of files looks the same.
    """
    program = shutil.which("unshare")
    true = shutil.which("true")
    if program is None or true is None:
        return None
    options = [["--net"]] if os.geteuid() == 0 else []
    options.append(["--map-current-user", "--net"])
    for option in options:
        words = (program, *option, "--")
        try:
            done = subprocess.run([*words, true], capture_output=True, timeout=5, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return words
    return None


@functools.cache
def ends_with_engine() -> tuple[str, ...]:
    """Return the command prefix with which the kernel kills the command when the engine dies.

    The signal is sent when the thread that started the command ends, so start commands from the thread
    of the event loop. Return an empty tuple if the system has no `setpriv` that can do this; then
    only the next engine ends the processes.
    """
    program = shutil.which("setpriv")
    true = shutil.which("true")
    if program is None or true is None:
        return ()
    words = (program, "--pdeathsig", "KILL", "--")
    try:
        done = subprocess.run([*words, true], capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return words if done.returncode == 0 else ()


def unenforced(constraints: Constraints, *, processes: bool) -> list[str]:
    """Return the constraints that are not enforced, such as `network_allowed: false`.

    `processes` says that the work runs in a process that can be put into a namespace.
    """
    found = [f"{name}: false" for name in _NOT_ENFORCED if getattr(constraints, name) is False]
    if constraints.network_allowed is False and (not processes or no_network() is None):
        found.insert(0, "network_allowed: false")
    if constraints.max_cost_tier is not None:
        found.append(f"max_cost_tier: {constraints.max_cost_tier}")
    return found
