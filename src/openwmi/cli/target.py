"""The options that say where a command works, and the session that they open."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from openwmi.cli.locations import repository_file
from openwmi.cli.passwords import known_password
from openwmi.client.sync import Session, connect
from openwmi.client.urls import Target, parse_url
from openwmi.errors import ConfigurationError, RepositoryInUse, SyntaxProblem

if TYPE_CHECKING:
    from openwmi.client.destination import DestinationOptions

__all__ = [
    "Host",
    "Json",
    "Kerberos",
    "NamespaceOption",
    "PasswordFile",
    "Place",
    "Repository",
    "ServicePrincipal",
    "Timeout",
    "User",
    "Where",
    "check_urls",
    "checked",
    "explaining",
    "password_for",
    "placed",
]


def checked(parse: Callable[[str], Any]) -> Callable[[str | None], str | None]:
    """A check of an argument: what `parse` refuses is a mistake of usage."""

    def check(value: str | None) -> str | None:
        if value is not None:
            try:
                parse(value)
            except (ConfigurationError, SyntaxProblem) as error:
                raise typer.BadParameter(str(error)) from None
        return value

    return check


Host = Annotated[
    str | None,
    typer.Option(
        "--host",
        metavar="URL",
        help="The server, as dcom://user@host:port or its name alone. Without it: a repository on this machine.",
        callback=checked(parse_url),
        show_default=False,
    ),
]
User = Annotated[str | None, typer.Option("--user", "-u", help="The account, if the URL does not name it.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file", help="The password is this file's first line. Else OPENWMI_PASSWORD, else a prompt."
    ),
]
Kerberos = Annotated[
    bool | None,
    typer.Option(
        "--kerberos",
        help="Log on with Kerberos: with the tickets of kinit, or a --password-file.",
        show_default=False,
    ),
]
ServicePrincipal = Annotated[
    str | None,
    typer.Option(
        "--service-principal",
        metavar="host/NAME",
        help="The server in Kerberos, if the URL has an address or another name.",
    ),
]
Repository = Annotated[
    str | None,
    typer.Option("--repository", metavar="PATH|:memory:", help="Where objects are kept when there is no --host."),
]
NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="The namespace.", show_default="root\\cimv2")
]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds that the operation may take.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]

_TIMEOUT: Final = 60.0  # seconds


def check_urls(value: str) -> None:
    """Raises `ConfigurationError` unless these are URLs, with commas between them."""
    for url in _urls(value):
        parse_url(url)


def _urls(value: str) -> list[str]:
    return [url for url in map(str.strip, value.split(",")) if url]


@contextmanager
def explaining() -> Iterator[None]:
    """Says what a user of the command line can do about a repository that is open elsewhere."""
    try:
        yield
    except RepositoryInUse as error:
        raise ConfigurationError(
            f"{error}. If that is `openwmi serve`, ask it: --host dcom://USER@127.0.0.1:PORT"
        ) from None


@dataclass(frozen=True, slots=True)
class Place:
    """One place in which a command works: a server's namespace, or a repository's on this machine."""

    url: str
    user: str | None
    password: str | None = field(repr=False)
    namespace: str | None
    timeout: float
    kerberos: bool = False
    service_principal: str | None = None

    @property
    def name(self) -> str:
        """What people call it: the host, with its port if that is not 135."""
        target = parse_url(self.url)
        if target.scheme == "local":
            return self.url
        return target.host if target.port == Target(target.scheme).port else f"{target.host}:{target.port}"

    @property
    def options(self) -> DestinationOptions:
        """How and as whom one logs on there."""
        return {
            "user": self.user,
            "password": self.password,
            "authentication": "kerberos" if self.kerberos else None,
            "service_principal": self.service_principal,
        }

    def open(self) -> Session:
        """A session there."""
        with explaining():
            return connect(self.url, namespace=self.namespace, timeout=self.timeout, **self.options)


@dataclass(frozen=True, slots=True)
class Where:
    """Where a command works. Its fields are options, which `placed` gives to a command."""

    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            metavar="URL,...",
            help="The servers, as dcom://user@host:port or names alone. Without: a repository on this machine.",
            callback=checked(check_urls),
            show_default=False,
        ),
    ] = None
    hosts: Annotated[
        Path | None, typer.Option("--hosts", metavar="FILE", help="More servers: a file with one a line.")
    ] = None
    parallel: Annotated[int, typer.Option("--parallel", min=1, max=256, help="How many of them at a time.")] = 16
    profile: Annotated[str | None, typer.Option("--profile", "-p", help="Options from the user's config.toml.")] = None
    user: User = None
    password_file: PasswordFile = None
    kerberos: Kerberos = None
    service_principal: ServicePrincipal = None
    repository: Repository = None
    namespace: NamespaceOption = None
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.1, help="Seconds that it may take.", show_default="60")
    ] = None

    def places(self) -> list[Place]:
        """The places, each once. Passwords are asked for here, once for each user."""
        where = self._with_profile()
        urls = [*_urls(where.host or ""), *(_listed(where.hosts) if where.hosts else ())]
        if urls and where.repository is not None:
            raise typer.BadParameter("--repository is for this machine, so not with --host")
        if not urls:
            urls = [f"local:{repository_file(where.repository)}"]
        passwords: dict[str, str] = {}
        timeout = where.timeout or _TIMEOUT
        return [
            Place(
                url,
                where.user,
                where._password(url, passwords),
                where.namespace,
                timeout,
                bool(where.kerberos),
                where.service_principal,
            )
            for url in dict.fromkeys(urls)
        ]

    def and_at(self, urls: str) -> Where:
        """These options, with one more place, or several with commas."""
        return replace(self, host=",".join(filter(None, (self.host, urls))))

    def in_namespace(self, name: str) -> Where:
        """These options, with `name` for the namespace if they do not say one."""
        where = self._with_profile()
        return replace(where, profile=None, namespace=where.namespace or name)

    def _with_profile(self) -> Where:
        """These options, completed by those of the profile."""
        if self.profile is None:
            return self
        from openwmi.cli.profiles import load_profile

        known = load_profile(self.profile).model_dump(exclude_none=True)
        url = known.pop("url", None)
        if url is not None and (self.host, self.hosts, self.repository) == (None, None, None):
            known["host"] = url
        return replace(self, **{name: value for name, value in known.items() if getattr(self, name) is None})

    def _password(self, url: str, known: dict[str, str]) -> str | None:
        """The password for a place, asked for unless it is `known` for its user; None where there is nobody to ask."""
        user = self.user or parse_url(url).user
        if user not in known:
            password = password_for(url, self.user, self.password_file, kerberos=bool(self.kerberos))
            if password is None:
                return None
            known[user] = password
        return known[user]

    def open(self) -> Session:
        """A session in the one place."""
        places = self.places()
        if len(places) != 1:
            raise typer.BadParameter("this command works on one host at a time")
        return places[0].open()


def password_for(url: str, user: str | None, file: Path | None, *, kerberos: bool) -> str | None:
    """The password for a URL, asked for if need be; None where none is needed, as for Kerberos with its tickets."""
    target = parse_url(url)
    if target.scheme == "local":
        return None
    if kerberos and file is None:
        return None
    who = user or target.user
    if not who:
        raise typer.BadParameter(f"{url} names no user: write dcom://user@host, or use --user")
    return known_password(who, file)


def _listed(path: Path) -> list[str]:
    """The URLs in a file: one a line; a # begins a remark."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not UTF-8") from None
    urls = []
    for number, line in enumerate(lines, 1):
        url = line.partition("#")[0].strip()
        if url:
            try:
                parse_url(url)
            except ConfigurationError as error:
                raise ConfigurationError(f"{path}:{number}: {error}") from None
            urls.append(url)
    return urls


def placed(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of `Where`, whose first parameter takes what they say.

    One that the command has itself takes the place of that option.
    """
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    names = {one.name for one in own}
    options = [one for one in inspect.signature(Where, eval_str=True).parameters.values() if one.name not in names]

    def run(**given: Any) -> None:
        where = Where(**{option.name: given.pop(option.name) for option in options})
        command(where, **given)

    # What typer reads.
    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own, *options)]
    vars(run)["__signature__"] = inspect.Signature(parameters)
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run
