"""Classes and instances as MOF text that compiles to the same object.

A class is written with what it declares itself (`Class.local`) and the name of its superclass; an instance with the
values that are its own, not those that its class gives it. Numbers are decimal, every character that could be lost on
its way through an editor is written as an escape.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from openwmi.cim import (
    INTEGER_RANGES,
    CimType,
    Class,
    Direction,
    Flavor,
    Instance,
    Method,
    Parameter,
    Property,
    Qualifier,
    Qualifiers,
    Unset,
    fold,
)
from openwmi.errors import WbemError
from openwmi.mof.parser import MAX_DEPTH
from openwmi.mof.qualifiers import DEFAULT_FLAVORS
from openwmi.status import WbemStatus

__all__ = ["export_mof", "write_mof"]

_WIDTH: Final = 100
_INDENT: Final = "    "
_HERE: Final = "\\\\.\\"

# Escaped are controls, blanks that are not the plain one, marks without width, and lone surrogates.
_UNSAFE: Final = re.compile(
    r"[\\\"\x00-\x1f\x7f-\xa0\u00ad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ud800-\udfff\ufeff\ufff0-\uffff]"
)
_NAMED: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}

# A flavor, the word that gives it, the word that takes it back from a qualifier that has it by default.
_FLAVOR_WORDS: Final = (
    (Flavor.TO_INSTANCE, "ToInstance", "NotToInstance"),
    (Flavor.TO_SUBCLASS, "ToSubclass", "NotToSubclass"),
    (Flavor.NOT_OVERRIDABLE, "DisableOverride", "EnableOverride"),
    (Flavor.AMENDED, "Amended", ""),
)


def write_mof(obj: Class | Instance) -> str:
    """The declaration of `obj`, with its semicolon and a line's end.

    Raises `WbemError` (WBEM_E_TYPE_MISMATCH) for what MOF cannot say: a real that is no number, objects embedded too
    deep to be read again.
    """
    return _object(obj, 0) + ";\n"


def export_mof(objects: Iterable[Class | Instance], namespace: str | None = None) -> Iterator[str]:
    """The declarations of all `objects`, piece by piece, in an order in which they compile; see `write_mof`.

    Superclasses stand before what descends from them, classes before instances; within that the given order is kept.
    With `namespace` the text says where it belongs.
    """
    if namespace is not None:
        yield f'#pragma namespace("{_escaped(f"{_HERE}{namespace}")}")\n\n'
    classes: dict[str, Class] = {}
    instances = []
    for obj in objects:
        if isinstance(obj, Class):
            classes[fold(obj.name)] = obj
        else:
            instances.append(obj)
    written: set[str] = set()
    for cls in classes.values():
        line = (classes[fold(name)] for name in reversed((cls.name, *cls.derivation)) if fold(name) in classes)
        for member in line:
            if fold(member.name) not in written:
                written.add(fold(member.name))
                yield write_mof(member) + "\n"
    for instance in instances:
        yield write_mof(instance) + "\n"


def _object(obj: Class | Instance, depth: int) -> str:
    if depth >= MAX_DEPTH:
        raise WbemError.of(WbemStatus.WBEM_E_TYPE_MISMATCH, f"objects are embedded more than {MAX_DEPTH} deep")
    return _class(obj, depth) if isinstance(obj, Class) else _instance(obj, depth)


def _class(cls: Class, depth: int) -> str:
    local = cls.local
    heading = f"class {cls.name}" + (f" : {cls.superclass}" if cls.superclass else "")
    members = [_property(p, cls, depth + 1) for p in local.properties.each()]
    members += [_method(m, depth + 1) for m in local.methods.each()]
    return _block(local.qualifiers, heading, members, depth)


def _instance(instance: Instance, depth: int) -> str:
    members = []
    for declared, value in zip(instance.shape.properties, instance.values, strict=True):
        if isinstance(value, Unset):
            continue
        qualifiers = instance.property_qualifiers.get(fold(declared.name))
        prefix = "" if qualifiers is None else _prefix(qualifiers, depth + 1)
        written = _value(value, declared.type, declared.is_array, depth + 1)
        members.append(f"{prefix}{declared.name} = {written};")
    return _block(instance.qualifiers, f"instance of {instance.class_name}", members, depth)


def _block(qualifiers: Qualifiers, heading: str, members: Iterable[str], depth: int) -> str:
    outer, inner = _INDENT * depth, _INDENT * (depth + 1)
    lines = [_prefix(qualifiers, depth) + heading, outer + "{"]
    lines += [inner + member for member in members]
    return "\n".join([*lines, outer + "}"])


def _prefix(qualifiers: Qualifiers, depth: int) -> str:
    """The list of qualifiers and, after it, a new line that is indented; nothing without qualifiers."""
    written = [_qualifier(qualifier) for qualifier in qualifiers.each()]
    if not written:
        return ""
    newline = "\n" + _INDENT * depth
    joined = ", ".join(written)
    if len(joined) > _WIDTH:
        joined = ("," + newline + " ").join(written)
    return f"[{joined}]{newline}"


def _qualifier(qualifier: Qualifier) -> str:
    if qualifier.is_array and qualifier.value is not None:
        value = _value(qualifier.value, qualifier.type, True, 0)
    elif qualifier.type is CimType.BOOLEAN and qualifier.value is True:
        value = ""
    else:
        value = f"({_value(qualifier.value, qualifier.type, False, 0)})"
    words = []
    default = DEFAULT_FLAVORS.get(fold(qualifier.name), Flavor.NONE)
    for flavor, gives, takes in _FLAVOR_WORDS:
        if (qualifier.flavor & flavor) != (default & flavor):
            words.append(gives if qualifier.flavor & flavor else takes)
    return qualifier.name + value + (f" : {' '.join(words)}" if words else "")


def _type(type_: CimType, class_name: str | None) -> str:
    if type_ is CimType.REFERENCE:
        return f"{class_name or 'object'} ref"
    return class_name or "object" if type_ is CimType.OBJECT else type_.text


def _element(declared: Property | Parameter, depth: int, *, default: bool) -> str:
    text = f"{_type(declared.type, declared.class_name)} {declared.name}" + ("[]" if declared.is_array else "")
    return f"{text} = {_value(declared.default, declared.type, declared.is_array, depth)}" if default else text


def _property(declared: Property, cls: Class, depth: int) -> str:
    """A default of NULL is written where it takes the place of one that the property would inherit."""
    overrides = declared.origin != cls.name and cls.superclass is not None
    default = not declared.inherits_default and (overrides or declared.default is not None)
    return f"{_prefix(declared.qualifiers, depth)}{_element(declared, depth, default=default)};"


def _method(method: Method, depth: int) -> str:
    returns = "void"
    if method.returns is not None:
        if method.returns.is_array:
            raise WbemError.of(
                WbemStatus.WBEM_E_TYPE_MISMATCH, f"MOF has no way to write that {method.name} returns an array"
            )
        returns = _type(method.returns.type, method.returns.class_name)
    prefix = _prefix(method.qualifiers, depth)
    heading = f"{prefix}{returns} {method.name}("
    parameters = [_parameter(p, depth + 1) for p in method.parameters.each()]
    if not parameters:
        return heading + ");"
    indent = "\n" + _INDENT * (depth + 1)
    return heading + indent + ("," + indent).join(parameters) + ");"


def _parameter(parameter: Parameter, depth: int) -> str:
    """With its number, always; with its direction as a qualifier, unless it goes both ways for want of one."""
    qualifiers = list(parameter.qualifiers.each())
    if parameter.direction != Direction.IN_OUT and not {"in", "out"} & {fold(q.name) for q in qualifiers}:
        qualifiers.insert(0, Qualifier.of("In" if parameter.direction is Direction.IN else "Out"))
    qualifiers.append(Qualifier("ID", CimType.SINT32, parameter.id))
    written = ", ".join(_qualifier(qualifier) for qualifier in qualifiers)
    return f"[{written}] {_element(parameter, depth, default=parameter.default is not None)}"


def _value(value: Any, type_: CimType, is_array: bool, depth: int) -> str:
    if value is None:
        return "NULL"
    if is_array:
        return "{" + ", ".join(_value(item, type_, False, depth) for item in value) + "}"
    if type_ in INTEGER_RANGES:
        return str(value)
    if type_ is CimType.BOOLEAN:
        return "TRUE" if value else "FALSE"
    if type_ in (CimType.REAL32, CimType.REAL64):
        return _real(value)
    if type_ is CimType.CHAR16:
        return "'\\''" if value == "'" else "'" + _escaped(value) + "'"
    if type_ is CimType.OBJECT:
        return _object(value, depth)
    return f'"{_escaped(str(value))}"'


def _real(value: float) -> str:
    """The shortest text that reads as the same number, and as a real."""
    if not math.isfinite(value):
        raise WbemError.of(WbemStatus.WBEM_E_TYPE_MISMATCH, f"MOF has no way to write the number {value}")
    text = repr(value)
    return text if "." in text or "e" not in text else text.replace("e", ".0e")


def _escaped(text: str) -> str:
    return _UNSAFE.sub(lambda match: _NAMED.get(match[0], f"\\x{ord(match[0]):04X}"), text)
