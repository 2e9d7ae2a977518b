"""The decision whether the content of a workspace is trusted: a pure function of its record and its content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from victor_engine.config.content import CONFIGURATION, FUNCTIONS, Content
from victor_engine.config.trust_list import TrustRecord
from victor_engine.text import plural

Mode = Literal["pinned", "watch"]
"""`pinned`: changed content needs a new yes. `watch`: content that only root or the user of the engine can write is
trusted as it changes."""


_WORKFLOWS = (".yaml", ".yml")
"""A workflow file that is gone disables its schedules, which needs a yes. Other files that are gone do nothing."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision about the content of a workspace, with the files that are new, changed or gone since the last yes.

    `trusted` is whether the engine may execute anything of it. The files in `held` are not trusted even then: they are
    not deployed, and their commands do not start. `first` is whether the content is to be recorded, because the
    workspace was trusted by its path alone. `reason` says why something is not trusted.
    """

    trusted: bool
    reason: str = ""
    changes: Mapping[str, str] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    first: bool = False

    @property
    def complete(self) -> bool:
        """Whether the whole content is trusted."""
        return self.trusted and not self.held


def judge(
    record: TrustRecord | None, content: Content, mode: Mode, exposed: Callable[[], str | None]
) -> Verdict:
    """Return the decision about content. `exposed` returns why other users could change it; None if they could not."""
    if record is None or not record.given:
        new = dict.fromkeys(sorted(content.files), "new")
        if record is None or not record.withdrawn:
            return Verdict(False, "it has not been trusted", new, frozenset(new))
        last = record.withdrawn[-1]
        return Verdict(False, f"{last.by} withdrew the trust in it", new, frozenset(new))
    if record.content is None:
        return Verdict(True, first=True)
    changes = differences(record.content, content.files)
    if any(each.digest == content.digest for each in record.withdrawn):
        return Verdict(False, "the trust in this content was withdrawn", changes)
    held = frozenset(name for name, how in changes.items() if how != "gone" or name.endswith(_WORKFLOWS))
    if not held:
        return Verdict(True, changes=changes)
    shown = {name: changes[name] for name in sorted(held)}
    if mode == "pinned":
        reason = f"{_described(shown)} since trust was given"
    elif (why := exposed()) is not None:
        reason = f"{_described(shown)} since trust was given, and {why}"
    else:
        return Verdict(True, changes=changes)
    core = {CONFIGURATION, *content.bound.get(FUNCTIONS, ())}
    return Verdict(not core & held, reason, changes, held)


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Return the files that are new, changed or gone, by path."""
    found = {name: "gone" for name in before if name not in now}
    found |= {
        name: "changed" if name in before else "new"
        for name, digest in now.items()
        if before.get(name) != digest
    }
    return dict(sorted(found.items()))


def _described(changes: Mapping[str, str]) -> str:
    name, how = next(iter(changes.items()))
    more = f", and {plural(len(changes) - 1, 'more file')}" if len(changes) > 1 else ""
    return f"{name} is {how}{more}" if how != "changed" else f"{name} changed{more}"
