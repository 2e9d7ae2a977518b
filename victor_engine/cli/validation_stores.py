"""The stores of the workspaces that `victor validate` checks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from victor_engine.definition.model import WorkflowDefinition
    from victor_engine.store.snapshot import SnapshotReader


class Stores:
    """The stores of workspaces, as a source of deprecated versions. They are read only and may not exist."""

    def __init__(self, state_dir: str | None) -> None:
        self._state_dir = state_dir
        self._readers: dict[Path, SnapshotReader | None] = {}

    def deprecation(self, workspace: Path, definition: WorkflowDefinition) -> str | None:
        """Return the notice of a version from `victor versions deprecate` or `remove`.

        Return None if it has none or the store does not exist. Raise StoreError if the store cannot be read.
        """
        from victor_engine.store import queries
        from victor_engine.versioning.catalog import normal_version

        reader = self._reader(workspace)
        if reader is None or definition.version is None:
            return None
        name, version = definition.name, normal_version(definition.version)
        return reader.read(lambda connection: queries.version_notice(connection, name, version))

    def conflict(self, workspace: Path, definition: WorkflowDefinition, path: Path) -> str | None:
        """Return the error of a version that the store has with other content; None without one.

        Raise StoreError if the store cannot be read.
        """
        from victor_engine.definition.content import checksum
        from victor_engine.errors import DefinitionError
        from victor_engine.versioning import catalog

        reader = self._reader(workspace)
        if reader is None or definition.version is None:
            return None
        content = definition.content or {}

        def look(connection: sqlite3.Connection) -> str | None:
            if catalog.find_registered(connection, definition, checksum(content)) is not None:
                return None
            try:
                catalog.refuse_conflict(connection, definition, content, str(path.absolute()))
            except catalog.VersionConflictError as error:
                return error.message.removeprefix(f"{path.absolute()}: ")
            return None

        try:
            return reader.read(look)
        except DefinitionError:
            return None  # the version is not valid, which the check of the file reports

    def has(self, workspace: Path, definition: WorkflowDefinition) -> bool:
        """Return whether the store has this content, so that it is not new. False if the store cannot be read."""
        from victor_engine.definition.content import checksum
        from victor_engine.errors import VictorError
        from victor_engine.versioning import catalog

        try:
            reader = self._reader(workspace)
            digest = checksum(definition.content or {})
            return reader is not None and reader.read(
                lambda connection: catalog.find_registered(connection, definition, digest) is not None
            )
        except VictorError:
            return False  # reported with the notice of the version

    def versions(self, workspace: Path) -> dict[str, set[str]]:
        """Return the versions of each workflow in the store; empty if it does not exist or cannot be read."""
        from victor_engine.errors import StoreError
        from victor_engine.store.repositories import definitions

        reader = self._reader(workspace)
        if reader is None:
            return {}

        def look(connection: sqlite3.Connection) -> dict[str, set[str]]:
            names = definitions.names(connection)
            return {name: set(definitions.version_names(connection, name)) for name in names}

        try:
            return reader.read(look)
        except StoreError:
            return {}

    def _reader(self, workspace: Path) -> SnapshotReader | None:
        """Return a reader of the store of the running engine, else of this user; None if it cannot be read."""
        from victor_engine.service.connect import find
        from victor_engine.service.finding import engine_paths
        from victor_engine.store.snapshot import SnapshotReader

        if workspace not in self._readers:
            path = engine_paths(find(workspace, self._state_dir)).db_path
            self._readers[workspace] = SnapshotReader(path) if os.access(path, os.R_OK) else None
        return self._readers[workspace]
