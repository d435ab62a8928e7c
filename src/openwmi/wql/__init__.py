"""WQL: queries from text to trees, trees against a schema, and which objects match.

`parse` gives the tree of any query of the language, `analyse` the plan of a data query (`analyse_schema` of one for
classes), whose predicate says of an instance whether it matches, and `analyse_associations` the plan of a query for
associations. Queries for events parse; answering them is for whoever has the events. Mistakes are `WqlError`, with the
position.
"""

from openwmi.wql.analysis import SchemaPlan, SelectPlan, analyse, analyse_schema, check_is_for_data
from openwmi.wql.associations import AssociationPlan, analyse_associations, class_names
from openwmi.wql.errors import Limits, WqlError
from openwmi.wql.like import escape_like
from openwmi.wql.parser import parse
from openwmi.wql.required import Requirement
from openwmi.wql.tree import (
    And,
    AssociatorsQuery,
    Comparison,
    Constant,
    Expression,
    GroupClause,
    Isa,
    IsNull,
    Not,
    Operator,
    Or,
    PropertyPath,
    Query,
    ReferencesQuery,
    SchemaQuery,
    SelectQuery,
    escape,
    quote,
)

__all__ = [
    "And",
    "AssociationPlan",
    "AssociatorsQuery",
    "Comparison",
    "Constant",
    "Expression",
    "GroupClause",
    "IsNull",
    "Isa",
    "Limits",
    "Not",
    "Operator",
    "Or",
    "PropertyPath",
    "Query",
    "ReferencesQuery",
    "Requirement",
    "SchemaPlan",
    "SchemaQuery",
    "SelectPlan",
    "SelectQuery",
    "WqlError",
    "analyse",
    "analyse_associations",
    "analyse_schema",
    "check_is_for_data",
    "class_names",
    "escape",
    "escape_like",
    "parse",
    "quote",
]
