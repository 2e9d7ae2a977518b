"""The command of a notification rule: it gets each message as JSON on standard input."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from victor_engine.config.content import key_of
from victor_engine.config.model import Binding
from victor_engine.errors import NodeError
from victor_engine.notify.sender import SEND_SECONDS, NotifyError
from victor_engine.work.content_guard import ContentGuard
from victor_engine.work.invokers.command import find_program
from victor_engine.work.process import Child, process_slots
from victor_engine.work.secrets import SecretStore

_GRACE = 5.0
_LAST_OUTPUT = 2_000
"""The number of bytes that are kept from the end of the output of a command. Its error shows the last line."""


async def run_command(
    binding: Binding, secrets: SecretStore, message: Mapping[str, str], guard: ContentGuard | None = None
) -> None:
    """Run the command of a rule. Raise NotifyError if it does not end with 0, or if its files are not trusted."""
    name = binding.command[0]
    if guard is not None:
        why = await asyncio.to_thread(guard.refusal, key_of(binding))
        if why is not None:
            raise NotifyError(f"the command {name} was not started: {why}. Review it, and run `victor trust`")
    environ = secrets.environ(binding.env, inherit=False)
    try:
        words = [find_program(name, binding.cwd, environ), *binding.command[1:]]
    except NodeError as error:
        raise NotifyError(error.message) from None
    async with process_slots():
        status, last = await _run(words, environ, binding, msgspec.json.encode(message))
    if status != 0:
        raise NotifyError(f"the command {name} ended with {status}{f': {last}' if last else ''}")


async def _run(
    words: list[str], environ: Mapping[str, str], binding: Binding, message: bytes
) -> tuple[int, str]:
    """Return the exit status, and the last line of the output."""
    output = bytearray()

    def keep(data: bytes) -> None:
        output.extend(data)
        del output[:-_LAST_OUTPUT]

    try:
        child = Child(words, env=environ, cwd=binding.cwd, on_stdout=keep, on_stderr=keep)
    except OSError as error:
        raise NotifyError(f"the command {words[0]} cannot be started: {error.strerror or error}") from None
    try:
        child.release(message)
        async with asyncio.timeout(SEND_SECONDS):
            status = await child.wait()
    except TimeoutError:
        raise NotifyError(f"the command {words[0]} did not end within {SEND_SECONDS:.0f} s") from None
    finally:
        await child.end(_GRACE)
    lines = output.decode(errors="replace").strip().splitlines()
    return status, lines[-1] if lines else ""
