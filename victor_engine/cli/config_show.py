"""The command group `victor config`, which shows the effective settings and their places."""

from __future__ import annotations

import json
from pathlib import Path

import click

from victor_engine.cli.output import print_json, table


@click.group()
def config() -> None:
    """Show the settings of the workspace."""


@config.command("show")
@click.argument("keys", nargs=-1)
@click.option("--origin", is_flag=True, help="Print the place of each setting, or default.")
@click.option(
    "-c", "--config", "file", type=click.Path(path_type=Path), help="The scheduler.yaml of the engine."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def show(ctx: click.Context, keys: tuple[str, ...], origin: bool, file: Path | None, as_json: bool) -> None:
    """Print the effective settings, or those of KEYS, such as scheduler or scheduler.defaults.timezone.

    They are those of an engine that starts in this environment. Of bindings only the kind is printed, of secrets only
    the source.
    """
    from victor_engine.config import load_config
    from victor_engine.config.effective import effective
    from victor_engine.config.yaml_locations import did_you_mean
    from victor_engine.errors import NotFoundError
    from victor_engine.service.paths import find_workspace

    found = list(effective(load_config(find_workspace(ctx.obj["workspace"]), config_file=file)))
    for key in keys:
        if not any(each.key == key or each.key.startswith(f"{key}.") for each in found):
            hint = did_you_mean(key, [each.key for each in found])
            raise NotFoundError(f"the setting {key!r} does not exist or is not set. {hint}")
    if keys:
        found = [s for s in found if any(s.key == key or s.key.startswith(f"{key}.") for key in keys)]
    if as_json:
        print_json(found)
        return
    rows = [(s.key, _text(s.value), *((s.origin,) if origin else ())) for s in found]
    table(("setting", "value", *(("origin",) if origin else ())), rows)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
