"""The filter of the inbox: `mine unclaimed workflow:deploy words`.

Names of views select that view, fields select by their value, and all other words are searched for in title,
prompt and workflow. A request must match all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from difflib import get_close_matches

from victor_engine.api import RequestQuery
from victor_tui.filter_language import FilterError, check_length
from victor_tui.inbox.urgency import SOON_SECONDS

VIEWS = ("queue", "mine", "groups", "unclaimed", "soon", "overdue")
"""Named views. `queue` has the requests that the user may answer now, `soon` those that are due within half an hour
or overdue."""
FIELDS: dict[str, str] = {"workflow": "workflow:deploy", "run": "run:r00914", "kind": "kind:approval"}
"""Each field with an example."""
CYCLE = ("", "queue", "mine", "groups", "unclaimed", "overdue")
"""The filters that one key steps through."""


@dataclass(frozen=True)
class InboxFilter:
    """A parsed filter. The empty filter matches every request. Texts are in lower case."""

    views: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    workflow: str = ""
    run: str = ""
    kind: str = ""

    def query(self, now: datetime, statuses: tuple[str, ...], limit: int) -> RequestQuery:
        """Return the query for the store."""
        due = {"overdue": now, "soon": now + timedelta(seconds=SOON_SECONDS)}
        asked = [view for view in ("mine", "groups") if view in self.views]
        return RequestQuery(
            statuses=statuses,
            limit=limit,
            asked=("mine",) if "mine" in asked else ("groups",) if asked else (),
            answerable="queue" in self.views,
            unclaimed="unclaimed" in self.views,
            no_votes="unclaimed" in self.views,
            due_before=min((due[view] for view in self.views if view in due), default=None),
            words=self.words,
            workflow_part=self.workflow,
            run_prefix=self.run,
            kind_prefix=self.kind,
        )


def parse_inbox_filter(text: str, now: datetime, zone: tzinfo | None = None) -> InboxFilter:
    """Parse a filter. Raises `FilterError` for an invalid filter."""
    check_length(text)
    views: list[str] = []
    words: list[str] = []
    fields: dict[str, str] = {}
    for word in text.lower().split():
        name, colon, value = word.partition(":")
        if word in VIEWS:
            views.append(word)
        elif not colon or not name.isalpha():
            words.append(word)
        elif name not in FIELDS:
            close = get_close_matches(name, FIELDS, 1)
            hint = f"did you mean {close[0]}:?" if close else "fields are " + ", ".join(FIELDS)
            raise FilterError(f"unknown field {name!r}: {hint}")
        elif not value:
            raise FilterError(f"{name}: needs a value, for example {FIELDS[name]}")
        else:
            fields[name] = value
    return InboxFilter(tuple(views), tuple(words), **fields)
