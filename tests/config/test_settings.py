"""The settings of `victor.yaml` as text, and their differences."""

from __future__ import annotations

from datetime import date

from victor_engine.config.settings import changed_settings, settings_of


def test_values_that_can_contain_secrets_are_digests() -> None:
    found = settings_of(
        {"agents": {"a": {"env": {"TOKEN": "xyz"}}}, "notify": ["mailto://me:xyz@example.org"]}
    )
    assert found.keys() == {"agents.a", "notify"}
    assert "xyz" not in str(found)


def test_differences_have_names_and_the_values_of_plain_sections() -> None:
    old = {"scheduler": {"poll_interval": 5, "defaults": {"timezone": "UTC"}}, "tools": {"t": 1, "u": 2}}
    new = {"scheduler": {"poll_interval": 9}, "tools": {"t": 1, "u": date(2030, 1, 1)}, "hitl": {"x": 1}}
    assert list(changed_settings(settings_of(old), settings_of(new))) == [
        ("hitl.x", "added: 1"),
        ("scheduler.defaults.timezone", "removed: UTC"),
        ("scheduler.poll_interval", "changed: 5 -> 9"),
        ("tools.u", "changed"),
    ]
    shuffled = {"tools": {"u": 2, "t": 1}, "scheduler": old["scheduler"]}
    assert settings_of(old) == settings_of(shuffled)
