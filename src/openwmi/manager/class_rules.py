"""What a class must be, beyond what inheritance itself enforces (`Class.derive`), and how force mode settles conflicts.

Pure functions of classes; they raise `WbemError` with the code that MS-WMI names, or, where it names none (an
association's references, a method's signature, the types of keys and qualifiers), with the code whose meaning fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from openwmi.cim import (
    CimType,
    Class,
    Flavor,
    Method,
    NameMap,
    Property,
    Qualifiers,
    flag,
    fold,
    is_identifier,
    type_name,
)
from openwmi.errors import WbemError
from openwmi.status import WbemStatus

__all__ = ["check_class", "reconciled"]

# The type of the qualifiers that the server itself acts upon; one of another type would silently mean nothing.
_TYPES: Final[Mapping[str, CimType]] = {
    "abstract": CimType.BOOLEAN,
    "amendment": CimType.BOOLEAN,
    "association": CimType.BOOLEAN,
    "disabled": CimType.BOOLEAN,
    "dynamic": CimType.BOOLEAN,
    "key": CimType.BOOLEAN,
    "provider": CimType.STRING,
    "singleton": CimType.BOOLEAN,
    "static": CimType.BOOLEAN,
}

_LEAST_REFERENCES: Final = 2


def check_class(cls: Class, parent: Class | None) -> None:
    """The rules for a resolved class under its superclass."""
    _check_qualifiers(cls.qualifiers, cls.name)
    for prop in cls.properties.each():
        if prop.propagated:
            continue
        where = f"{cls.name}.{prop.name}"
        _check_name(prop.name, where)
        _check_qualifiers(prop.qualifiers, where)
        if prop.is_key and not prop.can_be_key:
            raise WbemError.of(
                WbemStatus.WBEM_E_CANNOT_BE_KEY, f"{where} is {type_name(prop.type, prop.is_array)}: that is no key"
            )
    for method in cls.methods.each():
        if not method.propagated:
            _check_name(method.name, f"{cls.name}.{method.name}()")
            _check_qualifiers(method.qualifiers, f"{cls.name}.{method.name}()")
    if cls.is_singleton and cls.keys:
        raise WbemError.of(
            WbemStatus.WBEM_E_CANNOT_BE_SINGLETON,
            f"{cls.name} cannot be a singleton: it has the key {cls.keys[0].name}",
        )
    if cls.is_association and not cls.is_abstract:
        references = sum(p.type is CimType.REFERENCE for p in cls.properties.each())
        if references < _LEAST_REFERENCES:
            raise WbemError.of(
                WbemStatus.WBEM_E_INVALID_OBJECT,
                f"the association {cls.name} needs {_LEAST_REFERENCES} references, and has {references}",
            )
    if parent is not None:
        _check_kept(cls, parent)
        _check_signatures(cls, parent)


def _check_kept(cls: Class, parent: Class) -> None:
    """What a superclass is for good."""
    lost = [f"the key {key.name}" for key in parent.keys if not cls.properties[key.name].is_key]
    for name in ("association", "singleton"):
        own = cls.qualifiers.get(name)
        if flag(parent.qualifiers, name) and own is not None and own.value is False:
            lost.append(f"the qualifier {own.name}")
    if lost:
        raise WbemError.of(
            WbemStatus.WBEM_E_OVERRIDE_NOT_ALLOWED, f"{cls.name} cannot take back {lost[0]} of {parent.name}"
        )


def _check_name(name: str, where: str) -> None:
    if not is_identifier(name) or name.startswith("__"):
        raise WbemError.of(WbemStatus.WBEM_E_INVALID_OBJECT, f"{where}: {name!r} cannot be a name here")


def _check_qualifiers(qualifiers: Qualifiers, where: str) -> None:
    for qualifier in qualifiers.each():
        wanted = _TYPES.get(fold(qualifier.name))
        if wanted is not None and (qualifier.type is not wanted or qualifier.is_array):
            raise WbemError.of(
                WbemStatus.WBEM_E_INVALID_QUALIFIER_TYPE,
                f"{where}: the qualifier {qualifier.name} is {wanted.text},"
                f" not {type_name(qualifier.type, qualifier.is_array)}",
            )


def _check_signatures(cls: Class, parent: Class) -> None:
    """A method that a superclass has keeps its parameters and its return value."""
    for method in cls.methods.each():
        base = None if method.propagated else parent.methods.get(method.name)
        if base is not None and _signature(base) != _signature(method):
            raise WbemError.of(
                WbemStatus.WBEM_E_PROPAGATED_METHOD,
                f"{cls.name}.{method.name}() has other parameters than {base.origin} declares",
            )


def _signature(method: Method) -> object:
    parameters = [(fold(p.name), p.type, p.is_array, p.direction) for p in method.parameters.each()]
    returns = None if method.returns is None else (method.returns.type, method.returns.is_array)
    return sorted(parameters, key=lambda p: p[0]), returns


def reconciled(base: Class, below: Iterable[Class]) -> list[Class]:
    """The declarations (`Class.local`) of those classes below `base`, superclasses first, that must change to fit it.

    `base` is the new declaration, resolved; `below` are the classes as they are. Where one conflicts, what it declares
    gives way: a property of another type, a qualifier that may not be overridden, a key, a singleton
    (WBEM_FLAG_UPDATE_FORCE_MODE, 3.1.4.3.6).
    """
    fitted: dict[str, Class] = {fold(base.name): base}
    changed = []
    for cls in below:
        parent = fitted[fold(cls.superclass or "")]
        local = _giving_way(cls.local, parent)
        if local != cls.local:
            changed.append(local)
        fitted[fold(cls.name)] = parent.derive(local)
    return changed


def _giving_way(local: Class, parent: Class) -> Class:
    properties = []
    for prop in local.properties.each():
        above = parent.properties.get(prop.name)
        if above is not None and (above.type, above.is_array) != (prop.type, prop.is_array):
            continue
        qualifiers = prop.qualifiers if above is None else _allowed(prop.qualifiers, above.qualifiers)
        if prop.is_key and not (above is not None and above.is_key) and (parent.keys or not parent.is_abstract):
            qualifiers = qualifiers.without("key")
        properties.append(_with(prop, qualifiers))
    methods = []
    for method in local.methods.each():
        known = parent.methods.get(method.name)
        qualifiers = method.qualifiers if known is None else _allowed(method.qualifiers, known.qualifiers)
        methods.append(replace(method, qualifiers=qualifiers))
    qualifiers = _allowed(local.qualifiers, parent.qualifiers)
    made = replace(local, qualifiers=qualifiers, properties=NameMap(properties), methods=NameMap(methods))
    if made.is_singleton and (parent.keys or not (parent.is_singleton or parent.is_abstract)):
        made = replace(made, qualifiers=qualifiers.without("singleton"))
    return made


def _with(prop: Property, qualifiers: Qualifiers) -> Property:
    return prop if qualifiers is prop.qualifiers else replace(prop, qualifiers=qualifiers)


def _allowed(own: Qualifiers, above: Qualifiers) -> Qualifiers:
    """A class's own qualifiers without those that `above` forbids to override."""
    refused = [
        q.name
        for q in own.each()
        if (found := above.get(q.name)) is not None
        and Flavor.NOT_OVERRIDABLE in found.flavor
        and (found.type, found.value) != (q.type, q.value)
    ]
    return own.without(*refused) if refused else own
