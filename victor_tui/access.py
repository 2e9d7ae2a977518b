"""The roles of the current user, and the actions of the console that need another one.

`METHODS` maps an action to the method of the port that it calls; the declaration of the port has the role. The key bar,
the palette and `VictorApp.run_action` ask `Access.refusal`, so an action is shown as disabled where it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from textual.app import App

from victor_engine.api import (
    CallerInfo,
    EngineInfo,
    RequestInfo,
    Role,
    granting_users,
    needed_role,
    shown_roles,
)

METHODS: Mapping[str, str] = MappingProxyType({
    "app.reload": "reload",
    "app.drain": "drain",
    "app.show('schedules')": "schedules",
    "app.show('runs')": "runs",
    "app.show('history')": "events",
    "app.show('versions')": "workflows",
    "new": "start_run",
    "schedule('trigger')": "trigger_schedule",
    "schedule('pause')": "pause_schedule",
    "schedule('resume')": "resume_schedule",
    "schedule('edit')": "edit_schedule",
    "schedule('new')": "add_schedule",
    "schedule('backfill')": "start_backfill",
    "schedule('skip')": "skip_next",
    "schedule('remove')": "remove_schedule",
    "run_command('cancel')": "cancel_run",
    "run_command('kill')": "cancel_run",
    "run_command('pause')": "pause_run",
    "run_command('resume')": "resume_run",
    "run_command('retry')": "retry_run",
    "run_command('redrive')": "redrive_run",
    "run_command('rerun')": "rerun",
    "run_command('discard')": "discard_run",
    "run_command('override')": "override_node",
    "request('claim')": "claim",
    "request('release')": "release",
    "request('reassign')": "reassign",
    "request('delegate')": "delegate",
    "request('push_back')": "push_back",
    "request('say')": "ask_requester",
    "version('start')": "start_run",
    "version('migrate')": "migrate_runs",
    "version('promote')": "promote_alias",
    "version('roll_back')": "roll_back_alias",
    "version('alias')": "set_alias",
    "version('deprecate')": "deprecate",
    "version('remove')": "remove_version",
    "version('restore')": "restore_version",
})  # fmt: skip
"""The method of the port that each action calls. Actions of the application begin with `app.`."""


class Access:
    """The roles of the current user.

    `caller` and `engine` return the last answers of the engine; None before the first.
    """

    def __init__(
        self, caller: Callable[[], CallerInfo | None], engine: Callable[[], EngineInfo | None]
    ) -> None:
        self._caller = caller
        self._engine = engine

    @property
    def limited(self) -> bool:
        """Return whether the current user sees only the requests to this user."""
        caller = self._caller()
        return caller is not None and Role.VIEWER not in caller.roles

    def refusal(self, action: str, node: object) -> str | None:
        """Return why the current user may not take an action; None if they may, or if it needs no role.

        `node` is the screen, dialog or application with the action.
        """
        caller = self._caller()
        name = (
            getattr(node, "METHOD", "") if action == "submit" else METHODS.get(_full_name(action, node), "")
        )
        if caller is None or not name:
            return None
        request = getattr(node, "request", None) or getattr(node, "current", None)
        together = getattr(node, "requests", None)
        if _asked(request) or (isinstance(together, list) and all(map(_asked, together))):
            return None  # the engine lets the assignees act, and names them to other users
        if isinstance(request, RequestInfo) and name == "ask_requester" and request.held_since is not None:
            name = "reply"
        return self.lacks(name)

    def lacks(self, method: str) -> str | None:
        """Return why the current user may not call a method of the port; None if they may."""
        caller, needed = self._caller(), needed_role(method)
        if caller is None or needed is None or needed in caller.roles:
            return None
        engine = self._engine()
        ask = granting_users("" if engine is None else engine.engine_user)
        return f"This needs the role {needed}; {caller.user} has {shown_roles(caller.roles)}. Ask {ask} for a role."


def _asked(request: object) -> bool:
    """Return whether an object is a request to the current user."""
    return isinstance(request, RequestInfo) and request.asked_as != "anyone"


def _full_name(action: str, node: object) -> str:
    name = action.removeprefix("app.")
    return f"app.{name}" if isinstance(node, App) or action.startswith("app.") else name
