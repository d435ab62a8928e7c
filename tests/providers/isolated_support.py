"""Providers for the tests of both runners: they are at the top of a module, where another process finds them."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from openwmi.cim import Class, Instance
from openwmi.errors import AccessDenied
from openwmi.providers import Channel, DynamicProperty, Key, Provider, ProviderCall, Uint32, cim_class, method


@cim_class(superclass="Acme_Thing")
class Acme_Dynamic:
    """A class that no repository has."""

    Id: Key[Uint32]


class Troubled(Provider):
    """Does what the number of the lamp, or a method's parameter, says."""

    name = "Troubled"

    def get_instance(self, call: ProviderCall, keys: Any) -> Any:
        match keys["Number"]:
            case 1:
                return {"On": False, "Colour": "blue"}
            case 2:
                return None
            case 3:
                raise AccessDenied("not yours")
            case 4:
                raise ValueError("the secret is out")
            case 5:
                return {"Nonsense": True}
            case 6:
                call.wait_cancelled(60)
            case 7:
                return {"Colour": "x" * 600_000}
            case 8:
                call.set_status(0x80041002, "nothing of the sort", extended=call.new(Number=8, Colour="sad"))
            case 9:
                return {"Colour": f"{os.getpid()}"}
            case 10:
                time.sleep(60)  # deaf to everything
            case 11:
                os._exit(3)
            case 12:
                return {"Colour": str(len(bytearray(4 << 30)))}
            case 13:
                os.write(1, b"not a frame, just noise on what was standard output\n")
                sys.stdout.write("printed\n")
                return {}
            case 14:
                call.message("a bulb flickers", Channel.VERBOSE)
                mine = call.prompt("is it yours?", critical=True).wait()
                return {"On": mine and call.error(AccessDenied("no ladder")).wait()}
        return None

    def enumerate_instances(self, call: ProviderCall) -> Iterator[dict[str, Any]]:
        for number in range(600):
            yield {"Number": number, "Colour": call.principal.name}

    async def query_instances(self, call: ProviderCall, query: str) -> AsyncIterator[Instance]:
        yield call.new(Number=1, Colour=query)
        raise RuntimeError("after the first")

    def put_instance(self, call: ProviderCall, instance: Instance) -> None:
        if instance["Colour"] != "green" or call.flags != 2:
            raise ValueError(f"{instance} with {call.flags}")

    async def delete_instance(self, call: ProviderCall, keys: Any) -> None:
        call.progress(1, 2, "half")
        await asyncio.sleep(0)
        if keys["Number"] != 1 or call.path is None:
            raise AccessDenied("only the first")

    @method
    def Toggle(self, call: ProviderCall, keys: Any, times: int = 1) -> Any:
        return {"ReturnValue": times + 1, "WasOn": call.value("Was")}

    def get_property(self, call: ProviderCall, what: DynamicProperty) -> Any:
        return 5 if what.property_context == "wrong" else f"{what.name} {what.class_context} {what.instance_context}"

    def put_property(self, call: ProviderCall, what: DynamicProperty, value: Any) -> None:
        if value != "red":
            raise AccessDenied(what.name)

    def get_class(self, call: ProviderCall, name: str) -> Any:
        return {"acme_dynamic": Acme_Dynamic, "acme_other": Acme_Dynamic}.get(name.lower())

    def enumerate_classes(self, call: ProviderCall, superclass: str | None) -> Iterator[Any]:
        yield Acme_Dynamic
        yield Class(f"Acme_Below_{superclass}", superclass)

    def put_class(self, call: ProviderCall, cls: Class) -> None:
        if cls.name != "Acme_Lamp" or "Number" not in cls.properties:
            raise ValueError(cls.name)

    def delete_class(self, call: ProviderCall, name: str) -> None:
        raise AccessDenied(name)


class NotThere(Provider):
    """Cannot be loaded."""

    name = "Not there"

    def load(self) -> None:
        raise OSError("no such device")


class NeverThere(Provider):
    """Takes for ever to load."""

    name = "Never there"

    def load(self) -> None:
        time.sleep(60)


class Bare(Provider):
    """Supports nothing."""

    name = "Bare"
