"""Declared interfaces: what proxies and stubs interpret (keystone: one table for both sides).

An `Interface` is a UUID, a version and `Method`s; a method is an opnum and `Parameter`s with their NDR types
and directions. Values travel as mappings from parameter names; a method's return value is called 'result'.
Parameters may name each other in size_is, length_is and switch_is; counts that the caller leaves out are filled
in. Stubs come from the other side whole: `DecodeError` names interface, method and parameter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import Any, Final
from uuid import UUID

from openwmi.errors import CallerError
from openwmi.rpc.ndr.pointers import Ref
from openwmi.rpc.ndr.stream import Malformed, Reader, Scope, Writer, named
from openwmi.rpc.ndr.structures import fill_counts
from openwmi.rpc.ndr.types import NdrType, type_of

__all__ = ["Direction", "In", "InOut", "Interface", "Method", "Out", "Parameter"]

RESULT: Final = "result"

# Octets that may follow the last parameter: peers round stubs up to a multiple of eight.
STUB_PADDING: Final = 7


class Direction(Flag):
    """Which way a parameter travels."""

    IN = auto()
    OUT = auto()
    IN_OUT = IN | OUT


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `type` is an NDR type or a structure's class; ``Ref(T)`` at top level is just T's octets."""

    name: str
    type: Any
    direction: Direction = Direction.IN

    @property
    def representation(self) -> NdrType[Any]:
        """The type that is in the stub: without the reference pointer that top-level parameters do not show."""
        kind = type_of(self.type)
        return kind.target if type(kind) is Ref else kind


def In(name: str, type: Any) -> Parameter:  # noqa: A002, N802
    """An ``[in]`` parameter."""
    return Parameter(name, type, Direction.IN)


def Out(name: str, type: Any) -> Parameter:  # noqa: A002, N802
    """An ``[out]`` parameter."""
    return Parameter(name, type, Direction.OUT)


def InOut(name: str, type: Any) -> Parameter:  # noqa: A002, N802
    """An ``[in, out]`` parameter."""
    return Parameter(name, type, Direction.IN_OUT)


@dataclass(frozen=True)
class Method:
    """One method: its opnum, its parameters in the IDL's order, and the type it returns (None for void)."""

    opnum: int
    name: str
    parameters: tuple[Parameter, ...] = ()
    returns: NdrType[Any] | None = None
    qualified_name: str = ""
    _request: dict[str, NdrType[Any]] = field(init=False, repr=False, compare=False)
    _response: dict[str, NdrType[Any]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = [parameter.name for parameter in self.parameters]
        if len(set(names)) != len(names) or RESULT in names:
            raise TypeError(f"{self.name}: parameters need distinct names, other than {RESULT!r}")
        response = self._having(Direction.OUT)
        if self.returns is not None:
            response[RESULT] = self.returns
        object.__setattr__(self, "_request", self._having(Direction.IN))
        object.__setattr__(self, "_response", response)

    def _having(self, direction: Direction) -> dict[str, NdrType[Any]]:
        return {p.name: p.representation for p in self.parameters if direction in p.direction}

    def encode_request(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> bytes:
        """The request's stub. Every [in] parameter must be given, but for counts that others dictate."""
        return self._encode(self._request, {**(values or {}), **more}, {})

    def decode_request(self, stub: bytes, *, little_endian: bool = True, slack: int = STUB_PADDING) -> dict[str, Any]:
        """The [in] parameters of a request's stub. At most `slack` octets may follow the last of them."""
        return self._decode(self._request, stub, {}, little_endian, slack)

    def encode_response(
        self, values: Mapping[str, Any] | None = None, /, *, request: Mapping[str, Any] | None = None, **more: Any
    ) -> bytes:
        """The response's stub; `request` are the [in] values, which may dictate the counts of [out] arrays."""
        return self._encode(self._response, {**(values or {}), **more}, request or {})

    def null_response(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What the [out] parameters hold when the call failed, 'result' too; `request` are the [in] values."""
        scope = Scope(_numbers(request))
        return {name: kind.null(request.get(name), scope) for name, kind in self._response.items()}

    def decode_response(
        self, stub: bytes, *, request: Mapping[str, Any] | None = None, little_endian: bool = True
    ) -> dict[str, Any]:
        """The [out] parameters and 'result' of a response's stub."""
        return self._decode(self._response, stub, request or {}, little_endian, STUB_PADDING)

    def _encode(
        self, kinds: Mapping[str, NdrType[Any]], given: Mapping[str, Any], siblings: Mapping[str, Any]
    ) -> bytes:
        """Write the parameters `kinds`, one complete construct after the other."""
        unknown = given.keys() - kinds.keys()
        if unknown:
            raise CallerError(f"{self.qualified_name or self.name}: no parameter {', '.join(sorted(unknown))}")
        counts = fill_counts(kinds, {**siblings, **given})
        values = {**given, **{name: count for name, count in counts.items() if name in kinds}}
        scope = Scope(_numbers({**siblings, **values}))
        writer = Writer()
        for name, kind in kinds.items():
            if name not in values and not _is_dictated(name, kinds):
                raise CallerError(f"{self.qualified_name or self.name}: {name} is missing")
            try:
                writer.complete(kind, values.get(name, 0), scope)
            except CallerError as problem:
                raise CallerError(f"{self.qualified_name or self.name}.{name}: {problem}") from None
        return bytes(writer.buffer)

    def _decode(
        self,
        kinds: Mapping[str, NdrType[Any]],
        stub: bytes,
        siblings: Mapping[str, Any],
        little_endian: bool,
        slack: int,
    ) -> dict[str, Any]:
        """Read the parameters `kinds`; a few octets of padding may follow them."""
        reader = Reader(stub, little_endian=little_endian)
        scope = Scope(_numbers(siblings))
        values: dict[str, Any] = {}
        with named(self.qualified_name or self.name):
            for name, kind in kinds.items():
                try:
                    values[name] = reader.complete(kind, scope)
                except Malformed as problem:
                    problem.within(name)
                    raise
                if isinstance(values[name], int):
                    scope.learn(name, values[name])
            scope.close()
            if reader.remaining > slack:
                raise Malformed(reader.offset, f"{reader.remaining} bytes are left over")
        return values


def _numbers(values: Mapping[str, Any]) -> dict[str, int]:
    """The values that a relation can refer to."""
    return {name: value for name, value in values.items() if isinstance(value, int)}


def _is_dictated(name: str, kinds: Mapping[str, NdrType[Any]]) -> bool:
    """Whether `name` is a count of another parameter, so that it is 0 where that one is NULL."""
    return any(name in kind.dictates() for kind in kinds.values())


@dataclass(frozen=True)
class Interface:
    """An interface. `leading` parameters stand before those of every method: DCOM puts ORPCTHIS and ORPCTHAT there.

    `method(opnum)` finds a method by its number, `interface["Name"]` by its name.
    """

    name: str
    uuid: UUID
    version: tuple[int, int]
    methods: tuple[Method, ...]
    leading: tuple[Parameter, ...] = ()
    _by_opnum: dict[int, Method] = field(init=False, repr=False, compare=False)
    _by_name: dict[str, Method] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        methods = tuple(self._bound(self.methods))
        object.__setattr__(self, "methods", methods)
        object.__setattr__(self, "_by_opnum", {method.opnum: method for method in methods})
        object.__setattr__(self, "_by_name", {method.name: method for method in methods})
        if len(self._by_opnum) != len(methods) or len(self._by_name) != len(methods):
            raise TypeError(f"{self.name}: opnums and names of methods must be distinct")

    def _bound(self, methods: Iterable[Method]) -> Iterable[Method]:
        for method in methods:
            yield dataclasses.replace(
                method,
                parameters=self.leading + method.parameters,
                qualified_name=f"{self.name}.{method.name}",
            )

    def method(self, opnum: int) -> Method | None:
        """The method with this number, or None."""
        return self._by_opnum.get(opnum)

    def __getitem__(self, name: str) -> Method:
        return self._by_name[name]
