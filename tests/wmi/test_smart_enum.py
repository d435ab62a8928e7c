"""The optimized enumerator: the same results as from Next, each class once to a proxy; and how a client uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any
from uuid import UUID, uuid4

import pytest

from openwmi.cim import CimObject, Instance
from openwmi.cim.operations import CallingMode, EnumerateInstances
from openwmi.dcom.importer import Reference
from openwmi.errors import ConnectionLost, DecodeError, NotFound, ProtocolError, RpcFault, WbemError
from openwmi.status import HResult, WbemStatus
from openwmi.wmi.interfaces import IEnumWbemClassObject, IWbemFetchSmartEnum, IWbemWCOSmartEnum
from openwmi.wmi.object_array import ObjectArrayReader, PacketType
from openwmi.wmi.server import EnumeratorStub, SmartEnumStub
from tests.dcom.support import OTHER, Invoked

from .loopback import EXTENDED, Held, Loopback, gives, thing, things
from .test_results import END, MORE, Enumerator, settle

PROXY = UUID("00112233-4455-6677-8899-aabbccddeeff")
CLASS, INSTANCE, NO_CLASS = 1, 2, 3
KIND_AT = 54  # bObjectType of the first object in a packet


class Smart:
    """An enumerator, and its optimized form with nothing between that and the test."""

    def __init__(self, plain: Enumerator, fetch: Reference, reference: Reference) -> None:
        self.plain = plain
        self.fetch = fetch
        self.reference = reference
        self.readers: dict[UUID, ObjectArrayReader] = {}

    @classmethod
    async def start(cls, loop: Loopback, flags: int = 0x30) -> Smart:
        return await cls.of(await Enumerator.start(loop, flags))

    @classmethod
    async def of(cls, plain: Enumerator) -> Smart:
        loop = plain.loop
        fetch = await loop.importer.query_interface(
            plain.reference, IWbemFetchSmartEnum.uuid, reach=loop.namespaces._link.reach, timeout=1.0
        )
        response = await plain.services.on(fetch, IWbemFetchSmartEnum, "GetSmartEnum")
        assert response.status == 0
        return cls(plain, fetch, plain.services.unmarshal(response.values["smart_enum"]))

    async def call(self, count: int, timeout: int = -1, proxy: UUID = PROXY) -> tuple[int, bytes | None]:
        """The status and the packet."""
        response = await self.plain.services.on(
            self.reference, IWbemWCOSmartEnum, "Next", proxy=proxy, timeout=timeout, count=count
        )
        packet: bytes | None = response.values["buffer"]
        assert response.values["size"] == len(packet or b"")
        assert bool(response.values["returned"]) == bool(packet)
        return response.status, packet

    async def next(self, count: int, timeout: int = -1, proxy: UUID = PROXY) -> tuple[int, list[str]]:
        """The status, and the objects' keys."""
        status, packet = await self.call(count, timeout, proxy)
        reader = self.readers.setdefault(proxy, ObjectArrayReader(PacketType.NEXT))
        return status, keys(reader.decode(packet) if packet else [])

    async def release(self, *references: Reference) -> None:
        loop = self.plain.loop
        await loop.importer.release(*references, reach=loop.namespaces._link.reach, timeout=1.0)


def keys(objects: Iterable[CimObject]) -> list[str]:
    return [str(o["Id"]) for o in objects if isinstance(o, Instance)]


# -- the server


@pytest.mark.requirement(
    "WMI-2.2.14-01", "WMI-2.2.14-02", "WMI-3.1.4.6.1-01", "WMI-3.1.4.6.1-03", "WMI-3.1.4.6.1-04", "WMI-3.1.4.6.1-06",
    "WMI-3.1.4.6.1-07", "WMI-3.1.4.7-01", "WMI-3.1.4.7.1-01", "WMI-3.1.4.7.1-02", "WMI-3.1.4.7.1-07",
    "WMI-3.1.4.7.1-09", "WMI-3.1.4.7.1-11", "WMI-3.1.4.7.1-13", "WMI-3.1.4.7.1-15", "WMI-3.1.4.7.1-16",
    "WMI-3.1.4.7.1-21", "WMI-3.1.4.7.1-24", "WMI-3.1.4.7.1-25", "WMI-3.1.4.7.1-26", "WMI-3.1.4.7.1-27",
    "WMI-3.1.4.7.1-28", "WMI-3.1.4.4-03",
)  # fmt: skip
@pytest.mark.parametrize("flags", [0x20, 0x30])
async def test_portions(flags: int) -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(*things(5))
        it = await Smart.start(loop, flags)
        assert await it.next(2) == (0, ["thing 0", "thing 1"])
        assert await it.next(1) == (0, ["thing 2"])
        assert await it.next(3) == (END, ["thing 3", "thing 4"])
        assert await it.call(3) == (END, None)


@pytest.mark.requirement("WMI-3.1.4.7.1-23", "WMI-3.1.4.7.1-24")
async def test_both_forms_go_through_the_results_together() -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(*things(6))
        it = await Smart.start(loop, 0x10)
        assert await it.next(2) == (0, ["thing 0", "thing 1"])
        assert await it.plain.next(2) == (0, ["thing 2", "thing 3"])
        assert (await it.plain.call("Skip", timeout=-1, count=1)).status == 0
        assert await it.next(1) == (0, ["thing 5"])
        clone = await Smart.of(await it.plain.clone())
        assert (await it.plain.call("Reset")).status == 0
        assert await it.next(1) == (0, ["thing 0"])
        assert await clone.next(1) == (END, [])


@pytest.mark.requirement("WMI-3.1.4.7.1-05", "WMI-3.1.4.7.1-20", "WMI-3.1.4.7.1-22")
async def test_what_is_there_when_the_time_is_up() -> None:
    async with Loopback() as loop:
        held = loop.namespace.produce = Held(*things(2))
        it = await Smart.start(loop)
        await held.started.wait()
        assert await it.next(5, timeout=0) == (MORE, ["thing 0", "thing 1"])
        assert await it.call(5, timeout=1) == (MORE, None)
        waiting = asyncio.ensure_future(it.call(5))
        await settle()
        assert not waiting.done()
        held.go_on.set()
        assert await waiting == (END, None)


@pytest.mark.requirement("WMI-3.1.4.7.1-17")
async def test_a_failure_comes_after_the_results() -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(*things(2), error=NotFound("it broke"))
        it = await Smart.start(loop)
        assert await it.next(5) == (MORE, ["thing 0", "thing 1"])
        assert await it.call(5) == (WbemStatus.WBEM_E_NOT_FOUND, None)
        assert await it.call(0) == (WbemStatus.WBEM_E_INVALID_PARAMETER, None)


async def test_an_answer_holds_a_thousand_objects_at_most() -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(*things(1001))
        it = await Smart.start(loop)
        status, found = await it.next(5000)
        assert (status, len(found)) == (MORE, 1000)
        assert await it.next(5000) == (END, ["thing 1000"])


@pytest.mark.requirement(
    "WMI-2.2.14-03", "WMI-2.2.14-04", "WMI-2.2.14-05", "WMI-2.2.14-06", "WMI-3.1.4.7.1-03", "WMI-3.1.4.7.1-20"
)
async def test_each_class_is_sent_once_to_a_proxy() -> None:
    async with Loopback() as loop:
        other = EXTENDED.new(Description="another class")
        loop.namespace.produce = gives(thing("a"), thing("b"), other, thing("c"), other, thing("d"))
        it = await Smart.start(loop)
        proxy = uuid4()
        kinds = []
        for asking in (PROXY, PROXY, PROXY, PROXY, PROXY, proxy):
            _, packet = await it.call(1, proxy=asking)
            assert packet is not None
            kinds.append(packet[KIND_AT])
        assert kinds == [INSTANCE, NO_CLASS, INSTANCE, NO_CLASS, NO_CLASS, INSTANCE]


async def test_few_proxies_are_remembered() -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(*things(13))
        it = await Smart.start(loop)
        proxies = [uuid4() for _ in range(5)]
        kinds = []
        for proxy in (*proxies[:4], *proxies[:4], proxies[4], proxies[0], proxies[4], proxies[2]):
            _, packet = await it.call(1, proxy=proxy)
            assert packet is not None
            kinds.append(packet[KIND_AT])
        # The fifth takes the place of the first, and the first comes back in that of the second.
        assert kinds == [INSTANCE] * 4 + [NO_CLASS] * 4 + [INSTANCE, INSTANCE, NO_CLASS, NO_CLASS]


@pytest.mark.parametrize("first", ["enumerator", "smart"])
async def test_the_results_live_as_long_as_either_form(first: str) -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(*things(3))
        it = await Smart.start(loop)
        plain = (it.plain.reference, it.fetch)
        await it.release(*(plain if first == "enumerator" else (it.reference,)))
        await loop.quiet()
        assert loop.spools.memory_used > 0
        if first == "enumerator":
            assert await it.next(1) == (0, ["thing 0"])
        else:
            assert await it.plain.next(1) == (0, ["thing 0"])
        await it.release(*((it.reference,) if first == "enumerator" else plain))
        await loop.quiet()
        assert loop.spools.memory_used == 0


@pytest.mark.requirement("WMI-3.1.4.6.1-05", "WMI-3.1.4.6.1-08", "WMI-3.1.4.7.1-19")
async def test_the_enumerator_of_another_account() -> None:
    async with Loopback() as loop:
        it = await Smart.start(loop)
        caller, loop.transport.caller = loop.transport.caller, OTHER
        for call in (it.call(1), it.plain.services.on(it.fetch, IWbemFetchSmartEnum, "GetSmartEnum")):
            with pytest.raises(RpcFault) as caught:
                await call
            assert caught.value.status == WbemStatus.WBEM_E_ACCESS_DENIED
        loop.transport.caller = caller


@pytest.mark.requirement("WMI-3.1.4.6-01", "WMI-3.1.4.7.1-18")
async def test_the_optimized_form_is_had_from_get_smart_enum_only() -> None:
    async with Loopback() as loop:
        it = await Smart.start(loop)
        for asked, iid in (
            (it.plain.reference, IWbemWCOSmartEnum.uuid),
            (it.reference, IEnumWbemClassObject.uuid),
            (it.reference, IWbemFetchSmartEnum.uuid),
        ):
            with pytest.raises(WbemError) as caught:
                await loop.importer.query_interface(asked, iid, reach=loop.namespaces._link.reach, timeout=1.0)
            assert caught.value.status == HResult.E_NOINTERFACE


# -- the client

REQUEST = EnumerateInstances("Thing")


@pytest.mark.requirement(
    "WMI-3.2.4.2.8-03", "WMI-3.2.4.2.8-04", "WMI-3.2.4.2.8-05", "WMI-3.2.4.2.8-07", "WMI-3.1.4.7.1-04"
)
@pytest.mark.parametrize("mode", [CallingMode.SYNCHRONOUS, CallingMode.SEMISYNCHRONOUS])
async def test_a_client_asks_for_the_optimized_form(mode: CallingMode) -> None:
    async with Loopback() as loop:
        remote = await loop.open()
        loop.namespace.produce = gives(*things(5))
        begun = len(loop.transport.calls)
        operation = await remote.start(REQUEST, loop.context(mode, page_size=2))
        assert keys(await operation.collect()) == keys(things(5))
        calls = loop.transport.methods[begun:]
        assert calls == [
            "CreateInstanceEnum", "RemQueryInterface", "GetSmartEnum", "Next", "Next", "Next", "RemRelease"
        ]  # fmt: skip


@pytest.mark.requirement("WMI-3.2.4.2.8-08")
@pytest.mark.parametrize("failing", ["no interface", "RemQueryInterface", "GetSmartEnum"])
async def test_without_it_the_client_uses_next(failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Loopback() as loop:
        remote = await loop.open()
        if failing == "no interface":
            monkeypatch.setattr(EnumeratorStub, "INTERFACES", (IEnumWbemClassObject,))
        loop.transport.broken = lambda invoked: RpcFault(5) if invoked.method == failing else None
        loop.namespace.produce = gives(*things(5))
        exported = len(loop.server.exporter)
        operation = await remote.start(REQUEST, loop.context())
        assert keys(await operation.collect()) == keys(things(5))
        await operation.close()
        await loop.quiet()
        assert len(loop.server.exporter) == exported


@pytest.mark.requirement("WMI-3.2.4.2.8-10")
async def test_a_client_that_does_not_want_it() -> None:
    async with Loopback(optimized=False) as loop:
        remote = await loop.open()
        loop.namespace.produce = gives(*things(5))
        begun = len(loop.transport.calls)
        operation = await remote.start(REQUEST, loop.context(page_size=2))
        assert keys(await operation.collect()) == keys(things(5))
        assert loop.transport.methods[begun:] == ["CreateInstanceEnum", "Next", "Next", "Next", "RemRelease"]


async def test_a_lost_packet_spoils_nothing_that_comes_later() -> None:
    """The classes that were in it are asked for again, for a new proxy."""
    async with Loopback() as loop:
        remote = await loop.open()
        loop.namespace.produce = gives(*things(3))
        it = await remote.enumerate(REQUEST, loop.context())
        (smart,) = (entry.implementation for entry in loop.server.exporter._by_oid.values()
                    if isinstance(entry.implementation, SmartEnumStub))  # fmt: skip
        answer = smart.next

        async def lost(*args: Any, **values: Any) -> dict[str, Any]:
            await answer(*args, **values)
            raise ConnectionLost("cut")

        smart.next = lost  # type: ignore[method-assign]
        with pytest.raises(ConnectionLost):
            await it.next(1, None)
        smart.next = answer  # type: ignore[method-assign]
        found, status = await it.next(5, None)
        assert (keys(found), status) == (["thing 1", "thing 2"], END)
        await it.close()


@pytest.mark.requirement("WMI-3.2.4-01")
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"returned": 1, "size": 0, "buffer": None}, ProtocolError),
        ({"returned": 1, "size": 4, "buffer": b"\0\0\0\0"}, DecodeError),
    ],
)
async def test_a_server_that_answers_nonsense(
    answer: dict[str, Any], expected: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def odd(self: SmartEnumStub, call: Any, **values: Any) -> dict[str, Any]:
        return answer

    monkeypatch.setattr(SmartEnumStub, "next", odd)
    async with Loopback() as loop:
        remote = await loop.open()
        operation = await remote.start(REQUEST, loop.context())
        with pytest.raises(expected):
            await operation.collect()


async def test_a_cancelled_start_gives_the_enumerator_back() -> None:
    async with Loopback() as loop:
        remote = await loop.open()
        exported = len(loop.server.exporter)

        def cut(invoked: Invoked) -> ConnectionLost | None:
            return ConnectionLost("cut") if invoked.method == "RemQueryInterface" else None

        loop.transport.broken = cut
        with pytest.raises(ConnectionLost):
            await remote.start(REQUEST, loop.context())
        await loop.quiet()
        assert len(loop.server.exporter) == exported
