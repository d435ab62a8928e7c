"""Who logs on, and by which mechanism: NTLM, Kerberos, or whichever of them the two sides agree on (SPNEGO)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from openwmi.errors import ConfigurationError
from openwmi.security.acceptors import LocalAcceptors
from openwmi.security.accounts import Accounts
from openwmi.security.ntlm import ServerNames

__all__ = ["Credentials", "Mechanism"]


class Mechanism(StrEnum):
    """How a client proves who it is."""

    NTLM = "ntlm"
    KERBEROS = "kerberos"
    NEGOTIATE = "negotiate"


@dataclass(frozen=True, slots=True)
class Credentials:
    r"""A user and what proves it: a password, its NT hash, or Kerberos tickets. Secrets are not in its repr.

    `user` may be ``user``, ``DOMAIN\user`` or ``user@realm``. `ticket_cache` is the name of a Kerberos cache, such as
    the path of a file. With no proof at all the tickets are the current user's, in the cache where the system keeps
    them, and `user` may be empty. Raises `ConfigurationError` for what does not go together.
    """

    user: str = ""
    password: str | None = field(default=None, repr=False)
    nt_hash: bytes | None = field(default=None, repr=False)
    mechanism: Mechanism = Mechanism.NTLM
    ticket_cache: str | Path | None = None

    def __post_init__(self) -> None:
        if sum(proof is not None for proof in (self.password, self.nt_hash, self.ticket_cache)) > 1:
            raise ConfigurationError("give one of the password, its NT hash and a ticket cache")
        if self.mechanism is Mechanism.NTLM and self.ticket_cache is not None:
            raise ConfigurationError("NTLM has no tickets: a ticket cache is for Kerberos")
        if self.mechanism is Mechanism.KERBEROS and self.nt_hash is not None:
            raise ConfigurationError("Kerberos takes a password or tickets, and no NT hash")
        if not self.user and (self.mechanism is Mechanism.NTLM or not self.uses_tickets):
            raise ConfigurationError("no user: write dcom://user@host, or give user=")
        if self.mechanism is Mechanism.NTLM and self.uses_tickets:
            raise ConfigurationError(f"no password for {self.user}")

    @property
    def uses_tickets(self) -> bool:
        """Whether the proof is Kerberos tickets that are there already."""
        return self.password is None and self.nt_hash is None

    @property
    def name(self) -> str:
        """Who it is, for people."""
        return self.user or "the current user"

    def acceptors(self) -> LocalAcceptors:
        """Who may call this client's sinks: whoever can prove that it knows this password, as the server can.

        Raises `ConfigurationError` where there is no password: nobody can prove anything to a ticket's owner.
        """
        accounts = Accounts()
        name = self.user.rpartition("\\")[2].partition("@")[0]
        if self.password is not None:
            accounts.add(name, self.password)
        elif self.nt_hash is not None:
            accounts.add_hash(name, self.nt_hash)
        else:
            raise ConfigurationError("with tickets alone no server can call a sink: give the password, or use no sink")
        return LocalAcceptors(accounts, ServerNames.of("openwmi-client"))
