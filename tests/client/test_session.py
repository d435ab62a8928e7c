"""A session over DCOM: logging on, and what every operation has in common. (What operations do is the conformance
suite's.)"""

from __future__ import annotations

import asyncio
import gc
import socket

import pytest

from openwmi import aio
from openwmi.cim import Class, Instance
from openwmi.cim.operations import CallingMode, ExecQuery
from openwmi.errors import (
    AccessDenied,
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    DeadlineExceeded,
    InvalidNamespace,
    WbemError,
)
from openwmi.security.access import AccessRight
from openwmi.security.accounts import nt_hash
from openwmi.status import WbemStatus
from tests.manager.support import grant
from tests.wire import HOST, PASSWORD, Machine, within

# -- logging on


@pytest.mark.parametrize("user", ["admin", "ADMIN", ".\\admin", "SOMEWHERE\\admin", "admin@somewhere.example"])
async def test_forms_of_a_name(machine: Machine, user: str) -> None:
    session = await machine.session(user)
    assert session.scope == "root\\cimv2"
    assert isinstance(await session.get("Acme_Static"), Class)


async def test_a_hash_instead_of_the_password(machine: Machine) -> None:
    async with await aio.connect(machine.url, user="admin", nt_hash=nt_hash(PASSWORD)) as session:
        operation = await session.start(ExecQuery("SELECT * FROM Acme_Only"), mode=CallingMode.ASYNCHRONOUS)
        assert len(await within(operation.results())) == 1


@pytest.mark.parametrize("user", ["admin", "nobody"])
async def test_a_wrong_password(machine: Machine, user: str) -> None:
    with pytest.raises(AuthenticationError, match=user) as caught:
        await aio.connect(machine.url, user=user, password="Wrong-Horse-7")
    assert "Wrong-Horse-7" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"password": PASSWORD}, "no user"), ({"user": "admin"}, "no password")],
)
async def test_what_is_missing(settings: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        await aio.connect(f"dcom://{HOST}:1", **settings)  # type: ignore[arg-type]


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        port = unused.getsockname()[1]
        with pytest.raises(ConnectError, match=str(port)):
            await within(aio.connect(f"dcom://admin@{HOST}:{port}", password=PASSWORD))


async def test_somebody_who_listens_but_never_answers() -> None:
    with socket.create_server((HOST, 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(DeadlineExceeded):
            await within(aio.connect(f"dcom://admin@{HOST}:{port}", password=PASSWORD, timeout=0.2))


async def test_somebody_who_speaks_something_else() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectError, match=f"127.0.0.1.{port}.*HTTP/1.1 400"):
            await within(aio.connect(f"dcom://admin@{HOST}:{port}", password=PASSWORD))


async def test_a_namespace_that_is_not_there(machine: Machine) -> None:
    with pytest.raises(InvalidNamespace):
        await machine.session(namespace="root\\nowhere")
    await machine.quiet()


async def test_a_namespace_in_the_url(machine: Machine) -> None:
    async with await aio.connect(f"{machine.url}/root/default", user="admin", password=PASSWORD) as session:
        assert session.scope == "root\\default"


async def test_the_rights_of_an_account(machine: Machine) -> None:
    with pytest.raises(AccessDenied):
        await machine.session("user")
    await grant(machine.server.manager, AccessRight.ENABLE | AccessRight.REMOTE_ENABLE)
    session = await machine.session("user")
    assert isinstance(await session.get('Acme_Static="x"'), Instance)
    with pytest.raises(AccessDenied):
        await session.delete_instance('Acme_Static="x"')


# -- operations


@pytest.mark.requirement("WMI-3.1.1.1.2.1-02", "WMI-3.1.1.1.2.1-03", "WMI-3.1.1.1.2.1-07")
@pytest.mark.parametrize("mode", CallingMode)
async def test_more_results_than_a_page_or_a_buffer_holds(machine: Machine, mode: CallingMode) -> None:
    session = await machine.session()
    cls = await session.get_class("Acme_Static")
    for number in range(250):
        await session.put_instance(cls.new(Name=f"n{number:03}", Value=number))
    operation = await session.start(ExecQuery("SELECT * FROM Acme_Static WHERE Name >= 'n' AND Name < 'o'"), mode=mode)
    found = await within(operation.results())
    assert sorted(o["Value"] for o in found if isinstance(o, Instance)) == list(range(250))


async def test_parameters_of_a_query(machine: Machine) -> None:
    session = await machine.session()
    cls = await session.get_class("Acme_Static")
    await session.put_instance(cls.new(Name='it\'s \\ "quoted"'))
    operation = await session.query("SELECT * FROM Acme_Static WHERE Name = ?", 'it\'s \\ "quoted"')
    assert len(await operation.results()) == 1


@pytest.mark.requirement("WMI-3.1.1.1.2.1-10", "WMI-3.1.1.1.2.1-11")
async def test_a_loop_that_is_left_early_gives_the_enumerator_back(machine: Machine) -> None:
    session = await machine.session()
    before = machine.exported
    async with await session.query("SELECT * FROM Acme_Static") as operation:
        async for _ in operation:
            break
    await machine.quiet()
    assert (machine.exported, machine.server.manager.running) == (before, 0)


@pytest.mark.requirement("WMI-3.1.1.1.2.1-08", "WMI-3.1.1.1.2.1-09")
async def test_an_unknown_class_is_told_by_the_operation(machine: Machine) -> None:
    """Semisynchronously the call itself succeeds; the results, when they are fetched, do not."""
    session = await machine.session()
    operation = await session.query("SELECT * FROM Acme_Nothing")
    with pytest.raises(WbemError) as caught:
        await operation.results()
    assert caught.value.status == WbemStatus.WBEM_E_INVALID_CLASS
    assert caught.value.extended is not None


async def test_methods_check_their_arguments_before_they_are_sent(machine: Machine) -> None:
    session = await machine.session()
    with pytest.raises(WbemError) as caught:
        await session.invoke('Acme_Static="x"', "Explode")
    assert caught.value.status == WbemStatus.WBEM_E_INVALID_METHOD
    with pytest.raises(WbemError) as caught:
        await session.invoke("__SystemSecurity=@", "GetSD", {"Loud": True})
    assert caught.value.status == WbemStatus.WBEM_E_INVALID_METHOD_PARAMETERS


async def test_a_method(machine: Machine) -> None:
    session = await machine.session()
    answer = await session.invoke("__SystemSecurity=@", "GetCallerAccessRights")
    assert (answer["ReturnValue"], answer["rights"] & AccessRight.REMOTE_ENABLE) == (0, AccessRight.REMOTE_ENABLE)


async def test_closing_twice(machine: Machine) -> None:
    session = await machine.session()
    await session.close()
    await session.close()
    del session
    gc.collect()


async def test_many_sessions_at_a_time(machine: Machine) -> None:
    sessions = await asyncio.gather(*(machine.session() for _ in range(10)))
    found = await asyncio.gather(*(session.get('Acme_Static="x"') for session in sessions for _ in range(5)))
    assert len(found) == 50
