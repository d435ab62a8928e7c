"""A query that was typed: what it selects, and in which order its columns stand."""

from __future__ import annotations

from collections.abc import Iterator

from openwmi.cim import Instance
from openwmi.client.sync import Session
from openwmi.errors import InvalidQuery
from openwmi.wql import SelectQuery, WqlError, parse

__all__ = ["columns_named", "selected"]


def selected(session: Session, text: str) -> Iterator[Instance]:
    """What a query selects, or the events to which it subscribes."""
    query = _select(text)
    is_for_events = query is not None and (query.within, query.group) != (None, None)
    try:
        with session.subscribe(text) if is_for_events else session.query(text) as found:
            yield from found
    except InvalidQuery:
        # What a server refuses can often be shown in the text, which the code alone cannot.
        session.check_query(text)
        raise


def columns_named(text: str) -> list[str]:
    """The properties that a query names after SELECT, in its order; none for ``*``, and for what is no such query."""
    query = _select(text)
    return [] if query is None or query.properties is None else [path.names[0] for path in query.properties]


def _select(text: str) -> SelectQuery | None:
    """None also for what this parser does not understand: it may be the server's own dialect."""
    try:
        query = parse(text)
    except WqlError:
        return None
    return query if isinstance(query, SelectQuery) else None
