"""``openwmi diagnose``: where the way to a server ends, and why that may be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openwmi.cli.fanout import at_once, tasks
from openwmi.cli.output import cause_lines, with_host, write, write_json_array
from openwmi.cli.target import Json, Place, Where, check_urls, checked, placed
from openwmi.errors import Error, printable

if TYPE_CHECKING:
    from openwmi.client.diagnosis import Check

__all__ = ["diagnose"]


class StageFailed(Error):
    """A stage failed. What is likely behind it stands in the diagnosis itself, so this has no stage and no code."""

    def __init__(self, check: Check) -> None:
        super().__init__(f"{check.stage}: {check.detail}")


@placed
def diagnose(
    where: Where,
    urls: Annotated[
        str | None,
        typer.Argument(
            metavar="[URL,...]",
            help="Such as dcom://user@host, or local:FILE; the same as --host.",
            callback=checked(check_urls),
            show_default=False,
        ),
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="The class to look at.", show_default=False)
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds that each stage may take.")] = 10.0,
    json: Json = False,
) -> None:
    """Find out where the way to a server ends, and why.

    The stages are gone one by one, from the name to an instance. The exit status is 1 if one of them fails. Of several
    servers, each one's stages are shown when it is done.
    """
    places = (where.and_at(urls) if urls else where).places()
    show = _write_json if json else _write_lines
    if len(places) > 1:
        at_once(tasks(places, lambda place: _walked(place, class_name, timeout)), where.parallel, show)
        return
    checks: list[Check] = []

    def work(place: Place) -> Iterator[list[Check]]:
        for check in _checks(place, class_name, timeout):
            checks.append(check)
            yield [check]

    at_once(tasks(places, work), where.parallel, show)
    if any(check.error is not None for check in checks):
        raise typer.Exit(1)  # its line has said why


def _walked(place: Place, class_name: str | None, timeout: float) -> Iterator[list[Check]]:
    """All stages of one of several places at once, so that they are shown together."""
    checks = list(_checks(place, class_name, timeout))
    yield checks
    for check in checks:
        if check.error is not None:
            raise StageFailed(check)


def _checks(place: Place, class_name: str | None, timeout: float) -> Iterator[Check]:
    """The stages on the way to a place, each as it is done."""
    from openwmi.client.diagnosis import diagnose as checks_of

    checks = checks_of(place.url, namespace=place.namespace, class_name=class_name, timeout=timeout, **place.options)

    async def following() -> Check | None:
        return await anext(checks, None)

    with asyncio.Runner() as runner:
        while (check := runner.run(following())) is not None:
            yield check


def _write_lines(found: Iterator[tuple[str | None, list[Check]]]) -> None:
    """A line for each stage, and what is likely below one that failed; for several hosts, in a block for each."""
    for host, checks in found:
        if host is not None:
            write(f"# {printable(host)}")
        for check in checks:
            write(f"{check.stage:<15}{check.verdict:<8}{check.seconds:>8.3f} s  {printable(check.detail)}".rstrip())
            for line in cause_lines(check.causes):
                write(line)


def _write_json(found: Iterator[tuple[str | None, list[Check]]]) -> None:
    write_json_array(with_host(host, _as_json(check)) for host, checks in found for check in checks)


def _as_json(check: Check) -> dict[str, Any]:
    return {
        "stage": str(check.stage),
        "verdict": str(check.verdict),
        "seconds": round(check.seconds, 6),
        "detail": check.detail,
        "status": getattr(check.error, "status", None),
        "causes": [{"cause": cause.cause, "remedy": cause.remedy} for cause in check.causes],
    }
