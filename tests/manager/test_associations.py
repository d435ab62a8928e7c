"""ASSOCIATORS OF and REFERENCES OF (MS-WMI 2.2.1.1, 3.1.4.3.18)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from openwmi.cim import Class, Instance
from openwmi.cim.operations import ExecQuery, Flags
from openwmi.errors import WbemError
from openwmi.manager import Namespace, ObjectManager
from openwmi.providers import Provider, ProviderCall
from openwmi.security.access import AccessRight
from openwmi.status import WbemStatus
from tests.manager.support import CIMV2, USER, context, grant, run

E = WbemStatus
MOF = r"""
[Mark] class Device { [key] string Id; uint32 Size; };
class Disk : Device { string Label; };
class Port : Device { };
class Driver { [key] string Name; [key] uint32 Version; };
class Lone { [key] string Id; };
[association, Tag] class DriverOf { [key] Device ref Device; [key] Driver ref Driver; };
[association] class BootDriverOf : DriverOf { };
[association] class Wired { [key] Device ref From; [key] Device ref To; string Colour; };
class Loose { [key] string Id; object ref Thing; };

instance of Disk { Id = "d1"; Size = 1; Label = "one"; };
instance of Disk { Id = "d2"; Size = 2; };
instance of Port { Id = "p1"; };
instance of Port { Id = "it's \"p\\2\""; };
instance of Port { Id = "31"; };
instance of Driver { Name = "ata"; Version = 1; };
instance of Driver { Name = "ata"; Version = 2; };
instance of DriverOf { Device = "Disk.Id=\"d1\""; Driver = "Driver.Name=\"ata\",Version=1"; };
instance of BootDriverOf { Device = "device='D1'"; Driver = "\\\\.\\ROOT\\CIMV2:Driver.Version=0x2,Name='ATA'"; };
instance of DriverOf { Device = "Disk.Id=\"d2\""; Driver = "Driver.Name=\"ata\",Version=9"; };
instance of DriverOf { Device = "Disk.Id=\"d2\""; Driver = "no path at all"; };
instance of Wired { From = "Disk=\"d1\""; To = "Port=\"p1\""; Colour = "red"; };
instance of Wired { From = "Port=\"p1\""; To = "Disk=\"d1\""; Colour = "blue"; };
instance of Wired { From = "Disk.Id=\"d1\""; To = "Disk.Id=\"d1\""; Colour = "grey"; };
instance of Wired { From = "Port.Id='it\\'s \\\"p\\\\2\\\"'"; To = "Port.Id=0x1F"; Colour = "odd"; };
instance of Wired { From = "root\\default:Disk=\"d2\""; To = "\\\\elsewhere\\root\\cimv2:Disk=\"d2\""; };
instance of Loose { Id = "l1"; Thing = "Disk=\"d1\""; };
instance of Loose { Id = "l2"; Thing = "Lone"; };
instance of Loose { Id = "l3"; };
"""
D1 = 'Disk.Id="d1"'


@pytest.fixture(autouse=True)
async def schema(manager: ObjectManager) -> None:
    await manager.compile_mof(MOF, CIMV2, context())


async def ask(namespace: Namespace, query: str, flags: int = 0) -> list[str]:
    """What comes: the relative paths of instances, the names of classes."""
    found = await run(namespace, ExecQuery(query), context(flags=flags))
    return [obj.name if isinstance(obj, Class) else str(obj.relative_path) for obj in found]


P1, BOOT, GREY = 'Port.Id="p1"', "BootDriverOf", D1
DRIVER1, DRIVER2 = 'Driver.Name="ata",Version=1', 'Driver.Name="ata",Version=2'


@pytest.mark.requirement(
    "WMI-2.2.1.1-05", "WMI-2.2.1.1-12", "WMI-2.2.1.1-15", "WMI-2.2.1.1-16", "WMI-2.2.1.1-17", "WMI-2.2.1.1-18",
    "WMI-2.2.1.1-19", "WMI-2.2.1.1-01", "WMI-3.1.4.3.18-34", "WMI-3.1.4.3.18-38",
)  # fmt: skip
@pytest.mark.parametrize(
    ("clauses", "found"),
    [
        ("", [DRIVER1, DRIVER2, P1, GREY, P1]),
        ("AssocClass = DriverOf", [DRIVER1, DRIVER2]),
        ("AssocClass = BootDriverOf", [DRIVER2]),
        ("ResultClass = Device", [P1, GREY, P1]),
        ("ResultClass = Port", [P1, P1]),
        ("Role = From", [P1, GREY]),
        ("Role = to", [GREY, P1]),
        ("ResultRole = DRIVER", [DRIVER1, DRIVER2]),
        ("ResultRole = To", [P1, GREY]),
        ("Role = From ResultRole = From", []),
        ("Role = Nothing", []),
        ("RequiredQualifier = mark", []),
        ("RequiredQualifier = key", []),
        ("RequiredAssocQualifier = Tag", [DRIVER1]),
        ("RequiredAssocQualifier = Association", [DRIVER1, DRIVER2, P1, GREY, P1]),
        ("AssocClass = Wired Role = From ResultClass = Port", [P1]),
    ],
)
async def test_associators(cimv2: Namespace, clauses: str, found: list[str]) -> None:
    query = f"ASSOCIATORS OF {{{D1}}}" + (f" WHERE {clauses}" if clauses else "")
    assert sorted(await ask(cimv2, query)) == sorted(found)


@pytest.mark.requirement("WMI-2.2.1.1-16")
async def test_a_required_qualifier_is_the_class_s_own_or_spreads(cimv2: Namespace) -> None:
    """Mark does not spread to Disk or Port, so only an instance of Device itself has it."""
    await cimv2._manager.compile_mof(
        'instance of Device { Id = "x"; }; instance of Wired { From = "Disk=\\"d2\\""; To = "Device=\\"x\\""; };',
        CIMV2, context(),
    )  # fmt: skip
    assert await ask(cimv2, 'ASSOCIATORS OF {Disk="d2"} WHERE RequiredQualifier = Mark') == ['Device.Id="x"']


@pytest.mark.requirement("WMI-2.2.1.1-17", "WMI-2.2.1.1-18", "WMI-3.1.4.3.18-40", "WMI-3.1.4.3.18-44")
@pytest.mark.parametrize(
    ("clauses", "found"),
    [
        ("", ["DriverOf", "Wired", "Wired", "Wired", "Loose", "BootDriverOf"]),
        ("ResultClass = DriverOf", ["DriverOf", "BootDriverOf"]),
        ("Role = From", ["Wired", "Wired"]),
        ("Role = To", ["Wired", "Wired"]),
        ("Role = Thing", ["Loose"]),
        ("RequiredQualifier = Association", ["DriverOf", "Wired", "Wired", "Wired", "BootDriverOf"]),
        ("RequiredQualifier = Tag ResultClass = DriverOf", ["DriverOf"]),
    ],
)
async def test_references(cimv2: Namespace, clauses: str, found: list[str]) -> None:
    query = f"REFERENCES OF {{{D1}}}" + (f" WHERE {clauses}" if clauses else "")
    assert sorted(path.partition(".")[0] for path in await ask(cimv2, query)) == sorted(found)


async def test_the_name_of_a_superclass_names_the_same_object(cimv2: Namespace) -> None:
    assert await ask(cimv2, "ASSOCIATORS OF {Device.Id='D1'}") == await ask(cimv2, f"ASSOCIATORS OF {{{D1}}}")


async def test_other_spellings_of_keys_are_found(cimv2: Namespace) -> None:
    """Quotes of the other kind, escapes, and a number for a text."""
    assert await ask(cimv2, 'ASSOCIATORS OF {Port.Id="it\'s \\"p\\\\2\\""}') == ['Port.Id="31"']
    assert await ask(cimv2, 'ASSOCIATORS OF {Port="31"}') == ['Port.Id="it\'s \\"p\\\\2\\""']


async def test_loose_ends_are_left_out(cimv2: Namespace) -> None:
    """An object that is not there, what is no path, and what is on another machine or in another namespace."""
    assert await ask(cimv2, 'ASSOCIATORS OF {Disk="d2"}') == []
    assert len(await ask(cimv2, 'REFERENCES OF {Disk="d2"}')) == 2


async def test_a_class_may_be_referred_to(cimv2: Namespace) -> None:
    assert await ask(cimv2, "REFERENCES OF {Lone}") == ['Loose.Id="l2"']
    assert await ask(cimv2, "REFERENCES OF {Disk}") == []


@pytest.mark.requirement("WMI-2.2.1.1-13")
async def test_keys_only(cimv2: Namespace) -> None:
    [found] = await run(cimv2, ExecQuery(f"ASSOCIATORS OF {{{P1}}} WHERE KeysOnly Role = To"))
    assert isinstance(found, Instance)
    assert found.to_dict() == {"Id": "d1"}
    assert found["__PATH"] == rf"\\HOST\root\cimv2:{D1}"
    [found, _] = await run(cimv2, ExecQuery(f"REFERENCES OF {{{P1}}} WHERE KeysOnly"))
    assert isinstance(found, Instance)
    assert list(found.to_dict()) == ["From", "To"]


@pytest.mark.requirement("WMI-2.2.1.1-14", "WMI-3.1.4.3.18-14")
@pytest.mark.parametrize("flags", [0, Flags.PROTOTYPE])
async def test_class_definitions_only(cimv2: Namespace, flags: int) -> None:
    where = "" if flags else " WHERE ClassDefsOnly"
    assert await ask(cimv2, f"ASSOCIATORS OF {{{D1}}}{where}", flags) == ["Driver", "Port", "Disk"]
    assert sorted(await ask(cimv2, f"REFERENCES OF {{{D1}}}{where}", flags)) == [
        "BootDriverOf", "DriverOf", "Loose", "Wired"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("ASSOCIATORS OF {Disk} WHERE SchemaOnly", ["Device", "Driver"]),
        ("ASSOCIATORS OF {Driver} WHERE SchemaOnly", ["Device"]),
        ("ASSOCIATORS OF {Disk} WHERE AssocClass = Wired SchemaOnly", ["Device"]),
        ("ASSOCIATORS OF {Disk} WHERE ResultRole = Driver SchemaOnly", ["Driver"]),
        ("ASSOCIATORS OF {Disk} WHERE RequiredQualifier = Mark SchemaOnly", ["Device"]),
        ("ASSOCIATORS OF {Disk} WHERE ResultClass = Driver SchemaOnly", ["Driver"]),
        ("ASSOCIATORS OF {Lone} WHERE SchemaOnly", []),
        ("REFERENCES OF {Disk} WHERE SchemaOnly", ["BootDriverOf", "DriverOf", "Loose", "Wired"]),
        ("REFERENCES OF {Driver} WHERE SchemaOnly ResultClass = DriverOf", ["BootDriverOf", "DriverOf"]),
        ("REFERENCES OF {Disk} WHERE SchemaOnly Role = To", ["Wired"]),
        ("REFERENCES OF {Disk} WHERE SchemaOnly RequiredQualifier = Tag", ["DriverOf"]),
    ],
)
async def test_schema(cimv2: Namespace, query: str, found: list[str]) -> None:
    assert sorted(name for name in await ask(cimv2, query) if not name.startswith("__")) == sorted(found)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("ASSOCIATORS OF {Nothing='x'}", E.WBEM_E_INVALID_CLASS),
        ("ASSOCIATORS OF {Disk='none'}", E.WBEM_E_NOT_FOUND),
        ("REFERENCES OF {Disk='none'}", E.WBEM_E_NOT_FOUND),
        ("REFERENCES OF {Disk.Name='x'}", E.WBEM_E_INVALID_OBJECT_PATH),
        (f"ASSOCIATORS OF {{{D1}}} WHERE AssocClass = Nothing", E.WBEM_E_INVALID_CLASS),
        (f"REFERENCES OF {{{D1}}} WHERE ResultClass = Nothing", E.WBEM_E_INVALID_CLASS),
        ("ASSOCIATORS OF {Nothing} WHERE SchemaOnly", E.WBEM_E_INVALID_CLASS),
    ],
)
async def test_queries_that_fail(cimv2: Namespace, query: str, status: int) -> None:
    operation = await cimv2.start(ExecQuery(query), context())
    assert (await operation.wait()).status == status


# -- providers


class Links(Provider):
    """Associations of a provider, which says which queries it can answer."""

    name = "Links"
    mof = """
    [association, dynamic, provider("Links")]
    class Link { [key] Device ref Upper; [key] Device ref Lower; };
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.levels: tuple[str, ...] = ()
        self.takes: Callable[[str], bool] = lambda query: True

    @property
    def query_support_levels(self) -> tuple[str, ...]:
        return self.levels

    def query_instances(self, call: ProviderCall, query: str) -> Any:
        self.asked.append(query)
        if not self.takes(query):
            raise WbemError.of(E.WBEM_E_PROVIDER_NOT_CAPABLE)
        return self.enumerate_instances(call)

    def enumerate_instances(self, call: ProviderCall) -> Any:
        self.asked.append("enumerate")
        return [
            {"Upper": 'Disk="d1"', "Lower": 'Port="p1"'},
            {"Upper": 'Disk="d2"', "Lower": 'Disk="d1"'},
            {"Upper": 'Disk="d2"', "Lower": 'Port="p1"'},
        ]


@pytest.fixture
async def links(manager: ObjectManager) -> Links:
    provider = Links()
    await manager.register(lambda: provider, "Links", mof=Links.mof, namespace=CIMV2)
    return provider


QUERY = f"ASSOCIATORS OF {{{D1}}} WHERE AssocClass = Link"
SELECT = 'SELECT * FROM Link WHERE Upper = "Disk.Id=\\"d1\\"" OR Lower = "Disk.Id=\\"d1\\""'


@pytest.mark.requirement(
    "WMI-3.1.4.3.18-35", "WMI-3.1.4.3.18-36", "WMI-3.1.4.3.18-37", "WMI-3.1.4.3.18-41", "WMI-3.1.4.3.18-42",
    "WMI-3.1.4.3.18-43",
)  # fmt: skip
@pytest.mark.parametrize("query", [QUERY, f"REFERENCES OF {{{D1}}} WHERE ResultClass = Link"])
@pytest.mark.parametrize("level", ["WQL:UnarySelect", "WQL:V1ProviderDefined", "wql:associators", "WQL:References"])
async def test_a_provider_is_asked_by_the_query(cimv2: Namespace, links: Links, level: str, query: str) -> None:
    links.levels = (level,)
    assert len(await ask(cimv2, query)) == 2  # what it gave too much is filtered out
    assert links.asked == [query, "enumerate"]
    links.asked.clear()
    links.takes = lambda text: text.startswith("SELECT")
    assert len(await ask(cimv2, query)) == 2
    assert links.asked == [query, SELECT, "enumerate"]
    links.asked.clear()
    links.takes = lambda text: False
    assert len(await ask(cimv2, query)) == 2
    assert links.asked == [query, SELECT, "enumerate"]
    links.asked.clear()
    links.levels = ()
    assert await ask(cimv2, QUERY) == [P1, 'Disk.Id="d2"']
    assert links.asked == ["enumerate"]


class Blind(Provider):
    """Objects that can be associated, and enumerated, but not got."""

    name = "Blind"
    mof = """
    [dynamic, provider("Blind")] class Unseen { [key] string Id; };
    [association] class UnseenOf { [key] Unseen ref One; [key] Device ref Other; };
    instance of UnseenOf { One = "Unseen=\\"u\\""; Other = "Disk=\\"d1\\""; };
    """

    def enumerate_instances(self, call: ProviderCall) -> Any:
        return [{"Id": "u"}]


async def test_a_source_that_cannot_be_got(cimv2: Namespace, manager: ObjectManager) -> None:
    await manager.register(Blind)
    assert await ask(cimv2, 'ASSOCIATORS OF {Unseen="u"}') == [D1]
    operation = await cimv2.start(ExecQuery(f"ASSOCIATORS OF {{{D1}}} WHERE AssocClass = UnseenOf"), context())
    assert (await operation.wait()).status == E.WBEM_E_PROVIDER_NOT_CAPABLE  # an end that is there, out of reach


# -- other namespaces


async def test_an_end_in_another_namespace(cimv2: Namespace, manager: ObjectManager) -> None:
    """It takes the rights there that connecting would take."""
    await manager.compile_mof(
        'class Far { [key] string Id; }; instance of Far { Id = "f"; };', "root\\default", context()
    )
    await manager.compile_mof(
        r'instance of Loose { Id = "l4"; Thing = "\\\\.\\root\\default:Far=\"f\""; };'
        r'[association] class FarOf { [key] Device ref Near; [key] object ref Far; };'
        r'instance of FarOf { Near = "Disk=\"d2\""; Far = "\\\\HOST\\root\\default:Far=\"f\""; };',
        CIMV2, context(),
    )  # fmt: skip
    query = ExecQuery('ASSOCIATORS OF {Disk="d2"}')
    [found] = await run(cimv2, query)
    assert str(found.path) == r'\\HOST\root\default:Far.Id="f"'
    await grant(manager, AccessRight.ENABLE)
    await grant(manager, AccessRight(0), "root\\default")
    assert await run(cimv2, query, context(USER)) == []
    await grant(manager, AccessRight.ENABLE, "root\\default")
    assert len(await run(cimv2, query, context(USER))) == 1


async def test_direct_read_looks_at_the_class_itself(cimv2: Namespace) -> None:
    where = "WHERE ResultClass = DriverOf"
    assert len(await ask(cimv2, f"REFERENCES OF {{{D1}}} {where}", Flags.DIRECT_READ)) == 1
    assert len(await ask(cimv2, f"REFERENCES OF {{{D1}}} {where}")) == 2
