"""What the kernel does to a command: take the network from it, and end it with its engine."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

from victor_engine.definition.model import Constraints

_NOT_ENFORCED = ("write_allowed", "filesystem_allowed")


@functools.cache
def no_network() -> tuple[str, ...] | None:
    """The words before a command that take the network from it; None where the kernel allows none.

    Root makes a network namespace directly. Others need user namespaces, which some systems turn
    off; the user id is kept inside, so that files look the same.
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
    """The words before a command that let the kernel kill it when its engine dies.

    The signal is sent when the thread that started the command ends, so start commands from the thread
    of the engine's loop. Return nothing where the system has no `setpriv` that can do this: then only
    the next engine ends what is left.
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
    """The constraints that nothing here enforces, as `network_allowed: false`.

    `processes` says that the work is done by a process that can be put into a namespace.
    """
    found = [f"{name}: false" for name in _NOT_ENFORCED if getattr(constraints, name) is False]
    if constraints.network_allowed is False and (not processes or no_network() is None):
        found.insert(0, "network_allowed: false")
    if constraints.max_cost_tier is not None:
        found.append(f"max_cost_tier: {constraints.max_cost_tier}")
    return found
