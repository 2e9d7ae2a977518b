"""The trust in the loaded content of a workspace: what is left out without it, and how an action gives it."""

from __future__ import annotations

import os
from pathlib import Path

from victor_engine.api import FileChange, ProblemInfo, TrustInfo
from victor_engine.config.judging import Judgement, exposure
from victor_engine.config.trust_list import Checksums, give, withdraw
from victor_engine.engine.loaded_workspace import Workspace
from victor_engine.errors import PlanChangedError, UntrustedError
from victor_engine.identity import user_name
from victor_engine.text import plural

_HOW = {"new": "is new", "changed": "changed", "gone": "is gone"}


def how_to_trust(workspace: Path, judgement: Judgement | None = None) -> str:
    """Return the command that gives trust, to end a sentence."""
    sudo = "sudo " if judgement is not None and judgement.place.service and os.geteuid() != 0 else ""
    return f"{sudo}victor --workspace {workspace} trust"


def refusal(workspace: Path, judgement: Judgement) -> UntrustedError:
    """Return the error of work that needs a trusted workspace."""
    return UntrustedError(
        f"{workspace} is not trusted: {judgement.verdict.reason}. The engine executes nothing in it; review its content "
        f"with `victor --workspace {workspace} trust --show`, then run `{how_to_trust(workspace, judgement)}`"
    )


def untrusted(workspace: Workspace) -> tuple[ProblemInfo, ...]:
    """Return the content that is not trusted, which prevents a deployment: the workspace, or each file."""
    judgement, root = workspace.judgement, workspace.config.workspace
    verdict, remedy = judgement.verdict, f"Review it, and run: {how_to_trust(root, judgement)}"
    if verdict.complete:
        return ()
    if judgement.place.record is None or not judgement.place.record.given or not verdict.held:
        return (
            ProblemInfo(
                "error", f"the workspace is not trusted: {verdict.reason}", path=str(root), remedy=remedy
            ),
        )
    return tuple(
        ProblemInfo(
            "error",
            f"{name} is not trusted: it {_HOW[verdict.changes.get(name, 'changed')]} since trust was given",
            path=str(root / name),
            remedy=remedy,
        )
        for name in sorted(verdict.held)
    )


def leave_out(workspace: Workspace) -> bool:
    """Leave the workflow files that are not trusted out, and report them. Return whether anything may be applied.

    The content of a workspace that has never been trusted is not left out: it is shown, and nothing of it runs.
    """
    judgement = workspace.judgement
    verdict, record = judgement.verdict, judgement.place.record
    if verdict.complete or record is None:
        return True
    held = {workspace.config.workspace / name for name in verdict.held}
    workspace.workflows = [piece for piece in workspace.workflows if Path(piece.path) not in held]
    workspace.files_with_errors |= held
    workspace.held |= held
    if verdict.trusted:
        for problem in untrusted(workspace):
            workspace.add(problem)
    return verdict.trusted


def checksums(workspace: Workspace) -> Checksums:
    """Return the checksums of the versions of each workflow in the files."""
    found: dict[str, set[str]] = {}
    for piece in workspace.workflows:
        found.setdefault(piece.name, set()).add(piece.checksum)
    return {name: tuple(sorted(each)) for name, each in sorted(found.items())}


def check_yes(workspace: Workspace, content: str, service_user: str | None = None) -> None:
    """Raise PlanChangedError if a yes was given to other content, and UntrustedError if others can write it."""
    judgement = workspace.judgement
    if content and content != judgement.content.digest:
        raise PlanChangedError(
            "the content changed after it was shown, and trust was not given; look at it again", changed=[]
        )
    if judgement.mode == "watch" and service_user is None:
        why = exposure(workspace.config, judgement.content)
        if why is not None:
            raise UntrustedError(
                f"{workspace.config.workspace} cannot be trusted as it changes: {why}. Remove that permission, or let "
                "each change need a new yes: write `trust: {content: pinned}` to ~/.victor/scheduler.yaml"
            )


def give_trust(
    workspace: Workspace,
    content: str,
    *,
    by: str,
    at: str,
    service_user: str | None = None,
    config: str | None = None,
    checked: bool = True,
) -> None:
    """Record a yes to the loaded content. `content` is the digest that was shown; empty for the present one.

    With `service_user` it is recorded in the list of the administrator, with the file `config`. Without `checked` it
    does not matter who can write the content. Raises what `check_yes` raises, ConfigError and PermissionDeniedError.
    """
    if checked:
        check_yes(workspace, content, service_user)
    give(
        workspace.config.workspace,
        workspace.judgement.content,
        checksums(workspace),
        by=by,
        at=at,
        service_user=service_user,
        config=config,
    )


def withdraw_trust(workspace: Workspace, *, by: str, at: str, service_user: str | None = None) -> None:
    """Withdraw the trust in the recorded and in the loaded content."""
    withdraw(
        workspace.config.workspace,
        workspace.judgement.content,
        checksums(workspace),
        by=by,
        at=at,
        service_user=service_user,
    )


def trust_info(workspace: Workspace) -> TrustInfo:
    """Return the content that a trusted engine executes, and its changes since the last yes."""
    judgement = workspace.judgement
    commands, functions, urls = workspace.bindings.summary()
    record, verdict = judgement.place.record, judgement.verdict
    given = record if record is not None and record.given else None
    return TrustInfo(
        workspace=str(workspace.config.workspace),
        trusted=verdict.trusted,
        commands=tuple(commands),
        functions=tuple(functions),
        urls=tuple(urls),
        content=judgement.content.digest,
        mode=judgement.mode,
        service=judgement.place.service,
        reason=verdict.reason,
        changes=tuple(FileChange(path, how) for path, how in verdict.changes.items()),
        held=tuple(sorted(verdict.held)),
        files=len(judgement.content.files),
        by=given.by if given is not None else "",
        at=given.at if given is not None else "",
        user=user_name(os.geteuid()),
    )


def recorded_text(workspace: Workspace) -> str:
    """Return that the start recorded the content of a workspace that was trusted by its path."""
    files = plural(len(workspace.judgement.content.files), "file")
    return (
        f"{workspace.config.workspace} was trusted by its path: the present content of {files} is recorded as trusted; to "
        "see it, run: victor trust --show"
    )
