"""Activation and log-on (MS-WMI 3.2.3): `openwmi.cim.operations.Namespaces` on a server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from openwmi.cim.operations import CallContext
from openwmi.cim.upkeep import Backup, Pause, RestoreFrom, Resume
from openwmi.dcom.importer import Importer, Reach, Reference
from openwmi.errors import InvalidNamespace, PeerError, RpcFault, Stage, WbemError, during
from openwmi.status import HResult
from openwmi.wmi.backup import RemoteUpkeep
from openwmi.wmi.client.link import Link, SinkExporter
from openwmi.wmi.client.services import RemoteNamespace
from openwmi.wmi.context import encode_context
from openwmi.wmi.interfaces import CLSID_WBEM_LEVEL1_LOGIN, IWbemLevel1Login, IWbemLoginClientID
from openwmi.wmi.objects import ObjectMarshaller

__all__ = ["ClientInfo", "RemoteNamespaces"]

_ANSWER: Final = 30.0
_LOCALE: Final = re.compile(r"MS_[0-9A-F]{1,8}", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """What a client says of itself (3.1.4.8.1): its machine's NetBIOS name, and a number for the process."""

    machine: str
    process: int


class RemoteNamespaces:
    """One log-on at a server; namespaces are opened over it."""

    def __init__(
        self,
        importer: Importer,
        host: str,
        port: int,
        *,
        sinks: SinkExporter | None = None,
        timeout: float = _ANSWER,
        optimized: bool = True,
        client: ClientInfo | None = None,
    ) -> None:
        """`timeout` is how long, in seconds, one call may take to be answered; `client` is told to the server.

        Without `optimized`, results are fetched by IEnumWbemClassObject's Next, from any server.
        """
        self._link = Link(importer, Reach(host, anywhere=True), ObjectMarshaller(), sinks, timeout, optimized)
        self._port = port
        self._client = client
        self._login: Reference | None = None
        self._opened: set[RemoteNamespace] = set()

    async def connect(self, namespace: str | None, context: CallContext) -> RemoteNamespace:
        """Opens a namespace; activates the log-on object the first time."""
        link = self._link
        login = await self.activate()
        resource = namespace if namespace is None or namespace[:2] in ("\\\\", "//") else f"\\\\.\\{namespace}"
        values = {
            "network_resource": resource,
            "preferred_locale": None,
            "flags": 0,
            "context": encode_context(context.values, link.objects),
        }
        try:
            with during(Stage.LOGIN):
                values["preferred_locale"] = ",".join(await self._understood(login, context.locales)) or None
                response = await link.call(login, IWbemLevel1Login, "NTLMLogin", values)
        except InvalidNamespace as error:
            if namespace is None or namespace in error.detail:
                raise
            # Windows says no more than the code.
            raise InvalidNamespace(f"there is no namespace {namespace}", extended=error.extended) from None
        return RemoteNamespace(link, link.reference(response.values["namespace"]), namespace or "", self._opened)

    async def activate(self) -> Reference:
        """The log-on object, which is activated the first time, and told who its client is."""
        link = self._link
        if self._login is None:
            with during(Stage.ACTIVATION):
                found = await link.importer.activate(
                    CLSID_WBEM_LEVEL1_LOGIN, (IWbemLevel1Login.uuid,), link.reach, self._port, timeout=link.timeout
                )
                if not isinstance(found[0], Reference):
                    raise WbemError.of(found[0], "the server refused IWbemLevel1Login")
                if self._client is not None:
                    await self._introduce(found[0], self._client)
            self._login = found[0]
        return self._login

    async def _understood(self, login: Reference, locales: tuple[str, ...]) -> tuple[str, ...]:
        """The locales that the server takes: an old one takes but one, and that as MS_xxx (3.2.3)."""
        known = tuple(name for name in locales if _LOCALE.fullmatch(name))
        if known == locales and len(locales) < 2:
            return locales
        values = {"reserved": None, "flags": 0}
        try:
            response = await self._link.call(login, IWbemLevel1Login, "EstablishPosition", values)
        except WbemError as error:
            if error.status != HResult.E_NOTIMPL:
                raise
            return known[:1]
        return locales if response.values["locale_version"] else known

    async def _introduce(self, login: Reference, client: ClientInfo) -> None:
        """Tells the server who its client is, if it wants to know: no log-on fails by it (3.2.3)."""
        link = self._link
        client_id = await link.interface(login, IWbemLoginClientID)
        if client_id is None:
            return
        values = {"machine": client.machine, "process": client.process, "reserved": 0}
        try:
            await link.call(client_id, IWbemLoginClientID, "SetClientInfo", values)
        except (WbemError, RpcFault):
            return
        finally:
            await link.release(client_id)

    async def perform(self, request: Backup | RestoreFrom | Pause | Resume, context: CallContext) -> None:
        """Backup, restore, pause or resume (`openwmi.cim.upkeep.Upkeep`)."""
        await RemoteUpkeep(self._link, self._port).perform(request, context)

    def connection_lost(self, reason: PeerError) -> None:
        """The connection has ended: operations that wait for a sink will wait in vain."""
        self._link.connection_lost(reason)

    async def close(self) -> None:
        """Gives everything back."""
        for namespace in tuple(self._opened):
            await namespace.close()
        if self._login is not None:
            await self._link.release(self._login)
            self._login = None
