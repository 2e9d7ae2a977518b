"""Addresses of servers, and the sockets that listen on them."""

from __future__ import annotations

import ipaddress
import re
import socket

from victor_engine.errors import ConfigError

WAITING_CONNECTIONS = 128
"""Maximum connections that wait until a server accepts them."""


def address_of(text: str) -> tuple[str, int] | None:
    """Return the address and the port of a text such as `127.0.0.1:8470` or `[::1]:8470`; None if it is neither."""
    host, _, port = text.rpartition(":")
    try:
        found = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    brackets = host.startswith("[") and host.endswith("]")
    if brackets != (found.version == 6) or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        return None
    return str(found), int(port)


def address_text(host: str, port: int) -> str:
    """Return an address with its port as `address_of` reads it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address. A name is not an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address. Raise ConfigError if the address cannot be used."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(WAITING_CONNECTIONS)
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"{address_text(host, port)} cannot be used: {error.strerror or error}. Give another one with --listen"
        ) from error
    return bound
