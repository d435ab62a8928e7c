"""Association groups: numbers that one client's connections share."""

from __future__ import annotations

import pytest

from openwmi.errors import ConnectionLost
from openwmi.rpc import AssociationGroups, ClientConnection, ServerConnection
from tests.rpc.support import IF_A, OFFERED


def connection(groups: AssociationGroups, client: str, wanted: int = 0) -> tuple[ServerConnection, int]:
    """A connection that has bound, and the group that the client was told."""
    server = ServerConnection(OFFERED, now=0.0, groups=groups, client=client)
    caller = ClientConnection(now=0.0)
    caller.bind([IF_A], association_group=wanted)
    server.receive(caller.data_to_send(), 0.0)
    caller.receive(server.data_to_send(), 0.0)
    return server, caller.association_group


@pytest.mark.requirement("RPCE-3.3.1.5.7-02", "RPCE-3.3.1.5.7-05", "RPCE-3.3.1.1.2-01")
def test_a_client_joins_its_own_group_and_nobody_elses() -> None:
    groups = AssociationGroups()
    _, first = connection(groups, "10.0.0.1")
    _, second = connection(groups, "10.0.0.1", first)
    assert second == first != 0
    _, other = connection(groups, "10.0.0.2", first)
    assert other not in (0, first)
    assert len(groups) == 2


def test_a_group_ends_with_its_last_connection() -> None:
    groups = AssociationGroups()
    one, number = connection(groups, "a")
    two, _ = connection(groups, "a", number)
    one.close()
    one.close()
    assert connection(groups, "a", number)[1] == number
    two.peer_closed(ConnectionLost("gone"))
    assert len(groups) == 1


def test_a_group_that_is_gone_is_not_joined() -> None:
    groups = AssociationGroups()
    one, number = connection(groups, "a")
    one.close()
    assert len(groups) == 0
    assert connection(groups, "a", number)[1] not in (0, number)
    assert groups.join(12345, "a") != 12345


def test_a_connection_that_never_bound_has_no_group() -> None:
    groups = AssociationGroups()
    ServerConnection(OFFERED, now=0.0, groups=groups).close()
    assert len(groups) == 0
