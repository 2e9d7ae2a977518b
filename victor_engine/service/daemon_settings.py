"""The settings of the last daemon on a state directory, which commands use while no engine runs.

With other settings a command would deploy the files with other defaults, or compare them with other defaults.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from victor_engine import jsonio
from victor_engine.api import ProblemInfo
from victor_engine.config.layers import ENGINE_ENVIRONMENT
from victor_engine.errors import ConfigError, StoreError
from victor_engine.service.paths import Paths
from victor_engine.store.queries.ids import Source
from victor_engine.store.repositories import meta
from victor_engine.store.snapshot import SnapshotReader


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """The configuration file and the environment of the settings; None for those of this process."""

    config: Path | None = None
    environ: Mapping[str, str] | None = None
    problems: tuple[ProblemInfo, ...] = ()
    """The variables of this process that are not used."""


def settings_of_daemon(db_path: Path) -> DaemonSettings:
    """Return the settings of the last daemon on a store.

    Raise ConfigError if its configuration file does not exist any more.
    """
    if not db_path.exists():
        return DaemonSettings()
    reader = SnapshotReader(db_path)
    try:
        config, variables = reader.read(_stored)
    except StoreError:
        return (
            DaemonSettings()
        )  # the store is of an earlier release, or is damaged, which its opening reports
    finally:
        reader.close()
    if config and not os.path.isfile(config):
        raise ConfigError(
            f"{config}: the engine was started with this configuration file, which does not exist; nothing was changed. "
            "Restore the file, or start the engine with another one: victor scheduler start --config FILE",
            path=config,
        )
    file = Path(config) if config else None
    return DaemonSettings(file) if variables is None else _settings(file, jsonio.loads(variables))


async def of_paths(paths: Paths) -> DaemonSettings:
    """Return the settings of the last daemon on a state directory, as `settings_of_daemon` does."""
    import asyncio

    return await asyncio.to_thread(settings_of_daemon, paths.db_path)


def _stored(source: Source) -> tuple[str, str | None]:
    return meta.get(source, meta.ENGINE_CONFIG) or "", meta.get(source, meta.ENGINE_ENVIRON)


def _settings(config: Path | None, variables: Mapping[str, str]) -> DaemonSettings:
    own = {name: value for name, value in os.environ.items() if name.startswith(ENGINE_ENVIRONMENT)}
    others = {name: value for name, value in os.environ.items() if name not in own}
    differing = sorted(name for name in own.keys() | variables.keys() if own.get(name) != variables.get(name))
    problems = tuple(
        ProblemInfo(
            "warning",
            f"{name} of this process is not used: the last daemon of this state directory "
            + (f"had {variables[name]!r}" if name in variables else "did not have it"),
            remedy="Start the daemon with it: victor scheduler start",
        )
        for name in differing
    )
    return DaemonSettings(config, {**others, **variables}, problems)
