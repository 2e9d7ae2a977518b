"""Requests of any kind to `victor api`, made by schemathesis from the OpenAPI document.

``python -m tests.web.any_input --examples 200`` starts an engine and a server, and sends them as an admin.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.web.site import open_site
from victor_engine.api.roles import Role


def send(url: str, authorization: str, *, examples: int, step: int = 1, seed: int = 1) -> int:
    """Send requests for each `step`th method of the port that is one request. Return their number.

    Raise an error for a response with a status of 500 or more.
    """
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from schemathesis.checks import not_a_server_error

    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [each.ok() for each in schema.get_all_operations()]
    ends = ("/v1/engine/stop_engine", "/v1/engine/subscribe")  # the engine, and never
    sent, failed = 0, []
    for operation in [each for each in operations if each.path not in ends][::step]:

        @seeded(seed)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def call(case: Any) -> None:
            nonlocal sent
            response = case.call(headers={"Authorization": authorization})
            case.validate_response(response, checks=(not_a_server_error,))
            sent += 1

        try:
            call()
        except Exception as error:  # go on, and report all methods that fail
            failed.append(error)
    if failed:
        raise ExceptionGroup(f"{len(failed)} methods of the port failed", failed)
    return sent


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--examples", type=int, default=100, help="requests for each method")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="victor-api-") as folder,
        open_site(Path(folder)) as site,
        site.token("any", Role.ADMIN) as client,
    ):
        authorization = client.headers["authorization"]
        sent = send(site.url, authorization, examples=given.examples, seed=given.seed)
        client.post("/engine/whoami").raise_for_status()
    print(f"{sent} requests, none with a status of 500 or more")


if __name__ == "__main__":
    sys.exit(main())
