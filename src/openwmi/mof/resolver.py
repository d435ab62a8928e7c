"""From parse trees to classes and instances of the object model.

`compile_mof` reads a text, and the files it includes, and gives what it declares, in order: a later declaration
sees the earlier ones as if they had been stored. It stores nothing. What is there already it learns from a
`ClassSource`.

`MofErrors` has everything that is wrong. What depends on a class that is itself broken is not reported again.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TypeAlias, TypeVar

from openwmi.cim import (
    RETURN_VALUE,
    CimType,
    CimValue,
    Class,
    Direction,
    Instance,
    Method,
    NameMap,
    ObjectPath,
    Parameter,
    Property,
    Qualifier,
    Qualifiers,
    conform,
    flag,
    fold,
    return_value,
    type_name,
)
from openwmi.errors import SyntaxProblem, WbemError
from openwmi.mof.amendment import localized, neutral, neutral_namespace
from openwmi.mof.errors import MAX_ERRORS, MofError, MofErrors
from openwmi.mof.pragmas import Context, IncludeReader, Loader, Unit
from openwmi.mof.qualifiers import QualifierTypes
from openwmi.mof.source import Position, Source
from openwmi.mof.tree import (
    AliasUse,
    ArrayLiteral,
    Assignment,
    ClassDeclaration,
    ElementDeclaration,
    InstanceDeclaration,
    Literal,
    LiteralKind,
    MethodDeclaration,
    Pragma,
    QualifierDeclaration,
    QualifierUse,
    TypeName,
    Value,
)
from openwmi.mof.types import written_type
from openwmi.mof.values import constant
from openwmi.status import WbemStatus

__all__ = ["ClassSource", "Deletion", "MofItem", "compile_mof"]

_MAX_ALIAS_CHAIN: Final = 64
_MAX_PATH: Final = 8_192
"""Characters of the path that an alias stands for, as many as Windows takes: each path in another's key is escaped."""


class ClassSource(Protocol):
    """Where a compilation finds the classes that are there already."""

    def get_class(self, namespace: str, name: str) -> Class | None:
        """The class, resolved; None if the namespace, or the class in it, is not there."""
        ...


@dataclass(frozen=True, slots=True)
class Deletion:
    """``#pragma deleteclass`` or ``deleteinstance``; with `must_exist`, an object that is not there is an error."""

    path: ObjectPath
    must_exist: bool


@dataclass(frozen=True, slots=True)
class MofItem:
    """One thing to do, in order: put a class or an instance into `namespace`, or delete one from it.

    `flags` are the words of ``#pragma classflags`` or ``instanceflags`` in force (``createonly``, ``updateonly``,
    ``safeupdate``, ``forceupdate``), `amendment` the locale that ``#pragma amendment`` names, such as ``MS_409``. With
    one, a class is two items, neutral and localized (`openwmi.mof.amendment`); the locale's namespace is one more.
    """

    namespace: str
    object: Class | Instance | Deletion
    position: Position
    flags: frozenset[str] = frozenset()
    amendment: str | None = None


def compile_mof(
    text: str,
    source: ClassSource,
    *,
    namespace: str,
    file: str = "<mof>",
    include: IncludeReader | None = None,
) -> list[MofItem]:
    """What `text` declares, resolved, in order. Raises `MofErrors`.

    `namespace` is the one in force until ``#pragma namespace`` names another. `include` reads included files
    (`openwmi.mof.read_include` takes them from beside the including one); without it an include is an error.
    """
    errors: list[MofError] = []
    loader = Loader(include, Context(Source(file, text), namespace), errors)
    return _Resolver(source, loader.units(), errors).resolve()


class _Dependent(Exception):
    """Something rests on a declaration whose own mistake is reported already."""


_Aliased: TypeAlias = tuple[Unit, InstanceDeclaration | ClassDeclaration]
D = TypeVar("D")
M = TypeVar("M", ElementDeclaration, MethodDeclaration, Assignment)
T = TypeVar("T")


@dataclass
class _Resolver:
    """One compilation."""

    source: ClassSource
    units: Iterator[Unit]
    errors: list[MofError]
    types: QualifierTypes = field(default_factory=QualifierTypes)
    items: list[MofItem] = field(default_factory=list)
    # Units that were read ahead of their turn, in search of an alias.
    ahead: deque[Unit] = field(default_factory=deque)
    # What this compilation changed: a class by (namespace, name), None where it is deleted.
    classes: dict[tuple[str, str], Class | None] = field(default_factory=dict)
    broken: set[tuple[str, str]] = field(default_factory=set)
    # The classes, by (namespace, name), that the units read so far declare: also those ahead.
    declared: set[tuple[str, str]] = field(default_factory=set)
    locales: set[tuple[str, str]] = field(default_factory=set)
    # By (id of the file's source, name): an alias keeps its declaration, and so the source, alive.
    aliases: dict[tuple[int, str], _Aliased] = field(default_factory=dict)
    # What aliases stand for, by the id of its declaration; None for what has a mistake.
    paths: dict[int, ObjectPath | None] = field(default_factory=dict)
    pending: list[int] = field(default_factory=list)
    # How many parts of declarations could not be made.
    failures: int = 0

    def resolve(self) -> list[MofItem]:
        while (unit := self.ahead.popleft() if self.ahead else self._read()) is not None:
            if len(self.errors) >= MAX_ERRORS:
                break
            try:
                self._unit(unit)
            except MofError as error:
                self._note(error)
                self._mark_broken(unit)
            except _Dependent:
                self._mark_broken(unit)
        if self.errors:
            raise MofErrors(self.errors)
        return self.items

    def _read(self) -> Unit | None:
        """The next unit that nobody has seen yet."""
        unit = next(self.units, None)
        if unit is not None:
            self._collect_alias(unit)
            if isinstance(unit.declaration, ClassDeclaration):
                self.declared.add((fold(unit.context.namespace), fold(unit.declaration.name)))
        return unit

    def _note(self, error: MofError) -> None:
        """Keeps the mistake, once: an alias may have led to it before its own declaration did."""
        place = error.where.source, error.position
        known = ((each.where.source, each.position) for each in self.errors)
        if len(self.errors) < MAX_ERRORS and place not in known:
            self.errors.append(error)

    def _tried(self, make: Callable[[D, Context], T], declared: D, context: Context) -> T | None:
        """What `make` gives; None after a mistake, which is noted, so that what stands beside it is looked at too."""
        try:
            return make(declared, context)
        except MofError as error:
            self._note(error)
        except _Dependent:
            pass
        self.failures += 1
        return None

    def _members(self, make: Callable[[M, Context], T], declared: Sequence[M], context: Context, twice: str) -> list[T]:
        """What `make` gives for each, as far as it can; none may have the name of an earlier one."""
        names = {fold(member.name) for member in declared}
        if len(names) < len(declared):
            for member in declared:
                if fold(member.name) in names:
                    names.remove(fold(member.name))
                    continue
                self.failures += 1
                where = context.source.at(member.offset)
                self._note(MofError(f"{twice} called {member.name}", where, WbemStatus.WBEMMOF_E_DUPLICATE_PROPERTY))
        made = [self._tried(make, member, context) for member in declared]
        return [each for each in made if each is not None]

    def _collect_alias(self, unit: Unit) -> None:
        declaration = unit.declaration
        if not isinstance(declaration, InstanceDeclaration | ClassDeclaration) or declaration.alias is None:
            return
        key = id(unit.context.source), fold(declaration.alias)
        if key in self.aliases:
            self.errors.append(
                MofError(
                    f"the alias ${declaration.alias} is there twice",
                    unit.at(declaration.offset),
                    WbemStatus.WBEMMOF_E_MULTIPLE_ALIASES,
                )
            )
        self.aliases.setdefault(key, (unit, declaration))

    def _mark_broken(self, unit: Unit) -> None:
        if isinstance(unit.declaration, ClassDeclaration):
            self.broken.add((fold(unit.context.namespace), fold(unit.declaration.name)))

    def _unit(self, unit: Unit) -> None:
        declaration, context = unit.declaration, unit.context
        if isinstance(declaration, QualifierDeclaration):
            self.types.declare(declaration, context.source)
        elif isinstance(declaration, ClassDeclaration):
            self._add_class(unit, declaration, context)
        elif isinstance(declaration, InstanceDeclaration):
            self._add(unit, self._instance(declaration, context), context.instance_flags)
        else:
            self._add(unit, self._deletion(declaration, context), frozenset())

    def _add_class(self, unit: Unit, declaration: ClassDeclaration, context: Context) -> None:
        """The class; with an amendment in force, its neutral part and, in the locale's namespace, the localized one."""
        cls = self._class(declaration, context)
        if context.amendment is None:
            self._keep(unit, cls, context)
            return
        declared = cls.local
        of_locale = localized(declared, context.amendment)
        self._keep(unit, self._derived(neutral(declared), cls.superclass, context, declaration.offset), context)
        if of_locale is None:
            return
        below = replace(context, namespace=f"{context.namespace}\\{context.amendment}")
        self._add_namespace(unit, context)
        superclass = next((name for name in cls.derivation if self._known(name, below) is not None), None)
        of_locale = replace(of_locale, namespace=below.namespace, superclass=None, derivation=())
        self._keep(unit, self._derived(of_locale, superclass, below, declaration.offset), below)

    def _keep(self, unit: Unit, cls: Class, context: Context) -> None:
        self.classes[fold(context.namespace), fold(cls.name)] = cls
        self._add(unit, cls, context.class_flags, context.namespace)

    def _add_namespace(self, unit: Unit, context: Context) -> None:
        """The locale's namespace, unless it is there: a namespace without classes is one that is not."""
        name = context.amendment or ""
        if self._known("__NAMESPACE", replace(context, namespace=f"{context.namespace}\\{name}")) is None:
            cls = self._known("__NAMESPACE", context)
            key = fold(context.namespace), fold(name)
            if cls is not None and key not in self.locales:
                self.locales.add(key)
                self._add(unit, cls.new(Name=name), frozenset())

    def _add(
        self, unit: Unit, made: Class | Instance | Deletion, flags: frozenset[str], namespace: str | None = None
    ) -> None:
        position = unit.at(unit.declaration.offset)
        self.items.append(MofItem(namespace or unit.context.namespace, made, position, flags, unit.context.amendment))

    def _deletion(self, pragma: Pragma, context: Context) -> Deletion:
        """The loader has checked the number of arguments and the flag."""
        name, word = pragma.arguments
        try:
            path = ObjectPath.parse(name)
        except SyntaxProblem as error:
            raise MofError(
                error.message, context.source.at(pragma.offset), WbemStatus.WBEMMOF_E_INVALID_DELETEINSTANCE_SYNTAX
            ) from None
        if path.is_instance != (pragma.name == "deleteinstance"):
            kind = "an instance" if pragma.name == "deleteinstance" else "a class"
            raise MofError(
                f"#pragma {pragma.name}: {name} is not the name of {kind}",
                context.source.at(pragma.offset),
                WbemStatus.WBEMMOF_E_INVALID_DELETEINSTANCE_SYNTAX,
            )
        if path.is_class:
            self.classes[fold(context.namespace), fold(path.class_name)] = None
        return Deletion(path, word.lower() == "fail")

    def _find(self, name: str, context: Context, offset: int, status: int, what: str) -> Class:
        key = fold(context.namespace), fold(name)
        if key in self.broken:
            raise _Dependent
        cls = self._known(name, context)
        if cls is None:
            raise MofError(f"{what} {name} is not in {context.namespace}", context.source.at(offset), status)
        return cls

    def _known(self, name: str, context: Context) -> Class | None:
        """The class as this compilation left it, or as it is there already."""
        key = fold(context.namespace), fold(name)
        return self.classes[key] if key in self.classes else self.source.get_class(context.namespace, name)

    # Classes

    def _class(self, declared: ClassDeclaration, context: Context) -> Class:
        name, failures = declared.name, self.failures
        qualifiers = self._tried(self._qualifiers, declared.qualifiers, context)
        parent = self._tried(self._superclass, declared, context)
        make_property = functools.partial(self._property, origin=name)
        properties = self._members(make_property, declared.properties, context, f"{name} has two properties")
        make_method = functools.partial(self._method, origin=name)
        methods = self._members(make_method, declared.methods, context, f"{name} has two methods")
        if qualifiers is None or self.failures > failures:
            raise _Dependent
        bare = Class(
            name,
            qualifiers=qualifiers,
            properties=NameMap(properties),
            methods=NameMap(methods),
            namespace=context.namespace,
        )
        return _under(parent, bare, context, declared.offset)

    def _superclass(self, declared: ClassDeclaration, context: Context) -> Class | None:
        if declared.superclass is None:
            return None
        where, what = declared.superclass_offset, "the superclass"
        return self._find(declared.superclass, context, where, WbemStatus.WBEM_E_INVALID_SUPERCLASS, what)

    def _qualifiers(self, uses: Sequence[QualifierUse], context: Context) -> Qualifiers:
        return self.types.resolve(uses, context.source)

    def _derived(self, declared: Class, superclass: str | None, context: Context, offset: int) -> Class:
        parent = None if superclass is None else self._known(superclass, context)
        return _under(parent, declared, context, offset)

    def _type(self, written: TypeName, context: Context) -> tuple[CimType, str | None]:
        """The type, and the class that it is of, which has to be there if its objects are embedded."""
        type_, class_name = written_type(written)
        if type_ is CimType.OBJECT and class_name is not None and not self._is_class(class_name, context):
            raise MofError(
                f"{class_name} is no type, and no class in {context.namespace}",
                context.source.at(written.offset),
                WbemStatus.WBEMMOF_E_UNRECOGNIZED_TYPE,
            )
        return type_, class_name

    def _is_class(self, name: str, context: Context) -> bool:
        """Whether a class of that name is there, or comes later: two classes may embed each other."""
        # A locale's namespace has only part of the classes; what they embed is in the neutral one.
        context = replace(context, namespace=neutral_namespace(context.namespace))
        key = fold(context.namespace), fold(name)
        if key in self.declared or self._known(name, context) is not None:
            return True
        while key not in self.declared and (unit := self._read()) is not None:
            self.ahead.append(unit)
        return key in self.declared

    def _property(self, declared: ElementDeclaration, context: Context, origin: str = "") -> Property:
        type_, class_name = self._type(declared.type, context)
        default = None
        if declared.value is not None:
            default = self._value(declared.value, type_, declared.is_array, class_name, declared.name, context)
        qualifiers = self._element_qualifiers(declared, context)
        made = Property(
            declared.name, type_, declared.is_array, default, class_name, qualifiers, origin,
            inherits_default=declared.value is None,
        )  # fmt: skip
        if made.is_key and not made.can_be_key:
            raise MofError(
                f"{made.name} is {type_name(type_, made.is_array)}: that is no key",
                context.source.at(declared.offset),
                WbemStatus.WBEM_E_CANNOT_BE_KEY,
            )
        return made

    def _element_qualifiers(self, declared: ElementDeclaration, context: Context) -> Qualifiers:
        """The element's qualifiers; the size of an array is the qualifier MAX."""
        qualifiers = self.types.resolve(declared.qualifiers, context.source)
        if declared.size is None or "max" in qualifiers:
            return qualifiers
        return qualifiers.with_items([Qualifier("MAX", CimType.SINT32, declared.size)])

    def _method(self, declared: MethodDeclaration, context: Context, origin: str) -> Method:
        returns = None
        if declared.returns is not None:
            type_, class_name = self._type(declared.returns, context)
            returns = return_value(type_, class_name=class_name)
        return Method(
            declared.name,
            NameMap(self._parameters(declared, context)),
            returns,
            self.types.resolve(declared.qualifiers, context.source),
            origin,
        )

    def _parameters(self, method: MethodDeclaration, context: Context) -> list[Parameter]:
        """The parameters, numbered where no ID does it. One that is declared twice, once in and once out, is one."""
        found: dict[str, Parameter] = {}
        explicit: dict[str, int] = {}
        for declared in method.parameters:
            key = fold(declared.name)
            if key == fold(RETURN_VALUE) and method.returns is not None:
                raise MofError(
                    f"{method.name}: {declared.name} is what a method returns, and no name for a parameter",
                    context.source.at(declared.offset),
                    WbemStatus.WBEM_E_INVALID_METHOD_PARAMETERS,
                )
            parameter, number = self._parameter(declared, context)
            if key in found:
                parameter = _merged(found[key], parameter, context.source.at(declared.offset))
                number = explicit.get(key, number)
            elif number is not None and number in explicit.values():
                raise MofError(
                    f"{method.name}: two parameters have the ID {number}",
                    context.source.at(declared.offset),
                    WbemStatus.WBEM_E_INVALID_METHOD_PARAMETERS,
                )
            found[key] = parameter
            if number is not None:
                explicit[key] = number
        taken = set(explicit.values())
        free = (n for n in range(len(found) + len(taken)) if n not in taken)
        return [
            replace(parameter, id=explicit[key] if key in explicit else next(free)) for key, parameter in found.items()
        ]

    def _parameter(self, declared: ElementDeclaration, context: Context) -> tuple[Parameter, int | None]:
        """A parameter, and the number that its ID qualifier gives."""
        as_property = self._property(declared, context)
        qualifiers = as_property.qualifiers
        number = None
        if "id" in qualifiers:
            value = qualifiers["id"].value
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise MofError(
                    f"{declared.name}: an ID is a number from 0",
                    context.source.at(declared.offset),
                    WbemStatus.WBEM_E_INVALID_METHOD_PARAMETERS,
                )
            number = value
        parameter = Parameter(
            declared.name,
            as_property.type,
            as_property.is_array,
            _direction(qualifiers),
            0,
            as_property.class_name,
            qualifiers.without("id"),
            as_property.default,
        )
        return parameter, number

    # Instances

    def _instance(self, declared: InstanceDeclaration, context: Context) -> Instance:
        failures = self.failures
        cls = self._find_class_of(declared, context)
        instance = cls.new()
        instance.namespace = context.namespace
        instance.qualifiers = self._tried(self._qualifiers, declared.qualifiers, context) or NameMap()
        assign = functools.partial(self._assign, instance)
        self._members(assign, declared.assignments, context, f"{cls.name} is given two values")
        if self.failures > failures:
            raise _Dependent
        return instance

    def _find_class_of(self, declared: InstanceDeclaration, context: Context) -> Class:
        return self._find(declared.class_name, context, declared.offset, WbemStatus.WBEM_E_INVALID_CLASS, "the class")

    def _assign(self, instance: Instance, assignment: Assignment, context: Context) -> None:
        cls = instance.cls
        if assignment.name not in cls.properties:
            raise MofError(
                f"{cls.name} has no property {assignment.name}",
                context.source.at(assignment.offset),
                WbemStatus.WBEM_E_NOT_FOUND,
            )
        prop = cls.properties[assignment.name]
        index = instance.shape.index[fold(prop.name)]
        instance.values[index] = self._value(
            assignment.value, prop.type, prop.is_array, prop.class_name, prop.name, context
        )
        if assignment.qualifiers:
            instance.property_qualifiers[fold(prop.name)] = self._qualifiers(assignment.qualifiers, context)

    # Values

    def _value(
        self, value: Value, type_: CimType, is_array: bool, class_name: str | None, what: str, context: Context
    ) -> CimValue:
        """A value of that type: of an array every element is one."""
        if isinstance(value, Literal) and value.kind is LiteralKind.NULL:
            return None
        if isinstance(value, ArrayLiteral) != is_array:
            problem = "is an array: its value is written {...}" if is_array else "is no array"
            raise MofError(
                f"{what} {problem}",
                context.source.at(value.offset),
                WbemStatus.WBEMMOF_E_TYPE_MISMATCH if is_array else WbemStatus.WBEMMOF_E_UNEXPECTED_ARRAY_INIT,
            )
        if not isinstance(value, ArrayLiteral):
            return self._scalar(value, type_, class_name, what, context)
        elements = [self._scalar(item, type_, class_name, what, context) for item in value.items]
        try:
            return conform(elements, type_, True, what=what)
        except WbemError as error:
            raise MofError(
                error.detail, context.source.at(value.offset), WbemStatus.WBEMMOF_E_NULL_ARRAY_ELEM
            ) from None

    def _scalar(self, value: Value, type_: CimType, class_name: str | None, what: str, context: Context) -> CimValue:
        if isinstance(value, Literal):
            return constant(value, type_, what, context.source)
        if isinstance(value, AliasUse):
            if type_ is not CimType.REFERENCE:
                raise _mismatch(f"{what} is no reference, so an alias is no value of it", value.offset, context)
            return self._alias(value, context)
        if isinstance(value, ArrayLiteral):
            raise _mismatch(f"{what}: an array has no arrays for elements", value.offset, context)
        if type_ is not CimType.OBJECT:
            raise _mismatch(f"{what} is {type_.text}: an object is no value of it", value.offset, context)
        made = self._embedded(value, context)
        if class_name is not None and not made.shape.cls.is_a(class_name):
            raise _mismatch(f"{what} takes a {class_name}, which {made.shape.cls.name} is not", value.offset, context)
        return made

    def _embedded(self, value: InstanceDeclaration | ClassDeclaration, context: Context) -> Instance | Class:
        return self._class(value, context) if isinstance(value, ClassDeclaration) else self._instance(value, context)

    def _alias(self, use: AliasUse, context: Context) -> str:
        """The path of what the alias names, which may come later; relative within one namespace."""
        key = id(context.source), fold(use.name)
        while key not in self.aliases and (unit := self._read()) is not None:
            self.ahead.append(unit)
        found = self.aliases.get(key)
        where = context.source.at(use.offset)
        if found is None:
            raise MofError(f"no object here has the alias ${use.name}", where, WbemStatus.WBEMMOF_E_EXPECTED_ALIAS_NAME)
        unit, declaration = found
        if id(declaration) not in self.paths:
            if id(declaration) in self.pending or len(self.pending) >= _MAX_ALIAS_CHAIN:
                raise MofError(
                    f"${use.name} leads back to itself, or through more than {_MAX_ALIAS_CHAIN} other aliases",
                    where,
                    WbemStatus.WBEM_E_CIRCULAR_REFERENCE,
                )
            self.pending.append(id(declaration))
            try:
                self.paths[id(declaration)] = self._tried(self._path, declaration, unit.context)
            finally:
                self.pending.pop()
        path = self.paths[id(declaration)]
        if path is None:
            raise _Dependent
        if fold(unit.context.namespace) != fold(context.namespace):
            path = path.at(unit.context.namespace, ".")
        return str(path)

    def _path(self, declared: InstanceDeclaration | ClassDeclaration, context: Context) -> ObjectPath:
        """The path of a declaration within its namespace. Its keys say it, so that objects may refer to each other."""
        if isinstance(declared, ClassDeclaration):
            return ObjectPath(declared.name)
        instance = self._find_class_of(declared, context).new()
        keys = {fold(key.name) for key in instance.cls.keys}
        for assignment in declared.assignments:
            if fold(assignment.name) in keys:
                self._assign(instance, assignment, context)
        path = instance.relative_path
        if path is None:
            problem = "an object without a key, which has no path"
        elif len(str(path)) > _MAX_PATH:
            problem = f"a path of more than {_MAX_PATH:,} characters"
        else:
            return path
        raise MofError(
            f"${declared.alias} stands for {problem}",
            context.source.at(declared.offset),
            WbemStatus.WBEM_E_INVALID_OBJECT_PATH,
        )


def _under(parent: Class | None, declared: Class, context: Context, offset: int) -> Class:
    try:
        return declared.rooted() if parent is None else parent.derive(declared)
    except WbemError as error:
        raise MofError(error.detail, context.source.at(offset), error.status) from None


def _mismatch(problem: str, offset: int, context: Context) -> MofError:
    return MofError(problem, context.source.at(offset), WbemStatus.WBEMMOF_E_TYPE_MISMATCH)


def _direction(qualifiers: Qualifiers) -> Direction:
    """In, out, or with neither qualifier both (MS-WMI 3.1.4.17.11)."""
    direction = Direction(0)
    if flag(qualifiers, "in"):
        direction |= Direction.IN
    if flag(qualifiers, "out"):
        direction |= Direction.OUT
    return direction or Direction.IN_OUT


def _merged(first: Parameter, second: Parameter, where: Position) -> Parameter:
    """``[in] T x, [out] T x`` as the one parameter that it is."""
    same = (first.type, first.is_array, first.class_name) == (second.type, second.is_array, second.class_name)
    if not same or first.direction & second.direction:
        raise MofError(
            f"the parameter {second.name} is there twice", where, WbemStatus.WBEM_E_INVALID_DUPLICATE_PARAMETER
        )
    qualifiers = first.qualifiers.with_items(second.qualifiers.each())
    return replace(first, direction=Direction.IN_OUT, qualifiers=qualifiers)
