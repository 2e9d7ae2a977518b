"""The choice of a theme: by the environment, by the user in the console, by the configuration, or by the terminal."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from textual.app import App
from textual.theme import BUILTIN_THEMES

from victor_engine.errors import VictorError
from victor_tui.config import theme_name
from victor_tui.text import clean
from victor_tui.textual_compat import remove_colours
from victor_tui.theme import look_for, register, show_glyphs
from victor_tui.themes.catalog import BUILT_IN, DARK, MONO, OWN, SHORT_NAMES
from victor_tui.themes.roles import own_variables
from victor_tui.user_files import UserFileError, read_json, replace_json, user_directory

AUTO = "auto"


def remembered_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return the path of the theme that the user chose last."""
    return user_directory("XDG_STATE_HOME", ".local/state", environ) / "theme.json"


def remembered(environ: Mapping[str, str] | None = None) -> str:
    """Return the theme that the user chose last, or nothing."""
    try:
        return read_json(remembered_path(environ), str, "the name of a theme") or ""
    except UserFileError:
        return ""  # the next choice replaces it


class ThemeChoice:
    """The themes of one application, and the one that it shows.

    `NO_COLOR` has priority over all choices. Then `fixed`, `VICTOR_THEME`, the theme that the user chose last,
    `console.theme` of the configuration, and the colours of the terminal.
    """

    def __init__(self, app: App[Any], fixed: str | None) -> None:
        self._app = app
        self._problem = ""
        for other in BUILTIN_THEMES.values():
            own = own_variables(look_for(other.name))
            app.register_theme(replace(other, variables={**own, **other.variables}))
        for look in BUILT_IN:
            app.register_theme(look.theme())
        if app.no_color:
            app.register_theme(MONO.theme())
            remove_colours(app)
        chosen = fixed or os.environ.get("VICTOR_THEME", "").strip() or remembered()
        self.open_to_configuration = not chosen and not app.no_color
        """Whether `console.theme` decides."""
        app.theme = DARK.name
        if app.no_color:
            app.theme = MONO.name
        elif not self._use(chosen or theme_name(os.environ)):
            self._use(theme_name(os.environ))

    def start(self) -> None:
        """Use the glyphs of each theme from now on, and show an error of the start."""
        self._app.watch(self._app, "theme", self._shown, init=True)
        self._report()

    def _shown(self, name: str) -> None:
        """Use the glyphs of a theme, and its styles for the text that Rich draws."""
        show_glyphs(name)
        self._app.console.push_theme(look_for(name).markdown())

    @property
    def names(self) -> list[str]:
        """The names of the themes that the user can choose."""
        short = {look.name.removeprefix("victor-") for look in BUILT_IN} | {OWN}
        others = (name for name in self._app.available_themes if not name.startswith("victor-"))
        return sorted(short.union(others))

    def choose(self, name: str) -> str:
        """Show a theme and remember it. Return the reason if it cannot be shown."""
        if self._app.no_color:
            return "NO_COLOR is set, so the console shows no colours. Unset it and start the console again."
        if name not in self.names and name not in SHORT_NAMES.values():
            return self._unknown(name)
        if not self._use(name):
            problem, self._problem = self._problem, ""
            return problem
        self._report()
        try:
            replace_json(remembered_path(), name)
        except UserFileError as error:
            self._problem = f"{name} is shown until you quit; it is not remembered: {error}"
            self._report()
        return ""

    def _unknown(self, name: str) -> str:
        return f"The theme {name} does not exist. Themes: {', '.join(self.names)}."

    def configure(self, name: str) -> None:
        """Show the theme of the configuration, unless another choice has priority."""
        if self.open_to_configuration:
            self._use(theme_name(os.environ) if name == AUTO else name)
            self._report()

    def _use(self, name: str) -> bool:
        """Show a theme. Without it, keep the present one, and note the problem."""
        app = self._app
        if name == OWN and not self._load_own():
            return False
        name = SHORT_NAMES.get(name, name)
        if name not in app.available_themes:
            self._problem = self._unknown(name)
            return False
        app.theme = name
        return True

    def _load_own(self) -> bool:
        """Read the file of the user. Note its errors and warnings."""
        from victor_tui.themes.own_file import own_path, read_own

        try:
            look, warnings = read_own(own_path())
        except VictorError as error:
            self._problem = error.message
            return False
        self._problem = "\n".join(warnings[:3])
        register(look)
        self._app.register_theme(look.theme())
        if self._app.theme == OWN:
            self._app.theme = DARK.name  # the same name with other colours would change nothing
        return True

    def _report(self) -> None:
        if self._problem:
            self._app.notify(
                clean(self._problem), title="Theme", severity="warning", timeout=10, markup=False
            )
        self._problem = ""
