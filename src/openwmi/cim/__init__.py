"""The object model: classes, instances, properties, qualifiers, methods, values, paths and datetimes.

Everything else in openwmi (MOF text, MS-WMIO bytes, JSON, Python's own types) is a conversion to and from it.
"""

from openwmi.cim.classes import (
    PARAMETERS_CLASS,
    RETURN_VALUE,
    Class,
    Direction,
    Method,
    Parameter,
    Property,
    return_value,
)
from openwmi.cim.datetimes import DateTime
from openwmi.cim.instances import ABSENT, DEFAULT, CimObject, Instance, Shape, Unset
from openwmi.cim.names import NameMap, fold, is_identifier, is_system_name
from openwmi.cim.paths import ObjectPath, canonical_key, identity, split_namespace
from openwmi.cim.qualifiers import Flavor, Qualifier, Qualifiers, flag
from openwmi.cim.system import SYSTEM_PROPERTIES, SystemProperty
from openwmi.cim.types import INTEGER_RANGES, CimType, CimValue, TypedValue, conform, type_name

__all__ = [
    "ABSENT",
    "DEFAULT",
    "INTEGER_RANGES",
    "PARAMETERS_CLASS",
    "RETURN_VALUE",
    "SYSTEM_PROPERTIES",
    "CimObject",
    "CimType",
    "CimValue",
    "Class",
    "DateTime",
    "Direction",
    "Flavor",
    "Instance",
    "Method",
    "NameMap",
    "ObjectPath",
    "Parameter",
    "Property",
    "Qualifier",
    "Qualifiers",
    "Shape",
    "SystemProperty",
    "TypedValue",
    "Unset",
    "canonical_key",
    "conform",
    "flag",
    "fold",
    "identity",
    "is_identifier",
    "is_system_name",
    "return_value",
    "split_namespace",
    "type_name",
]
