"""Addresses of servers: which of them only this machine reaches, and sockets that listen on them."""

from __future__ import annotations

import pytest

from victor_engine.addresses import address_of, address_text, is_loopback, listening_socket
from victor_engine.errors import ConfigError


@pytest.mark.parametrize(
    ("host", "local"), [("127.9.9.9", True), ("::1", True), ("10.0.0.1", False), ("x", False)]
)
def test_only_addresses_of_this_machine_are_loopback(host: str, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.mark.parametrize("text", ["127.0.0.1:8470", "[::1]:80"])
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    found = address_of(text)
    assert found is not None
    assert address_text(*found) == text


def test_an_address_that_another_program_uses_is_refused_with_a_remedy() -> None:
    with listening_socket("127.0.0.1", 0) as used:
        number = used.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{number} cannot be used: .*--listen"):
            listening_socket("127.0.0.1", number)
