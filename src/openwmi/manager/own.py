r"""What stands for a namespace itself, as instances in it: its children, and its settings (MS-WMI 3.1.4.18, 2.2.30).

- `__NAMESPACE.Name="x"` is the child namespace ``x``: putting one creates it or changes its security, deleting it
  deletes it with all below. Its qualifiers NamespaceSecuritySDDL and RequiresEncryption are those of 3.1.4.18.
- `__SystemSecurity=@` bears RequiresEncryption for the namespace itself (2.2.30.3) and is where that is kept;
  `__thisNAMESPACE=@` shows the security descriptor.

Reading a descriptor takes READ_CONTROL in the namespace that it guards, changing a security setting WRITE_DAC there,
whatever rights the caller has in the parent: 3.1.4.18.3 does not ask for it, 5.2 does. A descriptor that the caller may
not read is left out. Everything here runs in the store's thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from openwmi.cim import CimType, Class, Instance, Qualifier, flag, fold, split_namespace
from openwmi.cim.operations import CallContext
from openwmi.errors import CallerError, InvalidNamespace, InvalidParameter, SyntaxProblem, WbemError
from openwmi.security.access import AccessRight
from openwmi.security.descriptor import SecurityDescriptor
from openwmi.security.sddl import format_sddl, parse_sddl
from openwmi.status import WbemStatus

if TYPE_CHECKING:
    from openwmi.manager.manager import ObjectManager

__all__ = ["OwnObjects"]

_CHILDREN: Final = "__namespace"
_SECURITY: Final = "__systemsecurity"
_SINGLETONS: Final = frozenset({"__thisnamespace", _SECURITY})

_SDDL: Final = "NamespaceSecuritySDDL"
_ENCRYPTION: Final = "RequiresEncryption"


class OwnObjects:
    """Those instances of one namespace, as a caller sees them; `context` None is the server itself."""

    def __init__(self, manager: ObjectManager, namespace: str, context: CallContext | None) -> None:
        self._manager = manager
        self._namespace = namespace
        self._context = context

    @staticmethod
    def include(cls: Class) -> bool:
        """Whether the instances of exactly `cls` are found here rather than in the store."""
        return fold(cls.name) == _CHILDREN or fold(cls.name) in _SINGLETONS

    def find(self, cls: Class, keys: dict[str, Any]) -> Instance | None:
        """The instance with these keys, or None."""
        if fold(cls.name) in _SINGLETONS:
            return self._singleton(cls)
        full = self._full_name(keys["Name"])
        return None if full is None else self._child(cls, full)

    def instances(self, cls: Class) -> Iterator[Instance]:
        """The instances of exactly `cls`."""
        if fold(cls.name) == _CHILDREN:
            for full in self._manager.store.namespaces(self._namespace):
                yield self._child(cls, full)
        else:
            yield self._singleton(cls)

    def _full_name(self, child: str) -> str | None:
        wanted = fold(f"{self._namespace}\\{child}")
        return next((full for full in self._manager.store.namespaces(self._namespace) if fold(full) == wanted), None)

    def _child(self, cls: Class, full: str) -> Instance:
        made = cls.new(Name=full.rpartition("\\")[2])
        qualifiers = [Qualifier(_ENCRYPTION, CimType.BOOLEAN, self._manager.requires_encryption(full))]
        if self._may(AccessRight.READ_CONTROL, full):
            try:
                text = format_sddl(self._manager.descriptor(full))
            except CallerError:
                pass  # it has entries that SDDL cannot spell; GetSD has their bytes
            else:
                qualifiers.append(Qualifier(_SDDL, CimType.STRING, (text,), True))
        made.qualifiers = made.qualifiers.with_items(qualifiers)
        return made

    def _singleton(self, cls: Class) -> Instance:
        made = cls.new()
        if "SECURITY_DESCRIPTOR" in cls.properties and self._may(AccessRight.READ_CONTROL, self._namespace):
            made["SECURITY_DESCRIPTOR"] = bytes(self._manager.descriptor(self._namespace))
        if fold(cls.name) == _SECURITY:
            encryption = Qualifier(_ENCRYPTION, CimType.BOOLEAN, self._manager.requires_encryption(self._namespace))
            made.qualifiers = made.qualifiers.with_items([encryption])
        return made

    def put(self, instance: Instance, *, exists: bool) -> None:
        """Does what putting `instance` means: creates a child namespace, or changes security settings."""
        cls = instance.cls
        if fold(cls.name) == _SECURITY:
            self._secure(self._namespace, instance)
        elif fold(cls.name) != _CHILDREN:
            raise WbemError.of(WbemStatus.WBEM_E_READ_ONLY, f"{cls.name}=@ cannot be written")
        elif exists:
            self._secure(f"{self._namespace}\\{instance['Name']}", instance)
        else:
            self._create(instance)

    def _create(self, instance: Instance) -> None:
        """3.1.4.18.1."""
        name = instance["Name"]
        try:
            if len(split_namespace(name)) != 1:
                raise InvalidParameter(f"{name[:200]!r} is a path: a namespace is created in its parent")
            full = f"{self._namespace}\\{name}"
            self._manager.create_namespace(full, _descriptor(instance))
        except SyntaxProblem as problem:
            raise InvalidParameter(problem.message) from None
        except InvalidNamespace as error:
            raise InvalidParameter(error.detail) from None
        if _encryption(instance):
            self._manager.set_requires_encryption(full, True)

    def _secure(self, full: str, instance: Instance) -> None:
        """3.1.4.18.3 and 2.2.30.3. What the instance does not say stays as it is."""
        descriptor, encryption = _descriptor(instance), _encryption(instance)
        if descriptor is not None and fold(instance.class_name) == _CHILDREN:
            descriptor = self._manager.with_inherited(full, descriptor)
            if descriptor != self._manager.descriptor(full):
                self._need_to_secure(full)
                self._manager.set_descriptor(full, descriptor)
        if encryption is not None and encryption != self._manager.requires_encryption(full):
            self._need_to_secure(full)
            self._manager.set_requires_encryption(full, encryption)

    def delete(self, cls: Class, keys: dict[str, Any]) -> bool:
        """Deletes a child namespace with everything in and below it (3.1.4.18.4); False if there is none."""
        if fold(cls.name) in _SINGLETONS:
            raise WbemError.of(WbemStatus.WBEM_E_INVALID_OPERATION, f"{cls.name}=@ cannot be deleted")
        full = self._full_name(keys["Name"])
        if full is None:
            return False
        self._manager.delete_namespace(full)
        return True

    def _may(self, right: AccessRight, full: str) -> bool:
        if self._context is None:
            return True
        return bool(right & self._manager.rights(self._manager.descriptor(full), self._context))

    def _need_to_secure(self, full: str) -> None:
        if self._context is not None and not self._may(AccessRight.WRITE_DAC, full):
            raise self._manager.refusal(self._context, f"WBEM_WRITE_DAC in {full} is missing: its security is changed")


def _descriptor(instance: Instance) -> SecurityDescriptor | None:
    """What the qualifier NamespaceSecuritySDDL says (a string or, as 2.2.32 has it, an array of them)."""
    found = instance.qualifiers.get(_SDDL)
    if found is None:
        return None
    if found.type is not CimType.STRING or found.value is None:
        raise WbemError.of(WbemStatus.WBEM_E_INVALID_QUALIFIER_TYPE, f"the qualifier {_SDDL} is a string")
    text = found.value if isinstance(found.value, str) else "".join(str(part) for part in found.value)  # type: ignore[union-attr]
    try:
        return parse_sddl(text)
    except SyntaxProblem as problem:
        raise InvalidParameter(f"{_SDDL}: {problem.message}") from None


def _encryption(instance: Instance) -> bool | None:
    """What the qualifier RequiresEncryption says; None if it is not there."""
    found = instance.qualifiers.get(_ENCRYPTION)
    if found is None:
        return None
    if found.type is not CimType.BOOLEAN or found.value is None:
        raise WbemError.of(WbemStatus.WBEM_E_INVALID_QUALIFIER_TYPE, f"the qualifier {_ENCRYPTION} is a boolean")
    return flag(instance.qualifiers, _ENCRYPTION)
