"""The commands on versions of workflows: start, migrate, roll out, deprecate, remove."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from victor_engine.api import AliasInfo, VersionInfo
from victor_tui.base_screen import TableScreen
from victor_tui.text import plural
from victor_tui.versions.rows import VersionRow
from victor_tui.widgets.table import LineTable


class VersionCommands:
    """The commands on the versions of one screen.

    `table` returns its table, `aliases` the aliases of a workflow.
    """

    def __init__(
        self,
        screen: TableScreen,
        table: Callable[[], LineTable[VersionRow]],
        aliases: Callable[[str], list[AliasInfo]],
    ) -> None:
        self._screen = screen
        self._table = table
        self._aliases = aliases
        self._commands: dict[str, Callable[[], Awaitable[None]]] = {
            "start": self._start,
            "migrate": self._migrate,
            "promote": self._promote,
            "roll_back": self._roll_back,
            "alias": self._alias,
            "deprecate": self._deprecate,
            "remove": self._remove,
            "restore": self._restore,
            "runs": self._runs,
        }

    def allows(self, command: str) -> bool:
        """Return whether a command is available now."""
        row: VersionRow | None = self._screen.current
        if row is None:
            return False
        match command:
            case "deprecate":
                return row.info.deprecated is None
            case "remove":
                return row.info.removed is None
            case "restore":
                return row.info.removed is not None or row.info.deprecated is not None
            case "promote" | "roll_back":
                return self._rollout(command) is not None
            case "migrate":
                return self._migration() is not None
        return True

    def start(self, command: str) -> None:
        """Execute a command in a worker of the screen."""
        self._screen.run_worker(self._commands[command](), group="action")

    def pair(self) -> tuple[VersionRow, VersionRow] | None:
        """Return the versions to compare: two marked ones, or the one under the cursor and its predecessor."""
        table = self._table()
        marked = table.marked_rows
        if len(marked) == 2:
            return marked[1], marked[0]
        if len(marked) > 2 or table.row is None:
            return None
        if marked:
            return (table.row, marked[0]) if marked[0].id != table.row.id else None
        below = table.rows[table.cursor + 1 : table.cursor + 2]
        same = below and below[0].info.workflow == table.row.info.workflow
        return (below[0], table.row) if same else None

    def _migration(self) -> tuple[str, str, str] | None:
        """Return workflow, old and new version of a migration: two marked versions, or the newest migration source."""
        table = self._table()
        pair = self.pair() if table.marked_rows else None
        if pair is not None and pair[0].info.workflow == pair[1].info.workflow:
            old, new = sorted(pair, key=lambda row: row.info.registered_at)
            return new.info.workflow, old.info.version, new.info.version
        info = self._screen.current.info
        if not info.migrations_from:
            return None
        return info.workflow, info.migrations_from[-1], info.version

    async def _migrate(self) -> None:
        from victor_tui.versions.migrate_dialog import MigrateDialog

        found = self._migration()
        if found is not None:
            self._screen.console.push_screen(MigrateDialog(*found))

    async def _deprecate(self) -> None:
        info: VersionInfo = self._screen.current.info
        body = (
            "Runs and schedules that use it continue, with a warning.\n"
            f"It has {plural(info.schedules, 'schedule')} and {plural(info.active_runs, 'active run')}.\n"
            "Your note is shown with the warning: name the version to use instead."
        )
        note = await self._screen.console.dialogs.confirm(f"Deprecate {info.workflow} {info.version}?", body)
        if note is not None:
            action = self._screen.port.deprecate(info.workflow, info.version, note or "deprecated")
            await self._screen.console.perform(action, f"Deprecated {info.workflow} {info.version}.")
            self._screen.console.feed.mark_stale("workflows")

    async def _remove(self) -> None:
        info: VersionInfo = self._screen.current.info
        body = (
            "New runs cannot start on it. Active runs continue. Fires of schedules that use it are\n"
            f"skipped with your note. It has {plural(info.schedules, 'schedule')} and "
            f"{plural(info.active_runs, 'active run')}."
        )
        note = await self._screen.console.dialogs.confirm(f"Remove {info.workflow} {info.version}?", body)
        if note is not None:
            action = self._screen.port.remove_version(info.workflow, info.version, note)
            await self._screen.console.perform(action, f"Removed {info.workflow} {info.version}.")

    async def _restore(self) -> None:
        info: VersionInfo = self._screen.current.info
        action = self._screen.port.restore_version(info.workflow, info.version)
        await self._screen.console.perform(action, f"Restored {info.workflow} {info.version}.")

    async def _alias(self) -> None:
        from victor_tui.versions.alias_dialog import AliasDialog

        info: VersionInfo = self._screen.current.info
        await self._screen.console.push_screen_wait(AliasDialog(info, self._aliases(info.workflow)))

    def _rollout(self, action: str) -> AliasInfo | None:
        """Return the alias that a promotion or rollback changes, preferably one that points at this version."""
        if self._screen.current is None:
            return None
        row: VersionRow = self._screen.current
        able = [
            info
            for info in self._aliases(row.info.workflow)
            if (len(info.sides) > 1 if action == "promote" else info.rolls_back_to is not None)
        ]
        here = [info for info in able if info.name in row.info.aliases]
        return next(iter(here or able), None)

    async def _promote(self) -> None:
        info = self._rollout("promote")
        if info is None:
            return
        old, new = info.sides
        body = f"All new runs of {info.name} will use {new.version}. Now {old.weight}% use {old.version}."
        note = await self._screen.console.dialogs.confirm(f"Promote {info.workflow} {new.version}?", body)
        if note is not None:
            action = self._screen.port.promote_alias(info.workflow, info.name, note=note)
            await self._screen.console.perform(action, f"{info.name} now points to {new.version}.")

    async def _roll_back(self) -> None:
        info = self._rollout("roll_back")
        if info is None:
            return
        body = f"All new runs of {info.name} will use {info.rolls_back_to}. Active runs continue."
        note = await self._screen.console.dialogs.confirm(f"Roll {info.workflow} {info.name} back?", body)
        if note is not None:
            action = self._screen.port.roll_back_alias(info.workflow, info.name, note=note)
            await self._screen.console.perform(action, f"{info.name} now points to {info.rolls_back_to}.")

    async def _runs(self) -> None:
        self._screen.console.navigator.show_runs(f"workflow:{self._screen.current.info.workflow}")

    async def _start(self) -> None:
        info: VersionInfo = self._screen.current.info
        await self._screen.console.dialogs.start_workflow(info.workflow, info.version)
