"""``openwmi diagnose``: where the way to a server ends, and why that may be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openwmi.cli.output import cause_lines, write, write_json
from openwmi.cli.target import (
    Json,
    Kerberos,
    NamespaceOption,
    PasswordFile,
    ServicePrincipal,
    User,
    checked,
    password_for,
)
from openwmi.client.urls import parse_url
from openwmi.errors import printable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openwmi.client.diagnosis import Check

__all__ = ["diagnose"]


def diagnose(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Such as dcom://user@host, or local:FILE.", callback=checked(parse_url))
    ],
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="The class to look at.", show_default=False)
    ] = None,
    user: User = None,
    password_file: PasswordFile = None,
    kerberos: Kerberos = None,
    service_principal: ServicePrincipal = None,
    namespace: NamespaceOption = None,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds that each stage may take.")] = 10.0,
    json: Json = False,
) -> None:
    """Find out where the way to a server ends, and why.

    The stages are gone one by one, from the name to an instance. The exit status is 1 if one of them fails.
    """
    from openwmi.client.diagnosis import diagnose as checks_of

    checks = checks_of(
        url,
        namespace=namespace,
        class_name=class_name,
        timeout=timeout,
        user=user,
        password=password_for(url, user, password_file, kerberos=bool(kerberos)),
        authentication="kerberos" if kerberos else None,
        service_principal=service_principal,
    )
    done = asyncio.run(_shown(checks, quiet=json))
    if json:
        write_json([_as_json(check) for check in done])
    if any(check.error is not None for check in done):
        raise typer.Exit(1)


async def _shown(checks: AsyncIterator[Check], *, quiet: bool) -> list[Check]:
    """The checks, each shown as it is done unless they are wanted `quiet`."""
    done = []
    async for check in checks:
        done.append(check)
        if not quiet:
            write(f"{check.stage:<15}{check.verdict:<8}{check.seconds:>8.3f} s  {printable(check.detail)}".rstrip())
            for line in cause_lines(check.causes):
                write(line)
    return done


def _as_json(check: Check) -> dict[str, Any]:
    return {
        "stage": str(check.stage),
        "verdict": str(check.verdict),
        "seconds": round(check.seconds, 6),
        "detail": check.detail,
        "status": getattr(check.error, "status", None),
        "causes": [{"cause": cause.cause, "remedy": cause.remedy} for cause in check.causes],
    }
