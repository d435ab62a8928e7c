"""What the tests of MOF share: a source of classes, a sample that uses the whole language."""

from __future__ import annotations

from collections.abc import Iterable

from openwmi.cim import Class, Instance, fold
from openwmi.mof import MofErrors, MofItem, compile_mof
from openwmi.mof.resolver import ClassSource


class Classes:
    """Classes by name, in every namespace alike."""

    def __init__(self, classes: Iterable[Class] = ()) -> None:
        self.known = {fold(cls.name): cls for cls in classes}

    def get_class(self, namespace: str, name: str) -> Class | None:
        return self.known.get(fold(name))


def compiled(text: str, *known: Class, namespace: str = "root\\test") -> list[MofItem]:
    return compile_mof(text, Classes(known), namespace=namespace)


def objects(text: str, *known: Class) -> list[Class | Instance]:
    return [item.object for item in compiled(text, *known) if isinstance(item.object, Class | Instance)]


def one_class(text: str, *known: Class) -> Class:
    made = objects(text, *known)[-1]
    assert isinstance(made, Class)
    return made


def one_instance(text: str, *known: Class) -> Instance:
    made = objects(text, *known)[-1]
    assert isinstance(made, Instance)
    return made


def problems(text: str, source: ClassSource | None = None) -> list[tuple[int, int, str]]:
    """Line, column and message of every mistake."""
    try:
        compile_mof(text, source or Classes(), namespace="root\\test")
    except MofErrors as errors:
        return [(e.line, e.column, e.message) for e in errors.errors]
    return []


def survives(text: str) -> None:
    """Whatever the text, it compiles or is `MofErrors`."""
    found: MofErrors | None = None
    try:
        compile_mof(text, Classes(), namespace="root\\test")
    except MofErrors as errors:
        found = errors
    if found is not None:
        assert 1 <= len(found.errors) <= 100
        assert all(0 <= error.position <= len(text) for error in found.errors)
        assert str(found)


SAMPLE = r"""
// Everything the language has, once.
#pragma namespace ("\\\\.\\root\\Zoo")
#pragma classflags ("updateonly", "forceupdate")
Qualifier Description : ToSubclass Amended;
Qualifier Level : uint32 = 7, Scope(class, property), Flavor(DisableOverride, ToSubclass);

[Description("An " "animal") : NotToInstance, Locale(0x409), Level /* no value */]
class Animal as $TheClass
{
    [key, read, MaxLen(64)] string Name;
    uint8 Bytes[] = {1, 0x10, 011, 11b};
    char16 Letter = '\x41';
    datetime Born = "20200101000000.000000+000";
    real32 Weight = 1.5e2;
    string Names[32] = {"a", NULL, "\"q\"\n"};
    uint64 Hairs = "123";
    Animal Child = NULL;
    object Anything;
    Animal ref Friend;
    object ref Thing = $TheClass;
    boolean Tame = TRUE;
    [Implemented, Static] uint32 Bark([in, optional] uint32 Times = 3, [out] string Text, Animal ref Who);
    void Stop();
};

class Dog : Animal { [Description("the dog's")] string Name; sint8 Offsets[] = {-1, +1}; };

#pragma instanceflags ("createonly")
instance of Dog as $Rex
{
    Name = "Rex\\\"'";
    [Note("a child")] Child = instance of Dog { Name = "Inner"; };
    Anything = class Toy { string Kind; };
    Friend = $Tom;
};
[Note] instance of Dog as $Tom { Name = "Tom"; Bytes = {}; };
#pragma deleteinstance("Dog.Name='Old'", NOFAIL)
#pragma deleteclass("Cat", FAIL);
"""
