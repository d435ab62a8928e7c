"""Activation and log-on (MS-WMI 3.2.3): `openwmi.cim.operations.Namespaces` on a server."""

from __future__ import annotations

from typing import Final

from openwmi.cim.operations import CallContext
from openwmi.cim.upkeep import Backup, Pause, RestoreFrom, Resume
from openwmi.dcom.importer import Importer, Reach, Reference
from openwmi.errors import PeerError, ProtocolError
from openwmi.wmi.backup import RemoteUpkeep
from openwmi.wmi.client.link import Link, SinkExporter
from openwmi.wmi.client.services import RemoteNamespace
from openwmi.wmi.context import encode_context
from openwmi.wmi.interfaces import CLSID_WBEM_LEVEL1_LOGIN, IWbemLevel1Login
from openwmi.wmi.objects import ObjectMarshaller

__all__ = ["RemoteNamespaces"]

_ANSWER: Final = 30.0


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
    ) -> None:
        """`timeout` is how long, in seconds, one call may take to be answered.

        Without `optimized`, results are fetched by IEnumWbemClassObject's Next, from any server.
        """
        self._link = Link(importer, Reach(host, anywhere=True), ObjectMarshaller(), sinks, timeout, optimized)
        self._port = port
        self._login: Reference | None = None
        self._opened: set[RemoteNamespace] = set()

    async def connect(self, namespace: str | None, context: CallContext) -> RemoteNamespace:
        """Opens a namespace; activates the log-on object the first time."""
        link = self._link
        if self._login is None:
            found = await link.importer.activate(
                CLSID_WBEM_LEVEL1_LOGIN, (IWbemLevel1Login.uuid,), link.reach, self._port, timeout=link.timeout
            )
            if not isinstance(found[0], Reference):
                raise ProtocolError("the activation gave no IWbemLevel1Login")
            self._login = found[0]
        resource = namespace if namespace is None or namespace[:2] in ("\\\\", "//") else f"\\\\.\\{namespace}"
        values = {
            "network_resource": resource,
            "preferred_locale": ",".join(context.locales) or None,
            "flags": 0,
            "context": encode_context(context.values, link.objects),
        }
        response = await link.call(self._login, IWbemLevel1Login, "NTLMLogin", values)
        return RemoteNamespace(link, link.reference(response.values["namespace"]), namespace or "", self._opened)

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
