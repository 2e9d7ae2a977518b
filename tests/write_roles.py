"""Generate `docs/roles.md` from the declaration of the port: ``python -m tests.write_roles``."""

from __future__ import annotations

import inspect
from pathlib import Path

from tests.write_statuses import sentences
from victor_engine.api import roles
from victor_engine.api.port import PortMethod, declared
from victor_engine.api.roles import Role, with_included

PAGE = Path(__file__).parents[1] / "docs" / "roles.md"


def summary(method: PortMethod) -> str:
    """Return the first sentence of the documentation of a method."""
    text = " ".join(inspect.cleandoc(method.declaration.__doc__ or "").split())
    return text.split(". ")[0].rstrip(".").replace("|", "\\|") + "."


def page() -> str:
    """Return the text of the page."""
    lines = [
        "# Roles",
        "",
        "Generated from the declaration of the port. To generate it again: `python -m tests.write_roles`.",
        "",
        "`permissions` in the [configuration](configuration.md#security-settings) grants roles to users and groups.",
        "Root and the user of the engine are always admin. The engine checks each call.",
        "",
        "| role | meaning | includes |",
        "|---|---|---|",
    ]
    found = {name: members for name, _, members in sentences(Path(str(roles.__file__)))}
    for value, meaning in found["Role"]:
        others = [f"`{other}`" for other in Role if other in with_included([Role(value)]) and other != value]
        lines.append(f"| `{value}` | {' '.join(meaning.split())} | {', '.join(others)} |")
    lines += [
        "",
        "## Methods",
        "",
        "The commands and the console use these methods. *Assignee* means that a user whom a request names as an",
        "assignee, directly or through a group, can call the method without the role: for that request, and nothing",
        "else. *Asker* means the same for a user with the role `ask`, and the questions that this user asked from a shell.",
        "",
        "| method | role | without the role | effect |",
        "|---|---|---|---|",
    ]
    for name, method in declared().items():
        others = [word for word, may in (("assignee", method.assignee), ("asker", method.asker)) if may]
        needed = f"`{method.role}`" if method.role is not None else "none"
        lines.append(f"| `{name}` | {needed} | {', '.join(others)} | {summary(method)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
