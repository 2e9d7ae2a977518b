"""The themes: complete sets of roles, readable in each, without colours, and the choice that is remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from rich.color import Color as RichColor
from rich.color import ColorType
from textual.color import Color
from textual.pilot import Pilot

from tests.tui.conftest import console, until
from tests.tui.test_console import go
from tests.tui.world import World
from victor_engine.config.layers import CONSOLE_THEMES
from victor_engine.errors import ConfigError
from victor_tui.theme import look_for, run_mark, show_glyphs
from victor_tui.themes.catalog import ANSI, BUILT_IN, COLOUR_BLIND, DARK, LIGHT, MONO, OWN, SHORT_NAMES
from victor_tui.themes.choice import remembered, remembered_path
from victor_tui.themes.contrast import TEXT_CONTRAST, contrast, too_faint
from victor_tui.themes.own_file import own_path, read_own
from victor_tui.themes.roles import ROLE_NAMES, STATE_TONES, Look

ANSI_NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"]
ANSI_NAMES += [f"bright_{name}" for name in ANSI_NAMES]
XTERM = "000000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5 7f7f7f ff0000 00ff00 ffff00 5c5cff ff00ff 00ffff ffffff"
LINUX = "000000 aa0000 00aa00 aa5500 0000aa aa00aa 00aaaa aaaaaa 555555 ff5555 55ff55 ffff55 5555ff ff55ff 55ffff ffffff"
PALETTES = {"xterm": XTERM.split(), "linux": LINUX.split()}
"""The 16 colours as these terminals draw them."""


def of_palette(name: str) -> Callable[[str], Color]:
    colours = dict(zip(ANSI_NAMES, PALETTES[name], strict=True))
    return lambda role: Color.parse(f"#{colours[role.removeprefix('ansi_')]}")


@pytest.mark.parametrize("look", [look for look in BUILT_IN if look is not ANSI], ids=lambda look: look.name)
def test_every_pair_of_a_theme_can_be_read(look: Look) -> None:
    assert too_faint(look) == []


@pytest.mark.parametrize("palette", PALETTES)
def test_the_native_theme_has_only_the_16_colours_and_can_be_read(palette: str) -> None:
    assert {role.removeprefix("ansi_") for _, role in ANSI.roles.items()} <= set(ANSI_NAMES)
    assert too_faint(ANSI, of_palette(palette)) == []


DEFICIENCIES = {
    "protanopia": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "deuteranopia": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "tritanopia": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
}
"""The simulation of Machado, Oliveira and Fernandes (2009), at full severity, on linear colours."""


def seen(colour: str, matrix: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
    """Return the CIE L*a*b* values of a colour as a person with this deficiency sees it."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (each / 255 for each in Color.parse(colour).rgb)
    ]
    red, green, blue = (sum(a * b for a, b in zip(row, linear, strict=True)) for row in matrix)
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883
    a, b, c = (max(each, 0) ** (1 / 3) if each > 0.008856 else 7.787 * each + 16 / 116 for each in (x, y, z))
    return 116 * b - 16, 500 * (a - b), 200 * (b - c)


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_states_differ_for_users_who_see_colours_differently(deficiency: str) -> None:
    matrix = DEFICIENCIES[deficiency]
    colours = {tone: seen(getattr(COLOUR_BLIND.roles, tone), matrix) for tone in STATE_TONES}
    near = [
        pair
        for pair in combinations(colours, 2)
        if sum((a - b) ** 2 for a, b in zip(*(colours[tone] for tone in pair), strict=True)) ** 0.5 < 12
    ]
    assert near == []


# --- the user's file -------------------------------------------------------------------------------


def own(text: str) -> Path:
    path = own_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_file_of_the_user_changes_some_roles_and_glyphs() -> None:
    path = own("base: light\ncolors: {muted: '#333333'}\nglyphs: {failed: X, approval: '!'}\n")
    look, warnings = read_own(path)
    assert warnings == []
    assert (look.roles.muted, look.roles.text) == ("#333333", look_for("victor-light").roles.text)
    assert look.glyphs == {"failed": "X", "approval": "!"}


def test_the_theme_without_colours_can_be_a_base() -> None:
    look, _ = read_own(own("base: mono\nglyphs: {failed: X}\n"))
    assert (look.name, look.reverse, look.roles) == (OWN, True, MONO.roles)


@pytest.mark.parametrize(
    ("name", "look"),
    [
        ("victor-ansi", ANSI),
        ("ansi-light", ANSI),
        ("textual-light", LIGHT),
        ("dracula", DARK),
        ("unknown", DARK),
        ("ansi-unknown", DARK),
    ],
)
def test_every_name_has_the_roles_of_a_theme(name: str, look: Look) -> None:
    assert look_for(name) is look


def test_colours_that_are_hard_to_read_are_named() -> None:
    path = own("colors:\n  muted: '#303030'\n")
    _, warnings = read_own(path)
    assert any(f"{path}:2:3: muted on background has a contrast of" in line for line in warnings)


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("base: drak\n", "1:1", "Did you mean 'dark'?"),
        ("colors:\n  mutd: '#ffffff'\n", "2:3", "Did you mean 'muted'?"),
        ("colors:\n  muted: reddish\n", "2:3", "not a colour"),
        ("base: ansi\ncolors:\n  muted: '#ffffff'\n", "3:3", "ansi_red"),
        ("glyphs:\n  failed: no\n", "2:3", "not one character"),
        ("glyphs:\n  failed: '\\e'\n", "2:3", "not one character"),
        ("glyphs:\n  faild: x\n", "2:3", "Did you mean 'failed'?"),
        ("colors: dark\n", "1:1", "must be a mapping"),
        ("colors: {\n", "2:1", "not valid YAML"),
    ],
)
def test_an_error_in_the_file_has_its_place_and_a_remedy(text: str, place: str, says: str) -> None:
    path = own(text)
    with pytest.raises(ConfigError) as caught:
        read_own(path)
    assert f"{path}:{place}" in caught.value.message
    assert says in caught.value.message


def test_the_configuration_knows_the_names() -> None:
    assert set(CONSOLE_THEMES) == {"auto", OWN, *(name for name in SHORT_NAMES if name != "mono")}
    assert len(ROLE_NAMES) == 20


# --- what is drawn ---------------------------------------------------------------------------------


def cells(pilot: Pilot[Any]) -> Iterator[tuple[str, Any]]:
    """Yield each drawn text with its style."""
    for strip in pilot.app.screen._compositor.render_strips():
        yield from ((segment.text, segment.style) for segment in strip if segment.text.strip())


def colour(rich: RichColor | None, default: str, palette: str) -> Color:
    if rich is None or rich.type == ColorType.DEFAULT:
        rich = RichColor.parse(default.removeprefix("ansi_"))
    if rich.type == ColorType.STANDARD and rich.number is not None:
        return Color.parse(f"#{PALETTES[palette][rich.number]}")
    return Color.from_rich_color(rich)


LINES = set("│─╭╮╰╯┌┐└┘├┤┬┴┼▌▐▏▕▁▂▃▄▅▆▇█▔▎▊╺╸━┃║═▛▜▙▟▀╶╴╷╵╎╌ ·")


def faint(pilot: Pilot[Any], look: Look, palette: str) -> set[tuple[str, str, float]]:
    """Return the drawn texts whose contrast is too low."""
    found = set()
    for text, style in cells(pilot):
        if set(text) <= LINES:
            continue
        front = colour(style.color, look.roles.text, palette)
        back = colour(style.bgcolor, look.roles.background, palette)
        assert not style.dim, text
        if style.reverse:
            front, back = back, front
        if (measured := contrast(front, back)) < TEXT_CONTRAST:
            found.add((text.strip(), f"{front.hex} on {back.hex}", round(measured, 2)))
    return found


SCREENS = ("2", "3", "4", "5", "1")
DIALOGS = ("question_mark", "e", "b")


async def test_every_text_that_is_drawn_can_be_read(live: World, painted: None) -> None:
    """The console is restyled while screens and dialogs are open."""
    app = console(live)
    async with app.run_test(size=(120, 40)) as pilot:
        wrong: dict[str, set[Any]] = {}
        for keys in (*((key, "down") for key in SCREENS), *((key,) for key in DIALOGS)):
            await go(pilot, *keys)
            for look in BUILT_IN:
                app.theme = look.name
                await pilot.pause()
                for palette in PALETTES if look is ANSI else ("xterm",):
                    wrong.setdefault(f"{look.name} {keys[0]}", set()).update(faint(pilot, look, palette))
            if keys[0] in DIALOGS:
                await go(pilot, "escape")
        lines = [f"{place}: {text}" for place, texts in wrong.items() for text in sorted(texts)]
        assert not lines, "\n".join(lines[:200])


async def test_without_colours_nothing_has_a_background(live: World, painted: None, monkeypatch: Any) -> None:
    """`NO_COLOR` has priority over each choice, and the cursor and the marks can still be seen."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("VICTOR_THEME", "light")
    app = console(live)
    async with app.run_test(size=(80, 24)) as pilot:
        for keys in (("2", "down"), ("3",), ("1", "e")):
            await go(pilot, *keys)
            drawn = [
                segment
                for strip in app.screen._compositor.render_strips()
                for segment in strip.apply_filter(app._filters[1], Color.parse("black"))
            ]
            assert all(
                each is None or each.type == ColorType.DEFAULT
                for segment in drawn
                if segment.style is not None
                for each in (segment.style.color, segment.style.bgcolor)
            )
            assert any(segment.style is not None and segment.style.reverse for segment in drawn)
        assert any("│" in segment.text for segment in drawn), "the sides of fields"
        await go(pilot, "escape", "colon", *"theme dark", "enter")
        assert "NO_COLOR is set" in str(app.screen.query_one("#error").content)


async def test_the_theme_is_chosen_remembered_and_reported(world: World, monkeypatch: Any) -> None:
    """The configuration decides for users who have not chosen. A choice is remembered, also of the user's own file."""
    monkeypatch.delenv("VICTOR_THEME", raising=False)
    world.write("victor.yaml", "console: {theme: light}\n")
    app = console(world, theme="")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.theme == "victor-light")
        assert not remembered(), "looking writes nothing"
        path = own("colors: {text: 7}\n")
        await go(pilot, "2", "colon", *"theme own", "enter")
        assert f"{path}:1:10: 7 is not a colour" in str(app.screen.query_one("#error").content)
        assert app.theme == "victor-light"
        await go(pilot, "escape", "colon", *"theme foo", "enter")
        assert "The theme foo does not exist. Themes: " in str(app.screen.query_one("#error").content)
        await go(pilot, "escape")
        state = remembered_path().parent
        state.parent.mkdir(parents=True, exist_ok=True)
        state.write_text("not a directory")
        await go(pilot, "colon", *"theme dark", "enter")
        assert app.theme == "victor-dark"
        told = app.session.told[0].text
        assert told.startswith(f"dark is shown until you quit; it is not remembered: {remembered_path()}: ")
        assert "nothing was changed" not in told
        assert not app.screen.query("#error"), "the command line is closed"
        state.unlink()
        own("base: high-contrast\nglyphs: {failed: X}\n")
        await go(pilot, "colon", *"theme own", "enter")
        assert (app.theme, remembered(), remembered_path().stat().st_mode & 0o777) == (OWN, OWN, 0o600)
        assert run_mark("failed").text == "X failed"
        assert any("X failed" in text for text, _ in cells(pilot)), "the rows are drawn again"
    own("glyphs: {failed: XX}\n")
    again = console(world, theme="")
    async with again.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: [each for each in again.session.told if "theme.yaml:1:10" in each.text])
        assert again.theme in ("victor-dark", "victor-ansi")
    show_glyphs("victor-dark")
