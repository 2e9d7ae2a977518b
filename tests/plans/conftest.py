"""Each test has a home of its own; the console's pauses do not depend on the speed of the machine."""

from __future__ import annotations

from tests.contract.conftest import own_home
from tests.tui.conftest import _the_speed_of_the_machine_does_not_show

__all__ = ["_the_speed_of_the_machine_does_not_show", "own_home"]
