"""MOF through the object manager: what only shows when it is kept."""

from __future__ import annotations

import pytest

from openwmi.cim import Class, NameMap, Qualifier
from openwmi.cim.operations import CallContext, PutClass
from openwmi.errors import WbemError
from openwmi.manager import ObjectManager
from openwmi.mof import MofErrors
from openwmi.repository import MemoryStore
from openwmi.security.principals import Principal
from openwmi.status import WbemStatus

SYSTEM = CallContext(principal=Principal.local_system())
CIMV2 = "root\\cimv2"


async def test_an_amended_class_is_kept_in_two_namespaces() -> None:
    text = '#pragma amendment("MS_409")\n[Description("d") : Amended] class A { [key] string n; };'
    async with ObjectManager(MemoryStore()) as manager:
        for _ in range(2):  # the second time the namespace is there
            await manager.compile_mof(text, CIMV2, SYSTEM)
        neutral = manager.store.get_class(CIMV2, "A")
        localized = manager.store.get_class(f"{CIMV2}\\ms_409", "A")
    assert neutral is not None
    assert localized is not None
    assert list(neutral.qualifiers) == []
    assert list(localized.qualifiers) == ["Description", "Amendment", "Locale"]
    assert localized.qualifiers["locale"].value == 0x409
    assert list(localized.properties) == []


async def test_a_mistake_at_the_end_leaves_nothing() -> None:
    text = '#pragma amendment("MS_409")\n[D("d") : Amended] class A {};\nclass A : B {};'
    async with ObjectManager(MemoryStore()) as manager:
        with pytest.raises(MofErrors):
            await manager.compile_mof(text, CIMV2, SYSTEM)
        assert manager.store.get_class(CIMV2, "A") is None
        assert not manager.store.has_namespace(f"{CIMV2}\\ms_409")


@pytest.mark.requirement("WMI-3.1.4-39")
async def test_mof_may_declare_what_put_class_refuses() -> None:
    """An abstract class below one that is not, as the DMTF's CIM_PolicyInSystem is."""
    abstract = NameMap([Qualifier.of("abstract")])
    async with ObjectManager(MemoryStore()) as manager:
        await manager.compile_mof("class A {}; [abstract] class B : A {};", CIMV2, SYSTEM)
        kept = manager.store.get_class(CIMV2, "B")
        assert kept is not None
        assert kept.is_abstract
        namespace = await manager.connect(CIMV2, SYSTEM)
        for name in ("B", "C"):
            operation = await namespace.start(PutClass(Class(name, "A", qualifiers=abstract)), SYSTEM)
            with pytest.raises(WbemError) as caught:
                await operation.result()
            assert caught.value.status == WbemStatus.WBEM_E_CANNOT_BE_ABSTRACT
        operation = await namespace.start(PutClass(Class("D", "B", qualifiers=abstract)), SYSTEM)
        await operation.result()
