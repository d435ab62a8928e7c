"""The examples of docs/providers.md, which are one program, run and registered in more ways than there."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from openwmi.cim.operations import EnumerateClasses, EnumerateInstances, ExecMethod, GetObject
from openwmi.manager import ObjectManager
from openwmi.repository import MemoryStore
from tests.docs.support import ROOT, blocks
from tests.manager.support import CIMV2, context, run

PAGE = blocks(ROOT / "docs" / "providers.md")
PYTHON = [block.text for block in PAGE if block.language == "python"]
MOF = [block.text for block in PAGE if block.language == "mof"]


@pytest.fixture(scope="module")
def page() -> Iterator[dict[str, Any]]:
    """What the page's code defines."""
    module = types.ModuleType("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "page", module)
        for code in PYTHON:
            exec(code.replace("asyncio.run(main())", ""), vars(module))
        yield vars(module)


def test_the_first_provider_is_about_fifteen_lines() -> None:
    lines = [line for line in PYTHON[0].splitlines() if line.strip() and not line.startswith("from")]
    assert len(lines) <= 20


async def test_running_it(page: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    await page["main"]()
    assert capsys.readouterr().out == "4 lamps, the last one is Acme_Lamp.Number=3\n"


async def test_what_it_declares(page: dict[str, Any]) -> None:
    async with ObjectManager(MemoryStore()) as manager:
        await manager.register(page["Lamps"])
        await manager.register(page["Tables"])
        cimv2 = await manager.connect(CIMV2, context())
        [lamp] = await run(cimv2, GetObject("Acme_Lamp"))
        assert lamp.properties["Number"].is_key  # type: ignore[union-attr]
        on = lamp.methods["Switch"].in_class.new(On=True)  # type: ignore[union-attr]
        await run(cimv2, ExecMethod("Acme_Lamp.Number=2", "Switch", on))
        [lamp] = await run(cimv2, GetObject("Acme_Lamp.Number=2"))
        assert lamp["On"] is True  # type: ignore[index]
        names = [cls.name for cls in await run(cimv2, EnumerateClasses(None))]  # type: ignore[union-attr]
        assert {"Table_Customers", "Table_Orders"} <= set(names)
        assert len(await run(cimv2, EnumerateInstances("Table_Orders"))) == 2


async def test_registering_by_mof(page: dict[str, Any]) -> None:
    async with ObjectManager(MemoryStore()) as manager:
        manager.allow(page["Lamps"])
        declared = page["Lamps"].schema().replace('"Lamps"', '"House"')
        for text in (declared, MOF[0]):
            await manager.compile_mof(text, CIMV2, context())
        cimv2 = await manager.connect(CIMV2, context())
        assert len(await run(cimv2, EnumerateInstances("Acme_Lamp"))) == 4
