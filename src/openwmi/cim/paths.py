r"""Object paths: parsing, writing, comparing (MS-WMI 2.2.2; DSP0004 8.5).

    \\server\root\cimv2:Class.Key1="text",Key2=5     an instance, with where it lives
    Class="text"                                     the same for a class with one key
    Class=@                                          the instance of a singleton class
    Class                                            a class
    \\server\root\cimv2                              a namespace

Slashes may lean either way. Inside quotes a backslash escapes a quote or a backslash. A datetime or reference
key is written as a quoted string; which of the two a string is, only the class can say: `bind` asks it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from openwmi.cim.datetimes import DateTime
from openwmi.cim.names import IDENTIFIER, fold
from openwmi.cim.types import INTEGER_RANGES, CimType
from openwmi.errors import InvalidObjectPath, SyntaxProblem

if TYPE_CHECKING:
    from openwmi.cim.classes import Class

__all__ = ["KeyValue", "ObjectPath", "canonical_key", "identity", "split_namespace"]

KeyValue = str | int | float | bool

_NAME: Final = IDENTIFIER
_IDENTIFIER: Final = re.compile(_NAME)
_NUMBER: Final = re.compile(r"[-+]?(?:0[xX][0-9A-Fa-f]+|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![0-9A-Za-z_.])", re.ASCII)
_LOCATION: Final = re.compile(
    rf"(?:[\\/]{{2}}(?P<server>[^\\/:\"'=]+)[\\/])?(?P<namespace>{_NAME}(?:[\\/]{_NAME})*)(?=:|\Z)"
)
_STRING: Final = re.compile(r"""(?P<quote>["'])(?P<body>(?:[^"'\\]|\\["'\\]|(?!(?P=quote))["'])*)(?P=quote)""")
_ESCAPED: Final = re.compile(r"""\\(["'\\])""")
_SPACE: Final = re.compile(r"[ \t]*")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True)
class ObjectPath:
    """The name of a class, an instance or (with neither class nor keys) a namespace.

    `keys` is a tuple of (name, value) as they were written, or None for a class. In the short form ``Class="x"``
    the one key has the name ``""``. Equal are paths that name the same object, whatever the spelling.
    """

    class_name: str = ""
    keys: tuple[tuple[str, KeyValue], ...] | None = None
    singleton: bool = False
    namespace: str | None = None
    server: str | None = None

    @classmethod
    def parse(cls, text: str) -> ObjectPath:
        """The path that `text` spells. Raises `SyntaxProblem` with the position."""
        return _Parser(text).parse()

    @classmethod
    def of(cls, class_name: str, **keys: KeyValue) -> ObjectPath:
        """The path of the instance of `class_name` with these keys (of the class itself, without any)."""
        return cls(class_name, tuple(keys.items()) or None)

    @property
    def is_instance(self) -> bool:
        """Whether this names one instance."""
        return self.keys is not None or self.singleton

    @property
    def is_class(self) -> bool:
        """Whether this names a class."""
        return bool(self.class_name) and not self.is_instance

    @property
    def relative(self) -> ObjectPath:
        """The path without server and namespace: what `__RELPATH` holds."""
        return replace(self, namespace=None, server=None)

    def in_class(self, class_name: str) -> ObjectPath:
        """The same keys in another class: ``ClassB.k=1`` as ``ClassA.k=1``."""
        return replace(self, class_name=class_name)

    def at(self, namespace: str | None, server: str | None = None) -> ObjectPath:
        """The path with that location."""
        return replace(self, namespace=namespace, server=server)

    def bind(self, cls: Class) -> dict[str, Any]:
        """The keys by the class's own names, as values of their types, in the class's order.

        Raises `InvalidObjectPath` if a key is missing, surplus, or of the wrong type. A singleton has no keys.
        """
        wanted = cls.keys
        if not self.is_instance:
            raise InvalidObjectPath(f"{self} names no instance")
        if self.singleton:
            if not cls.is_singleton:
                raise InvalidObjectPath(f"{self}: {cls.name} is no singleton class, so =@ names nothing")
            return {}
        given = dict(self.keys or ())
        if list(given) == [""] and len(wanted) == 1:
            given = {wanted[0].name: given[""]}
        by_name = {fold(name): value for name, value in given.items()}
        bound = {}
        for key in wanted:
            if fold(key.name) not in by_name:
                raise InvalidObjectPath(f"{self}: the key {key.name} of {cls.name} is missing")
            bound[key.name] = _as_key(by_name.pop(fold(key.name)), key.type, f"{self}: key {key.name}")
        if by_name or not (wanted or cls.is_singleton):
            surplus = next((n for n in given if fold(n) in by_name), "")
            raise InvalidObjectPath(f"{self}: {surplus or 'the value'} is no key of {cls.name}")
        return bound

    def __str__(self) -> str:
        where = ""
        if self.server is not None:
            where = f"\\\\{self.server}\\{self.namespace or ''}"
        elif self.namespace is not None:
            where = self.namespace
        if not self.class_name:
            return where
        return f"{where}:{self._object()}" if where else self._object()

    def _object(self) -> str:
        if self.singleton:
            return f"{self.class_name}=@"
        if self.keys is None:
            return self.class_name
        written = ",".join(f"{name}={_written(value)}" for name, value in self.keys)
        return self.class_name + ("" if self.keys and self.keys[0][0] == "" else ".") + written

    def _identity(self) -> tuple[Any, ...]:
        keys = None
        if self.keys is not None:
            keys = tuple(sorted((fold(name), canonical_key(value)) for name, value in self.keys))
        namespace = None if self.namespace is None else fold(self.namespace.replace("/", "\\"))
        server = None if self.server is None else fold(self.server)
        return fold(self.class_name), keys, self.singleton, namespace, server

    def __eq__(self, other: object) -> bool:
        return self._identity() == other._identity() if isinstance(other, ObjectPath) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity())


def canonical_key(value: Any) -> tuple[str, str]:
    """A form of a key's value in which equal keys are equal: strings without regard to case, as WMI compares them.

    A datetime goes by its instant; references are strings here, and equal when their canonical paths are.
    """
    if isinstance(value, bool):
        return "b", str(value)
    if isinstance(value, int | float):
        whole = isinstance(value, int) or value.is_integer()
        return "n", str(int(value)) if whole else repr(value)
    if isinstance(value, DateTime):
        return "t", _instant(value)
    return "s", fold(str(value))


def _instant(value: DateTime) -> str:
    """Exact to the microsecond, which a float of seconds is not."""
    try:
        length = value.to_timedelta() if value.is_interval else value.to_datetime() - _EPOCH
    except ValueError:
        return value.text
    return f"{length // _MICROSECOND}{'i' if value.is_interval else ''}"


def identity(cls: Class, bound: dict[str, Any]) -> str:
    """One text for the instance of `cls` that has these keys (as `ObjectPath.bind` gives them): equal keys, equal text.

    Two spellings of a reference are one key if they are one path but for its location.
    """
    parts = []
    for key in cls.keys:
        value = bound[key.name]
        if key.type is CimType.REFERENCE:
            kind, text = _canonical_reference(str(value))
        else:
            kind, text = canonical_key(value)
        parts.append(f"{fold(key.name)}={kind}{len(text)}:{text}")
    return ";".join(parts)


def _canonical_reference(value: str) -> tuple[str, str]:
    try:
        path = ObjectPath.parse(value)
    except SyntaxProblem:
        return canonical_key(value)
    return "r", repr(path.relative._identity())


def split_namespace(namespace: str) -> tuple[str, ...]:
    """The levels of a namespace, ``root\\cimv2`` as ``("root", "cimv2")``; raises `SyntaxProblem`."""
    match = _LOCATION.fullmatch(namespace)
    if match is None or match["server"] is not None:
        raise SyntaxProblem(f"{namespace[:80]!r} is not a namespace (root\\cimv2)", namespace)
    return tuple(re.split(r"[\\/]", namespace))


def _written(value: KeyValue) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return str(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _as_key(value: KeyValue, type_: CimType, what: str) -> Any:
    """`value` as a key of that type. WMI takes a number where text is due, and TRUE and FALSE as 1 and 0."""
    if type_ in INTEGER_RANGES:
        if isinstance(value, str) and re.fullmatch(r"[-+]?\d+", value, re.ASCII):
            value = int(value) if len(value) <= 21 else value
        low, high = INTEGER_RANGES[type_]
        if isinstance(value, int) and low <= value <= high:
            return int(value)
    elif type_ is CimType.BOOLEAN:
        if isinstance(value, bool) or value in (0, 1):
            return bool(value)
    elif type_ is CimType.DATETIME:
        try:
            return DateTime(str(value))
        except SyntaxProblem:
            pass
    elif type_ in (CimType.STRING, CimType.REFERENCE) and not isinstance(value, bool | float):
        return str(value)
    elif type_ is CimType.CHAR16 and isinstance(value, str) and len(value) == 1 and ord(value) <= 0xFFFF:
        return value
    raise InvalidObjectPath(f"{what}: {_written(value)} is not a value of {type_.text}")


def _number(written: str) -> int | float:
    if "x" in written.lower():
        return int(written, 16)
    return float(written) if set(written) & set(".eE") else int(written)


class _Parser:
    """Recursive descent over one text; each method consumes what it names and leaves `self.at` behind it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def parse(self) -> ObjectPath:
        self._space()
        server = namespace = None
        location = _LOCATION.match(self.text, self.at)
        starts_with_slashes = self.text[self.at : self.at + 2] in ("\\\\", "//")
        if location is not None and (starts_with_slashes or location.end() < len(self.text)
                                     or re.search(r"[\\/]", location["namespace"])):  # fmt: skip
            server, namespace = location["server"], location["namespace"].replace("/", "\\")
            self.at = location.end()
            if self.at == len(self.text):
                return ObjectPath(namespace=namespace, server=server)
            self.at += 1
        elif starts_with_slashes:
            raise self._problem("a namespace after the machine's name")
        self._space()
        class_name = self._identifier("the name of a class")
        self._space()
        keys: tuple[tuple[str, KeyValue], ...] | None = None
        singleton = False
        if self._take("="):
            self._space()
            if self._take("@"):
                singleton = True
            else:
                keys = (("", self._value()),)
        elif self._take("."):
            keys = self._keys()
        self._space()
        if self.at != len(self.text):
            raise self._problem("the end of the path")
        return ObjectPath(class_name, keys, singleton, namespace, server)

    def _keys(self) -> tuple[tuple[str, KeyValue], ...]:
        keys: dict[str, tuple[str, KeyValue]] = {}
        while True:
            self._space()
            start = self.at
            name = self._identifier("the name of a key")
            if fold(name) in keys:
                self.at = start
                raise self._problem("another key", f"{name} is there twice")
            self._space()
            if not self._take("="):
                raise self._problem("=")
            self._space()
            keys[fold(name)] = (name, self._value())
            self._space()
            if not self._take(","):
                return tuple(keys.values())

    def _value(self) -> KeyValue:
        string = _STRING.match(self.text, self.at)
        if string is not None:
            self.at = string.end()
            return _ESCAPED.sub(r"\1", string["body"])
        number = _NUMBER.match(self.text, self.at)
        if number is not None:
            written = number[0]
            value = _number(written) if len(written) <= 40 else math.inf
            if not math.isfinite(value):
                raise self._problem("a number of at most 40 characters and a finite value")
            self.at = number.end()
            return value
        word = _IDENTIFIER.match(self.text, self.at)
        if word is not None and word[0].upper() in ("TRUE", "FALSE"):
            self.at = word.end()
            return word[0].upper() == "TRUE"
        raise self._problem('the value of a key ("text", a number, TRUE or FALSE)')

    def _identifier(self, what: str) -> str:
        match = _IDENTIFIER.match(self.text, self.at)
        if match is None:
            raise self._problem(what)
        self.at = match.end()
        return match[0]

    def _take(self, character: str) -> bool:
        if self.text.startswith(character, self.at):
            self.at += 1
            return True
        return False

    def _space(self) -> None:
        match = _SPACE.match(self.text, self.at)
        if match is not None:
            self.at = match.end()

    def _problem(self, expected: str, found: str = "") -> SyntaxProblem:
        rest = self.text[self.at : self.at + 20]
        found = found or (f"{rest!r} stands" if rest else "the path ends")
        shown = self.text if len(self.text) <= 200 else self.text[:197] + "..."
        return SyntaxProblem(f"{shown!r}: {found} at {self.at}, expected {expected}", self.text, self.at)
