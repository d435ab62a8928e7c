'''CIM classes from Python's: a dataclass with annotations is a declaration, and its docstring the description.

    @cim_class
    class Acme_Lamp:
        """A lamp in the house."""

        Number: Key[Uint32]
        On: bool = True
        Colour: Annotated[str | None, "As it says on the box."] = None

| Annotation                             | CIM                                                             |
| -------------------------------------- | --------------------------------------------------------------- |
| `bool`, `str`, `float`, `int`          | boolean, string, real64, sint64                                 |
| `Uint8` ... `Sint64`, `Real32`, `Char16` | that type                                                     |
| `datetime`, `timedelta`, `DateTime`    | datetime                                                        |
| `bytes`, `list[X]`, `tuple[X, ...]`    | uint8[], array of X                                             |
| another `@cim_class`                   | an embedded object of it                                        |
| `Annotated[str, Ref("Acme_House")]`    | a reference to instances of that class (`ObjectPath`: to any)    |
| `Key[X]`; `X` or None                  | a key; the same as X, since every CIM value may be NULL         |
| `Annotated[X, "text", CimType.UINT16]` | X with a description, and with that type                        |

A subclass of a declared class has it as its superclass. What cannot be declared is a `ConfigurationError`.
'''

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import (
    Annotated,
    Any,
    Final,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from openwmi.cim import (
    CimType,
    Class,
    DateTime,
    Direction,
    Flavor,
    Instance,
    Method,
    NameMap,
    ObjectPath,
    Parameter,
    Property,
    Qualifier,
    Qualifiers,
    fold,
    return_value,
)
from openwmi.errors import ConfigurationError, WbemError
from openwmi.mof import write_mof
from openwmi.mof.qualifiers import DEFAULT_FLAVORS
from openwmi.status import WbemStatus

__all__ = [
    "Char16",
    "Key",
    "Real32",
    "Real64",
    "Ref",
    "Sint8",
    "Sint16",
    "Sint32",
    "Sint64",
    "Uint8",
    "Uint16",
    "Uint32",
    "Uint64",
    "cim_class",
    "class_of",
    "declare_method",
    "is_declared",
    "schema_of",
    "values_of",
]

T = TypeVar("T")


class _KeyMark:
    """Marks a property as a key."""


Key = Annotated[T, _KeyMark]
Sint8 = Annotated[int, CimType.SINT8]
Uint8 = Annotated[int, CimType.UINT8]
Sint16 = Annotated[int, CimType.SINT16]
Uint16 = Annotated[int, CimType.UINT16]
Sint32 = Annotated[int, CimType.SINT32]
Uint32 = Annotated[int, CimType.UINT32]
Sint64 = Annotated[int, CimType.SINT64]
Uint64 = Annotated[int, CimType.UINT64]
Real32 = Annotated[float, CimType.REAL32]
Real64 = Annotated[float, CimType.REAL64]
Char16 = Annotated[str, CimType.CHAR16]


@dataclasses.dataclass(frozen=True, slots=True)
class Ref:
    """Marks a reference to instances of a class; its value is a path, as text or as an `ObjectPath`."""

    class_name: str


_TYPES: Final[Mapping[Any, CimType]] = {
    bool: CimType.BOOLEAN,
    int: CimType.SINT64,
    float: CimType.REAL64,
    str: CimType.STRING,
    datetime: CimType.DATETIME,
    timedelta: CimType.DATETIME,
    DateTime: CimType.DATETIME,
    ObjectPath: CimType.REFERENCE,
    Instance: CimType.OBJECT,
}


@dataclasses.dataclass(frozen=True, slots=True)
class _Head:
    """What `cim_class` was told about a class."""

    name: str
    superclass: str | None
    qualifiers: Mapping[str, Any]
    description: str | None


_HEAD: Final = "_openwmi_head"
_MADE: Final = "_openwmi_class"


@overload
def cim_class(cls: type[T], /) -> type[T]: ...
@overload
def cim_class(
    *, name: str | None = None, superclass: str | None = None, **qualifiers: Any
) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform()
def cim_class(
    cls: type[T] | None = None, /, *, name: str | None = None, superclass: str | None = None, **qualifiers: Any
) -> Any:
    """Makes a class a dataclass and the declaration of a CIM class, of the same name unless `name` gives another.

    `superclass` names a CIM class that Python does not know; `qualifiers` are the class's own (``abstract=True``,
    ``singleton=True``, ``association=True``, ``dynamic=True, provider="..."``).
    """

    def declare(given: type[T]) -> type[T]:
        # Before `dataclass` writes a docstring of its own.
        head = _Head(name or given.__name__, superclass, qualifiers, inspect.cleandoc(given.__doc__ or "") or None)
        made = dataclasses.dataclass(given)
        setattr(made, _HEAD, head)
        return made

    return declare if cls is None else declare(cls)


def is_declared(cls: type) -> bool:
    """Whether `cls` itself was made by `cim_class`."""
    return _HEAD in vars(cls)


def class_of(cls: type) -> Class:
    """The CIM class that `cls` declares, resolved as far as its superclasses are declared too."""
    made: Class | None = vars(cls).get(_MADE)
    if made is None:
        made = _class(cls)
        setattr(cls, _MADE, made)
    return made


def values_of(found: Any, cls: Class) -> dict[str, Any]:
    """The values of an object of a declared class as those of an instance (or the out-parameters) of `cls`."""
    head: _Head = getattr(type(found), _HEAD)
    if not cls.name.startswith("__") and not cls.is_a(head.name):
        raise WbemError.of(
            WbemStatus.WBEM_E_INVALID_CLASS, f"{cls.name} was asked for, and an object of {head.name} came"
        )
    return {field.name: _value(getattr(found, field.name)) for field in dataclasses.fields(found)}


def _value(value: Any) -> Any:
    """Objects of declared classes as instances, whether one or a sequence of them."""
    if isinstance(value, list | tuple):
        return [_value(item) for item in value]
    if is_declared(type(value)):
        embedded = class_of(type(value))
        return embedded.new(values_of(value, embedded))
    return value


# -- declarations


def _class(cls: type) -> Class:
    head: _Head = getattr(cls, _HEAD)
    bases = [base for base in cls.__bases__ if is_declared(base)]
    if len(bases) > 1 or (bases and head.superclass is not None):
        raise ConfigurationError(f"{head.name}: a class has one superclass")
    parent = class_of(bases[0]) if bases else None
    declared = Class(
        head.name,
        head.superclass if parent is None else parent.name,
        qualifiers=_qualifiers(head.description, **head.qualifiers),
        properties=NameMap(_properties(cls, head.name)),
    )
    return declared.rooted() if parent is None else parent.derive(declared)


def _properties(cls: type, name: str) -> Iterator[Property]:
    hints = _hints(cls, name)
    own = inspect.get_annotations(cls)
    for field in dataclasses.fields(cls):
        if field.name not in own:
            continue
        typed = _typed(hints[field.name], f"{name}.{field.name}")
        default = None if field.default is dataclasses.MISSING else field.default
        yield Property(
            field.name,
            typed.type,
            typed.is_array,
            None if default is None or typed.type is CimType.OBJECT else typed.conform(default, field.name),
            typed.class_name,
            _qualifiers(typed.description, **({"key": True} if typed.is_key else {})),
            inherits_default=field.name not in vars(cls),
        )


def _hints(thing: Any, what: str) -> dict[str, Any]:
    try:
        return get_type_hints(thing, include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"{what}: {error}; annotations are read by name, so what they name has to be global in its module"
        ) from None


def _qualifiers(description: str | None, **more: Any) -> Qualifiers:
    named = {**more} if description is None else {**more, "Description": description}
    return NameMap(
        Qualifier.of(name, value, DEFAULT_FLAVORS.get(fold(name), Flavor.NONE)) for name, value in named.items()
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Typed:
    """What an annotation says."""

    type: CimType
    is_array: bool = False
    class_name: str | None = None
    is_key: bool = False
    description: str | None = None

    def conform(self, value: Any, name: str) -> Any:
        try:
            return Property(name, self.type, self.is_array).conform(value)
        except WbemError as error:
            raise ConfigurationError(f"the default of {error.detail}") from None


def _typed(hint: Any, what: str) -> _Typed:
    plain, marks = (get_args(hint)[0], get_args(hint)[1:]) if get_origin(hint) is Annotated else (hint, ())
    typed = _plain(plain, what, exact=any(isinstance(mark, CimType) for mark in marks))
    for mark in marks:
        if isinstance(mark, CimType):
            typed = dataclasses.replace(typed, type=mark)
        elif isinstance(mark, Ref):
            typed = dataclasses.replace(typed, type=CimType.REFERENCE, class_name=mark.class_name)
        elif isinstance(mark, str):
            typed = dataclasses.replace(typed, description=mark)
        elif mark is _KeyMark:
            typed = dataclasses.replace(typed, is_key=True)
    return typed


def _plain(hint: Any, what: str, *, exact: bool) -> _Typed:
    """An annotation without marks; with `exact`, a mark says the type, and any other will do here."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        others = [argument for argument in arguments if argument is not type(None)]
        if len(others) == 1:
            return _typed(others[0], what)
    elif origin is list or (origin is tuple and arguments[1:] == (...,)) or origin is Sequence:
        element = _typed(arguments[0], what)
        if not element.is_array:
            return dataclasses.replace(element, is_array=True)
    elif hint is bytes:
        return _Typed(CimType.UINT8, True)
    elif hint in _TYPES:
        return _Typed(_TYPES[hint])
    elif isinstance(hint, type) and is_declared(hint):
        return _Typed(CimType.OBJECT, class_name=getattr(hint, _HEAD).name)
    if exact:
        return _Typed(CimType.STRING)
    raise ConfigurationError(f"{what}: there is no CIM type for {hint!r}")


def declare_method(function: Callable[..., Any], name: str, *, static: bool) -> Method:
    """The CIM method that a provider's function (self, call, keys, in-parameters ...) is by its annotations."""
    hints = _hints(function, name)
    parameters: list[Parameter] = []
    for given in list(inspect.signature(function).parameters.values())[3:]:
        if given.kind not in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
            continue
        if given.name not in hints:
            raise ConfigurationError(f"{name}: its parameter {given.name} has no annotation that says its type")
        typed = _typed(hints[given.name], f"{name}({given.name})")
        parameters.append(_parameter(_pascal(given.name), typed, Direction.IN, len(parameters)))
    if "return" not in hints:
        raise ConfigurationError(f"{name} has no annotation that says what it returns")
    returns: Property | None = None
    wanted = hints["return"]
    if isinstance(wanted, type) and is_declared(wanted):
        for declared in class_of(wanted).properties.each():
            if fold(declared.name) == "returnvalue":
                returns = return_value(declared.type, is_array=declared.is_array, class_name=declared.class_name)
            else:
                typed = _Typed(declared.type, declared.is_array, declared.class_name)
                parameters.append(_parameter(declared.name, typed, Direction.OUT, len(parameters)))
    elif wanted is not type(None):
        typed = _typed(wanted, f"what {name} returns")
        returns = return_value(typed.type, is_array=typed.is_array, class_name=typed.class_name)
    qualifiers = _qualifiers(inspect.cleandoc(function.__doc__ or "") or None, **({"static": True} if static else {}))
    return Method(name, NameMap(parameters), returns, qualifiers)


def _parameter(name: str, typed: _Typed, direction: Direction, number: int) -> Parameter:
    return Parameter(
        name, typed.type, typed.is_array, direction, number, typed.class_name, _qualifiers(typed.description)
    )


def _pascal(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def schema_of(classes: Sequence[type], provider: str, methods: Mapping[str, Sequence[Method]]) -> str:
    """The MOF of `classes`, as ones whose instances `provider` has.

    `methods` are by the name of their class, "" for those of the first class that is not abstract.
    """
    parts = []
    nameless = list(methods.get("", ()))
    by_class = {fold(name): members for name, members in methods.items() if name}
    for cls in classes:
        if not is_declared(cls):
            raise ConfigurationError(f"the provider {provider}: {cls.__name__} is not declared with cim_class")
        made = class_of(cls)
        own = [*by_class.pop(fold(made.name), ())]
        qualifiers = made.qualifiers
        if not made.is_abstract:
            own, nameless = own + nameless, []
            if "provider" not in made.local.qualifiers:
                qualifiers = qualifiers.with_items(_qualifiers(None, dynamic=True, provider=provider).each())
        parts.append(write_mof(dataclasses.replace(made, qualifiers=qualifiers, methods=made.methods.with_items(own))))
    if nameless or by_class:
        raise ConfigurationError(f"the provider {provider} has methods of classes that it does not declare")
    return "\n".join(parts)
