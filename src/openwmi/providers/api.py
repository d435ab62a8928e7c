'''The provider API: what to write to put something behind a class.

    @cim_class
    class Acme_Lamp:
        """A lamp in the house."""

        Number: Key[Uint32]
        On: bool = True

    class Lamps(Provider):
        name = "Lamps"
        classes = (Acme_Lamp,)                                 # or: mof = "class Acme_Lamp { ... };"

        def get_instance(self, call, keys):
            return Acme_Lamp(keys["Number"])                   # or a mapping; or None: there is no such lamp

        def enumerate_instances(self, call):
            for number in range(8):
                yield Acme_Lamp(number)

        async def delete_instance(self, call, keys):
            await unscrew(keys["Number"])

        @method
        def Toggle(self, call, keys, times: Uint32 = 1) -> Uint32:
            return 0                                           # ReturnValue; or {"ReturnValue": 0, "Out": ...}

Which functions a provider overrides says what it supports (SupportsGet, SupportsPut, SupportsDelete and
SupportsEnumerate of MS-WMI 3.1.1). Each may be `def` (it runs in one of the provider's own threads, so it may
block) or `async def` (it runs in the server's loop, so it must not).

What a provider raises: a `WbemError` (`NotFound`, `AccessDenied` ...) gives the caller that code. Any other exception
is WBEM_E_PROVIDER_FAILURE, as is a result that does not fit the class; the log has the traceback, and so has the
`__ExtendedStatus` of a caller who is an administrator; others get its text. Whoever takes longer than the deadline
fails with WBEM_E_PROVIDER_TIMED_OUT.
'''

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeAlias, TypeVar, overload

from openwmi.cim import Class, Instance, Method, fold
from openwmi.errors import WbemError
from openwmi.providers.call import PENDING, DynamicProperty, Pending, ProviderCall
from openwmi.providers.declared import declare_method, schema_of
from openwmi.status import WbemStatus

__all__ = [
    "PENDING",
    "DeclaredClass",
    "DynamicProperty",
    "Found",
    "Keys",
    "Pending",
    "Provider",
    "ProviderCall",
    "method",
]

Keys: TypeAlias = Mapping[str, Any]
"""The keys of one instance: by the class's own names, as values of their types; empty for a singleton."""

Found: TypeAlias = Mapping[str, Any] | Instance | object
"""An instance as a provider gives it: an object of a `cim_class`, its values by property name, or an `Instance`."""

DeclaredClass: TypeAlias = Class | type
"""A class as a class provider gives it: a `Class` with what it says itself, or a `cim_class`."""

F = TypeVar("F", bound=Callable[..., Any])
_MARK: Final = "_openwmi_method"


@dataclass(frozen=True, slots=True)
class _Mark:
    """What `method` says of a function."""

    name: str
    of: str | None
    static: bool


@overload
def method(name: F) -> F: ...
@overload
def method(name: str | None = None, *, of: str | None = None, static: bool = False) -> Callable[[F], F]: ...
def method(name: Any = None, *, of: str | None = None, static: bool = False) -> Any:
    """Marks a function as the implementation of a CIM method: of the one that bears its name, or of `name`.

    `of` names the class, for a provider of several classes that have methods of the same name. The function takes
    the call, the instance's keys (empty for a static method) and the in-parameters by name; a Python name
    stands for a parameter if the two are equal without regard to case and underscores (`command_line` for
    CommandLine). A NULL parameter is left out where the function has a default, else it is None.

    It returns the ReturnValue, or a mapping of out-parameters (or an object of a `cim_class`), ReturnValue among them
    (0 if it is left out). Where the provider has `classes`, its annotations declare the method, `static` or not.
    """

    def mark(function: F, given: str | None) -> F:
        setattr(function, _MARK, _Mark(given or function.__name__, of, static))
        return function

    if callable(name):
        return mark(name, None)
    return lambda function: mark(function, name)


def _unsupported(function: F) -> F:
    """Marks one of `Provider`'s own functions as: not overridden, so not supported."""
    function._unsupported = True  # type: ignore[attr-defined]
    return function


def _refusal() -> WbemError:
    return WbemError.of(WbemStatus.WBEM_E_PROVIDER_NOT_CAPABLE, "the provider does not support this")


class Provider:
    """Base class of providers. Override what the classes can do, and mark their methods with `@method`.

    `name` is the ProviderId that the classes' `provider` qualifier gives, `clsid` what a `__Win32Provider` may call it
    by. `classes` (`cim_class`) or `mof` declares the classes, in `namespace`. `threads` bounds how many of its
    functions run at a time, `deadline` the seconds that one call may take (None for the server's own setting).
    `result_set_queries` are schema queries for the classes that a class provider may have (ResultSetQueries).

    Made when it is first needed, without arguments, by the factory it is registered with; one object serves
    all calls, so what it keeps must bear several threads.
    """

    name: ClassVar[str] = ""
    namespace: ClassVar[str] = "root\\cimv2"
    clsid: ClassVar[str | None] = None
    mof: ClassVar[str | None] = None
    classes: ClassVar[tuple[type, ...]] = ()
    threads: ClassVar[int] = 4
    deadline: ClassVar[float | None] = None
    result_set_queries: ClassVar[tuple[str, ...]] = ("SELECT * FROM meta_class",)

    _methods: ClassVar[Mapping[tuple[str | None, str], str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        found: dict[tuple[str | None, str], str] = {}
        for base in reversed(cls.__mro__):
            for attribute, value in vars(base).items():
                mark = getattr(value, _MARK, None)
                if isinstance(mark, _Mark):
                    found[None if mark.of is None else fold(mark.of), fold(mark.name)] = attribute
        cls._methods = found

    @classmethod
    def schema(cls) -> str:
        """The MOF of what the provider declares: of `classes` with the methods that are marked, and `mof`.

        Raises `ConfigurationError` for annotations that declare nothing.
        """
        declared: dict[str, list[Method]] = {}
        for attribute in cls._methods.values() if cls.classes else ():
            function = getattr(cls, attribute)
            mark: _Mark = getattr(function, _MARK)
            declared.setdefault(mark.of or "", []).append(declare_method(function, mark.name, static=mark.static))
        return "\n".join((schema_of(cls.classes, cls.name, declared), cls.mof or "")).strip()

    # -- its life

    def load(self) -> None:
        """Called once before the first use, in a thread. What it raises is WBEM_E_PROVIDER_LOAD_FAILURE."""

    def close(self) -> None:
        """Called once when the server stops; the calls that ran are cancelled by then."""

    # -- what it can do (MS-WMI 3.1.4.17)

    @_unsupported
    def get_instance(
        self, call: ProviderCall, keys: Keys
    ) -> Found | Pending | Awaitable[Found | Pending | None] | None:
        """The instance with these keys; None if there is none (3.1.4.17.3)."""
        raise _refusal()

    @_unsupported
    def enumerate_instances(
        self, call: ProviderCall
    ) -> Iterable[Found] | AsyncIterable[Found] | Awaitable[Iterable[Found]]:
        """All instances of `call.cls` itself, without its subclasses' (3.1.4.17.1).

        A generator is asked for a few at a time as the caller takes them, perhaps in changing threads.
        """
        raise _refusal()

    @_unsupported
    def query_instances(
        self, call: ProviderCall, query: str
    ) -> Iterable[Found] | AsyncIterable[Found] | Awaitable[Iterable[Found]]:
        """The instances of `call.cls` that a query wants (3.1.4.17.15); more do no harm, they are filtered again.

        The query is a SELECT. A class of associations is asked by ASSOCIATORS OF and REFERENCES OF, too, for the
        associations of an object; if that is refused, by a SELECT with the references that name the object.
        WBEM_E_PROVIDER_NOT_CAPABLE, raised before the first instance, makes the server enumerate instead.
        """
        raise _refusal()

    @_unsupported
    def put_instance(self, call: ProviderCall, instance: Instance) -> Pending | Awaitable[Pending | None] | None:
        """Creates or changes the instance (3.1.4.17.5, .7), as `call.flags` (UPDATE_ONLY, CREATE_ONLY) allow."""
        raise _refusal()

    @_unsupported
    def delete_instance(self, call: ProviderCall, keys: Keys) -> Pending | Awaitable[Pending | None] | None:
        """Deletes the instance with these keys; `NotFound` if there is none (3.1.4.17.9)."""
        raise _refusal()

    # -- as a property provider: values for static instances (a property that is `dynamic` and names its `provider`)

    @_unsupported
    def get_property(self, call: ProviderCall, what: DynamicProperty) -> Any:
        """The value of one property of the instance at `call.path`."""
        raise _refusal()

    @_unsupported
    def put_property(self, call: ProviderCall, what: DynamicProperty, value: Any) -> Awaitable[None] | None:
        """Changes the value of one property of the instance at `call.path`."""
        raise _refusal()

    # -- as a class provider: classes that are not in the repository

    @_unsupported
    def get_class(self, call: ProviderCall, name: str) -> DeclaredClass | Awaitable[DeclaredClass | None] | None:
        """The class of that name; None if there is none (3.1.4.17.4).

        A class that does not name the provider of its instances has them from this one.
        """
        raise _refusal()

    @_unsupported
    def enumerate_classes(
        self, call: ProviderCall, superclass: str | None
    ) -> Iterable[DeclaredClass] | AsyncIterable[DeclaredClass] | Awaitable[Iterable[DeclaredClass]]:
        """The classes below `superclass` at any depth, all of them for None (3.1.4.17.2); more do no harm."""
        raise _refusal()

    @_unsupported
    def put_class(self, call: ProviderCall, cls: Class) -> Awaitable[None] | None:
        """Creates or changes a class (3.1.4.17.6, .8), as `call.flags` allow. `cls` has what it inherits, too."""
        raise _refusal()

    @_unsupported
    def delete_class(self, call: ProviderCall, name: str) -> Awaitable[None] | None:
        """Deletes the class with that name (3.1.4.17.10); `NotFound` if there is none."""
        raise _refusal()

    @_unsupported
    def is_class_supported(self, call: ProviderCall, name: str) -> bool | Awaitable[bool]:
        """Whether this provider is the one to create a class of that name (3.1.4.17.14).

        Unless it is overridden, it is if `get_class` has one.
        """
        raise _refusal()

    # -- what it says of itself

    @property
    def query_support_levels(self) -> tuple[str, ...]:
        """QuerySupportLevels: WQL:UnarySelect, WQL:V1ProviderDefined, WQL:References, WQL:Associators, or none."""
        return ("WQL:UnarySelect",) if self.supports("query_instances") else ()

    @classmethod
    def supports(cls, function: str) -> bool:
        """Whether `function`, one of the functions above, is overridden (SupportsGet ... of 3.1.1)."""
        return not getattr(getattr(cls, function), "_unsupported", False)

    def implementation(self, cls: Class, name: str) -> Callable[..., Any] | None:
        """The function that is the method `name` of `cls` (inherited ones included), or None."""
        for of in (fold(cls.name), *map(fold, cls.derivation), None):
            attribute = self._methods.get((of, fold(name)))
            if attribute is not None:
                bound: Callable[..., Any] = getattr(self, attribute)
                return bound
        return None
