"""What becomes of a method's arguments before it is called."""

from __future__ import annotations

from typing import Any

import pytest

from openwmi import aio
from openwmi.cim import Instance
from openwmi.client.session import AsyncSession
from openwmi.errors import InvalidClass, NotFound, WbemError
from openwmi.manager import ObjectManager
from openwmi.providers import Keys, Provider, ProviderCall, method
from openwmi.status import WbemStatus
from tests.wire import serving

OTHER = "root\\default"


class Boxes(Provider):
    """A class of a namespace that the session is not in, whose method says what it was given."""

    name = "Boxes"
    namespace = OTHER
    mof = """
    class Acme_Lid { string Colour; };
    class Acme_Content { uint32 Count; Acme_Lid Lid; };
    [dynamic, provider("Boxes")]
    class Acme_Box {
        [key] string Name;
        [implemented, static] string Pack([in, ID(0)] Acme_Content One, [in, ID(1)] Acme_Content Many[]);
    };
    """

    @method("Pack")
    def pack(self, call: ProviderCall, keys: Keys, One: Any = None, Many: Any = None) -> str:
        return " ".join(_shown(each) for each in (One, *(Many or ())) if each is not None)


def _shown(content: Instance) -> str:
    lid = content["Lid"]
    return f"{content['Count']}" if lid is None else f"{content['Count']}{lid['Colour']}"


async def packed(session: AsyncSession, **arguments: Any) -> str:
    answer = await session.invoke("Acme_Box", "Pack", arguments, options={"namespace": "root/default"})
    return str(answer["ReturnValue"])


async def test_mappings_become_embedded_objects() -> None:
    async with await aio.connect("local:") as local, serving(providers=[Boxes]) as machine:
        manager = local._namespaces
        assert isinstance(manager, ObjectManager)
        await manager.register(Boxes)
        for session in (local, await machine.session()):
            assert await packed(session, One={"Count": 1}) == "1"
            assert await packed(session, one={"count": 1, "lid": {"Colour": "red"}}) == "1red"
            made = (await session.get_class("Acme_Content", namespace="root/default")).new(Count=3)
            assert await packed(session, One=made, Many=[{"Count": 2}, made, {"Count": 4}]) == "3 2 3 4"
            assert await packed(session, Many=[]) == ""
            with pytest.raises(NotFound, match="Size"):
                await packed(session, One={"Size": 1})
            with pytest.raises(WbemError) as caught:
                await packed(session, One={"Count": "many"})
            assert caught.value.status == WbemStatus.WBEM_E_TYPE_MISMATCH
            with pytest.raises((InvalidClass, NotFound)):  # not in the session's own namespace
                await session.invoke("Acme_Box", "Pack")
