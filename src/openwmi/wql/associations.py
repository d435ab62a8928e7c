"""ASSOCIATORS OF and REFERENCES OF against a schema (MS-WMI 2.2.1.1, 3.1.4.3.18).

`analyse_associations` makes a plan of such a query, the class that its path names and the classes that its clauses
name. The plan says which classes can associate the source with something (a class with a reference is one, whether or
not it bears the qualifier Association), by which of their references the source takes part, and which ends count.
`class_names` are the classes that any query names, which have to be there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from openwmi.cim import CimType, Class, Instance, Property, fold
from openwmi.errors import InvalidObjectPath
from openwmi.status import WbemStatus
from openwmi.wql.errors import WqlError
from openwmi.wql.tree import AssociatorsQuery, Query, ReferencesQuery, SelectQuery

__all__ = ["AssociationPlan", "analyse_associations", "class_names"]

_ANY: Final = "object"  # what a weakly typed reference says its class is


@dataclass(frozen=True)
class AssociationPlan:
    """How to answer a query for associations of an object, or, with `keys` None, of the class `source` itself."""

    query: AssociatorsQuery | ReferencesQuery
    source: Class
    keys: Mapping[str, Any] | None

    @property
    def association_class(self) -> str | None:
        """The class that every association belongs to or descends from; None for any."""
        query = self.query
        return query.association_class if isinstance(query, AssociatorsQuery) else query.result_class

    def roles(self, association: Class, source: Class) -> tuple[Property, ...]:
        """The references of `association` by which an object of `source` can take part; none if it is not wanted."""
        query = self.query
        if isinstance(query, AssociatorsQuery):
            qualifier = query.required_association_qualifier
            if qualifier is not None and qualifier not in association.qualifiers:
                return ()
        wanted = self.association_class
        if wanted is not None and not association.is_a(wanted):
            return ()
        return tuple(
            reference
            for reference in _references(association)
            if (query.role is None or fold(query.role) == fold(reference.name)) and _may_name(reference, source)
        )

    def ends(self, association: Class, role: Property) -> tuple[Property, ...]:
        """The other references of `association`: those that lead to what is associated by it."""
        wanted = self.query.result_role if isinstance(self.query, AssociatorsQuery) else None
        return tuple(
            reference
            for reference in _references(association)
            if reference is not role and (wanted is None or fold(wanted) == fold(reference.name))
        )

    def accepts(self, found: Instance | Class) -> bool:
        """Whether an object is a result, as ResultClass and RequiredQualifier have it."""
        query, cls = self.query, found.shape.cls
        if query.result_class is not None and not cls.is_a(query.result_class):
            return False
        qualifier = query.required_qualifier
        return qualifier is None or qualifier in cls.qualifiers or qualifier in found.qualifiers


def analyse_associations(
    query: AssociatorsQuery | ReferencesQuery, classes: Mapping[str, Class | None]
) -> AssociationPlan:
    """The plan of the query. `classes` has, by folded name, each of `class_names`, None for one that is not there.

    Raises `WqlError`: WBEM_E_INVALID_CLASS for a class that is not there, WBEM_E_INVALID_OBJECT_PATH for keys that the
    class has not got.
    """
    for name, offset in class_names(query):
        if classes[fold(name)] is None:
            raise WqlError(f"there is no class {name}", query.text, offset, WbemStatus.WBEM_E_INVALID_CLASS)
    source = classes[fold(query.path.class_name)]
    assert source is not None
    if query.path.is_class:
        return AssociationPlan(query, source, None)
    try:
        keys = query.path.bind(source)
    except InvalidObjectPath as error:
        raise WqlError(error.detail, query.text, query.offsets.get("path", 0), error.status) from None
    return AssociationPlan(query, source, keys)


def class_names(query: Query) -> Iterator[tuple[str, int]]:
    """The classes that a query needs to be there, each with its place in the text."""
    if isinstance(query, SelectQuery):
        yield query.class_name, query.class_offset
    elif isinstance(query, AssociatorsQuery | ReferencesQuery):
        yield query.path.class_name, query.offsets.get("path", 0)
        for field in ("association_class", "result_class"):
            name = getattr(query, field, None)
            if name is not None:
                yield name, query.offsets.get(field, 0)


def _references(cls: Class) -> tuple[Property, ...]:
    return tuple(p for p in cls.properties.each() if p.type is CimType.REFERENCE and not p.is_array)


def _may_name(reference: Property, source: Class) -> bool:
    declared = reference.class_name
    return declared is None or fold(declared) == _ANY or source.is_a(declared)
