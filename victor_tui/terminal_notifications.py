"""Desktop notifications and the title of the terminal: supported sequences and their bytes.

Some terminals show a desktop notification for `OSC 9 ; text` or `OSC 777 ; notify ; title ; text`. Others
print or misinterpret them. The sequences are sent only to terminals that are known to support them, or if the
configuration selects them. Inside tmux they reach the outer terminal only with passthrough. Control characters
in the text are made visible, so that the text cannot end the sequence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from victor_tui.text import clean

Protocol = Literal["osc9", "osc777"]

_BY_PROGRAM: dict[str, Protocol] = {
    "iterm": "osc9",
    "wezterm": "osc777",
    "ghostty": "osc777",
    "warpterminal": "osc9",
    "kitty": "osc9",
    "foot": "osc777",
    "contour": "osc777",
}
"""Names of terminals in TERM_PROGRAM or in the response to XTVERSION, in lower case."""
_BY_TERM: tuple[tuple[str, Protocol], ...] = (
    ("xterm-kitty", "osc9"),
    ("xterm-ghostty", "osc777"),
    ("wezterm", "osc777"),
    ("foot", "osc777"),
    ("contour", "osc777"),
)
"""Prefixes of TERM, which SSH passes on, unlike TERM_PROGRAM."""
_TITLE_LIMIT, _BODY_LIMIT = 60, 200
_TMUX_TIMEOUT = 2.0
"""Timeout in seconds for an answer of tmux."""


def _by_program(name: str) -> Protocol | None:
    name = name.lower()
    return next((protocol for known, protocol in _BY_PROGRAM.items() if name.startswith(known)), None)


def _by_term(term: str) -> Protocol | None:
    return next((protocol for known, protocol in _BY_TERM if term.startswith(known)), None)


@dataclass(frozen=True, slots=True)
class Desktop:
    """The way of notifications to the desktop. Without a `protocol` they are not sent."""

    protocol: Protocol | None = None
    through_tmux: bool = False

    def notification(self, title: str, body: str) -> str:
        """Return the sequence of a notification; empty if the terminal does not support it."""
        if self.protocol is None:
            return ""
        # A semicolon separates the fields of a sequence.
        title = _short(title, _TITLE_LIMIT).replace(";", ",")
        body = _short(body, _BODY_LIMIT).replace(";", ",")
        # The text does not start with a digit: `OSC 9 ; 4` is a progress bar in some terminals.
        words = (
            f"9;victor: {title}: {body}" if self.protocol == "osc9" else f"777;notify;victor: {title};{body}"
        )
        sequence = f"\x1b]{words}\x07"
        if self.through_tmux:
            sequence = "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
        return sequence


def _short(text: str, limit: int) -> str:
    text = " · ".join(line.strip() for line in text.splitlines() if line.strip())
    return clean(text if len(text) <= limit else text[: limit - 1] + "…")


def terminal_title(words: str) -> str:
    """Return the sequence that sets the title of the terminal."""
    return f"\x1b]2;{_short(words, _TITLE_LIMIT)}\x07"


SAVE_TITLE = "\x1b[22;2t"
"""The sequence that saves the title of the terminal."""
RESTORE_TITLE = "\x1b[23;2t"
"""The sequence that restores the saved title."""


def desktop_of(env: Mapping[str, str]) -> Desktop:
    """Return the support of the terminal by its environment; none inside tmux or screen."""
    term = env.get("TERM", "")
    if term.startswith(("screen", "tmux")) or env.get("STY"):
        return Desktop()  # the outer terminal is unknown
    names = (env.get("TERM_PROGRAM", ""), env.get("LC_TERMINAL", ""))
    found = next((known for name in names if (known := _by_program(name))), None) or _by_term(term)
    if found is None and env.get("KONSOLE_VERSION"):
        found = "osc777"
    return Desktop(found)


async def desktop_in_tmux(env: Mapping[str, str]) -> Desktop:
    """Return the support of the terminal outside tmux, if tmux allows passthrough."""
    pane = ("-t", env["TMUX_PANE"]) if env.get("TMUX_PANE") else ()
    allowed = await _ask_tmux(env, "show-options", "-Apv", *pane, "allow-passthrough")
    if allowed not in ("on", "all"):
        return Desktop()
    outside = await _ask_tmux(env, "display-message", "-p", *pane, "#{client_termtype}\t#{client_termname}")
    program, _, term = outside.partition("\t")
    return Desktop(_by_program(program) or _by_term(term), through_tmux=True)


async def _ask_tmux(env: Mapping[str, str], *words: str) -> str:
    """Return the output of a tmux command; empty after an error."""
    try:
        process = await asyncio.create_subprocess_exec(
            "tmux", *words, env=dict(env),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return ""
    try:
        async with asyncio.timeout(_TMUX_TIMEOUT):
            out, _ = await process.communicate()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        return ""
    return out.decode(errors="replace").strip("\n") if process.returncode == 0 else ""


async def find_desktop(setting: str, env: Mapping[str, str]) -> Desktop:
    """Return the way of desktop notifications for the setting `console.notify`.

    `auto` sends them to terminals that are known to support them, `osc9` and `osc777` always send them, `bell`
    and `none` never. A console in a browser sends none.
    """
    if setting in ("bell", "none") or env.get("TEXTUAL_DRIVER"):
        return Desktop()
    inside = bool(env.get("TMUX"))
    found = await desktop_in_tmux(env) if inside else desktop_of(env)
    if setting == "auto" or (inside and not found.through_tmux):
        return found
    return Desktop("osc9" if setting == "osc9" else "osc777", found.through_tmux)
