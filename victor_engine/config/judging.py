"""The trust in the content of a workspace that was read: its record, its mode, and the decision."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

from msgspec.structs import replace

from victor_engine.config.content import Content, read_content
from victor_engine.config.model import Config
from victor_engine.config.trust_list import TrustPlace, place_of
from victor_engine.config.trust_rules import Mode, Verdict, judge
from victor_engine.ownership import why_exposed


@dataclass(frozen=True, slots=True)
class Judgement:
    """The content of a workspace, and whether it is trusted. `place` is the list that decides."""

    content: Content
    verdict: Verdict
    mode: Mode
    place: TrustPlace


Judge = Callable[[Config, Content], Judgement]
"""A function that decides about content before anything of it is imported."""


def judge_workspace(config: Config, content: Content, user: str | None = None) -> Judgement:
    """Return the decision about the content of a workspace for an engine of `user` (default: this user).

    Writes nothing.
    """
    place = place_of(config.workspace, user=user)
    mode = mode_of(config, place)
    verdict = judge(place.record, content, mode, lambda: exposure(config, content, user))
    return Judgement(content, verdict, mode, place)


def mode_of(config: Config, place: TrustPlace) -> Mode:
    """Return whether changed content needs a new yes: by default for a service only."""
    pinned = config.trust.content == "pinned" or (config.trust.content is None and place.service)
    return "pinned" if pinned else "watch"


def exposure(config: Config, content: Content, user: str | None = None) -> str | None:
    """Return why another user than root and `user` (default: this user) could change content; None if no one could."""
    names = dict.fromkeys(chain(content.files, *content.bound.values()))
    try:
        uid = os.geteuid() if user is None else pwd.getpwnam(user).pw_uid
    except KeyError:
        return f"the user {user} does not exist"
    return why_exposed(config.workspace, names, {0, uid})


def judge_configuration(config: Config, user: str | None = None) -> Verdict:
    """Return the decision about the configuration and the code that it names, without the workflow files.

    It serves commands that have not loaded the workspace. The trust is that of an engine of `user` (default: this user).
    """
    content, place = read_content(config), place_of(config.workspace, user=user)
    record = place.record
    if record is not None and record.content is not None:
        known = {name: digest for name, digest in record.content.items() if name in content.files}
        record = replace(record, content=known)
    return judge(record, content, mode_of(config, place), lambda: exposure(config, content, user))
