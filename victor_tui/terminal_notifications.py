"""Notifications of the desktop and the terminal's title: which sequences a terminal knows, and their bytes.

Some terminals show a notification outside of their window for `OSC 9 ; text` or
`OSC 777 ; notify ; title ; text`; others print or misread them, so they are only sent to terminals that
are known to understand them, or where the configuration says so. Inside of tmux they reach the terminal
around it only where tmux lets them through. Whatever is written is text whose every control character
has become a visible sign, so that nothing in it can end the sequence.
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
"""How terminals call themselves (TERM_PROGRAM, or what they answer to XTVERSION), lower case."""
_BY_TERM: tuple[tuple[str, Protocol], ...] = (
    ("xterm-kitty", "osc9"),
    ("xterm-ghostty", "osc777"),
    ("wezterm", "osc777"),
    ("foot", "osc777"),
    ("contour", "osc777"),
)
"""Beginnings of TERM, which unlike TERM_PROGRAM survives SSH."""
_TITLE_LIMIT, _BODY_LIMIT = 60, 200
_TMUX_PATIENCE = 2.0
"""Seconds in which tmux has to say what it lets through."""


def _by_program(name: str) -> Protocol | None:
    name = name.lower()
    return next((protocol for known, protocol in _BY_PROGRAM.items() if name.startswith(known)), None)


def _by_term(term: str) -> Protocol | None:
    return next((protocol for known, protocol in _BY_TERM if term.startswith(known)), None)


@dataclass(frozen=True, slots=True)
class Desktop:
    """How notifications reach the desktop; without a `protocol` they do not."""

    protocol: Protocol | None = None
    through_tmux: bool = False

    def notification(self, title: str, body: str) -> str:
        """The bytes that show a notification; empty where the terminal knows none."""
        if self.protocol is None:
            return ""
        # The semicolon parts the fields of a sequence.
        title = _short(title, _TITLE_LIMIT).replace(";", ",")
        body = _short(body, _BODY_LIMIT).replace(";", ",")
        # Never a digit first: `OSC 9 ; 4` is a progress bar to some terminals.
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
    """The bytes that give the terminal this title."""
    return f"\x1b]2;{_short(words, _TITLE_LIMIT)}\x07"


KEEP_TITLE = "\x1b[22;2t"
"""Lets the terminal remember its title."""
GIVE_BACK_TITLE = "\x1b[23;2t"
"""Gives the terminal the title that it remembers."""


def desktop_of(env: Mapping[str, str]) -> Desktop:
    """What the environment says of a terminal that is not inside of tmux or screen."""
    term = env.get("TERM", "")
    if term.startswith(("screen", "tmux")) or env.get("STY"):
        return Desktop()  # what is around it cannot be known from here
    names = (env.get("TERM_PROGRAM", ""), env.get("LC_TERMINAL", ""))
    found = next((known for name in names if (known := _by_program(name))), None) or _by_term(term)
    if found is None and env.get("KONSOLE_VERSION"):
        found = "osc777"
    return Desktop(found)


async def desktop_in_tmux(env: Mapping[str, str]) -> Desktop:
    """What tmux says of the terminal around it, and whether it lets a notification through."""
    pane = ("-t", env["TMUX_PANE"]) if env.get("TMUX_PANE") else ()
    allowed = await _ask_tmux(env, "show-options", "-Apv", *pane, "allow-passthrough")
    if allowed not in ("on", "all"):
        return Desktop()
    outside = await _ask_tmux(env, "display-message", "-p", *pane, "#{client_termtype}\t#{client_termname}")
    program, _, term = outside.partition("\t")
    return Desktop(_by_program(program) or _by_term(term), through_tmux=True)


async def _ask_tmux(env: Mapping[str, str], *words: str) -> str:
    """One line of tmux's answer; empty where it gives none."""
    try:
        process = await asyncio.create_subprocess_exec(
            "tmux", *words, env=dict(env),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return ""
    try:
        async with asyncio.timeout(_TMUX_PATIENCE):
            out, _ = await process.communicate()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        return ""
    return out.decode(errors="replace").strip("\n") if process.returncode == 0 else ""


async def find_desktop(setting: str, env: Mapping[str, str]) -> Desktop:
    """How to notify under the configuration's `console.notify`.

    `auto` sends where the terminal is known to understand, `osc9` and `osc777` say that it does, and
    under `bell` and `none` nothing is sent. A console in a browser has no desktop.
    """
    if setting in ("bell", "none") or env.get("TEXTUAL_DRIVER"):
        return Desktop()
    inside = bool(env.get("TMUX"))
    found = await desktop_in_tmux(env) if inside else desktop_of(env)
    if setting == "auto" or (inside and not found.through_tmux):
        return found
    return Desktop("osc9" if setting == "osc9" else "osc777", found.through_tmux)
