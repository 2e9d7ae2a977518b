"""The addresses of metrics and traces: metrics are served on loopback or a Unix socket only."""

from __future__ import annotations

from victor_engine.addresses import is_loopback
from victor_engine.config.setting_readers import Reader

UNIX = "unix:"

_REMEDY = (
    "Write an address such as 127.0.0.1:9464 or unix:/run/victor/metrics.sock; to collect the metrics from another "
    "machine, publish them with a reverse proxy that authenticates"
)


def check_listen(reader: Reader) -> None:
    """Raise ConfigError if `listen` or `textfile` is not usable."""
    listen, textfile = reader.text("listen"), reader.text("textfile")
    if listen and not (listen.startswith(f"{UNIX}/") or _is_local(listen)):
        raise reader.fail(
            "listen", f"metrics.listen is {listen!r}, which is not an address of this machine alone", _REMEDY
        )
    if textfile and not textfile.startswith("/"):
        raise reader.fail(
            "textfile", "metrics.textfile must be absolute", "Write a path such as /var/lib/node/victor.prom"
        )


def check_receivers(reader: Reader) -> None:
    """Raise ConfigError if the receivers of traces are not usable."""
    endpoint, file = reader.text("endpoint"), reader.text("file")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise reader.fail(
            "endpoint",
            f"tracing.endpoint is {endpoint!r}",
            "Write the URL of an OTLP endpoint such as http://127.0.0.1:4318/v1/traces",
        )
    if file and not file.startswith("/"):
        raise reader.fail(
            "file", "tracing.file must be absolute", "Write a path such as /var/log/victor-traces"
        )


def _is_local(listen: str) -> bool:
    """Return whether an address is a loopback host and a port."""
    host, port = split_address(listen)
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        return False
    return host == "localhost" or is_loopback(host)


def split_address(listen: str) -> tuple[str, str]:
    """Return host and port of an address. IPv6 hosts are in brackets."""
    host, _, port = listen.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), port


__all__ = ["UNIX", "check_listen", "check_receivers", "split_address"]
