"""Completion details: how an operation failed, as the CIM_Error that MI's final result carries.

The class is the DMTF schema's, in the part that a WMI status can fill. What only WMI says (its status, and the
`__ExtendedStatus` that came along) is in OMI_Error's properties, which MI adds.
"""

from __future__ import annotations

from typing import Final

from openwmi.cim import CimType, Class, Instance, NameMap, Property
from openwmi.cim.operation import Outcome
from openwmi.status import describe, mi_result_of, name_of

__all__ = ["CIM_ERROR", "completion_details"]

_COLUMNS: Final = (
    ("ErrorType", CimType.UINT16),
    ("OwningEntity", CimType.STRING),
    ("MessageID", CimType.STRING),
    ("Message", CimType.STRING),
    ("PerceivedSeverity", CimType.UINT16),
    ("ProbableCause", CimType.UINT16),
    ("ProbableCauseDescription", CimType.STRING),
    ("CIMStatusCode", CimType.UINT32),
    ("CIMStatusCodeDescription", CimType.STRING),
    ("error_Type", CimType.STRING),
    ("error_Code", CimType.UINT32),
    ("error_Category", CimType.UINT16),
    ("ErrorSource", CimType.STRING),
)

CIM_ERROR: Final = Class("CIM_Error", properties=NameMap(Property(name, type_) for name, type_ in _COLUMNS))
"""The class of completion details."""

_OTHER: Final = 1  # ErrorType
_MAJOR: Final = 5  # PerceivedSeverity


def completion_details(outcome: Outcome) -> Instance:
    """The CIM_Error of an operation that failed."""
    status, extended = outcome.status, outcome.extended
    given = {} if extended is None else dict(extended.items())
    return CIM_ERROR.new(
        ErrorType=_OTHER,
        OwningEntity="openwmi",
        MessageID=name_of(status),
        Message=outcome.detail or given.get("Description") or describe(status),
        PerceivedSeverity=_MAJOR,
        CIMStatusCode=int(mi_result_of(status)),
        CIMStatusCodeDescription=mi_result_of(status).name,
        error_Type="HRESULT",
        error_Code=status,
        ErrorSource=given.get("ParameterInfo"),
        ProbableCauseDescription=given.get("Description"),
    )
