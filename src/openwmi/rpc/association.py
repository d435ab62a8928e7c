"""Associations: the connections of one client to one server endpoint that share a number (MS-RPCE 3.3.1.5.7)."""

from __future__ import annotations

__all__ = ["AssociationGroups"]


class AssociationGroups:
    """The associations of one server endpoint: their numbers, whose they are, and how many connections they have.

    No context handles live here, so all that an association does is to have a number.
    """

    def __init__(self) -> None:
        self._last = 0
        self._groups: dict[int, tuple[str, int]] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def join(self, wanted: int, client: str = "") -> int:
        """The group for a new connection of `client` (its address): `wanted` if it is this client's, else a new one.

        Never 0. Another machine cannot join (MS-RPCE 3.3.1.5.7); the answer's number tells it so.
        """
        owner, connections = self._groups.get(wanted, ("", 0))
        if connections and owner == client:
            self._groups[wanted] = (client, connections + 1)
            return wanted
        number = self._last % 0xFFFFFFFF + 1
        while number in self._groups:
            number = number % 0xFFFFFFFF + 1
        self._last = number
        self._groups[number] = (client, 1)
        return number

    def leave(self, number: int) -> None:
        """A connection of the group has ended; the last one ends the group."""
        owner, connections = self._groups[number]
        if connections > 1:
            self._groups[number] = (owner, connections - 1)
        else:
            del self._groups[number]
