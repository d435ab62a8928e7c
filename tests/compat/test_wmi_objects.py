"""What scripts for the wmi module do with namespaces, classes and objects."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from openwmi.compat import wmi


def test_all_instances(c: Any) -> None:
    assert [system.Caption for system in c.Win32_OperatingSystem()] == [c.Win32_OperatingSystem()[0].Caption]
    assert sorted(disk.DeviceID for disk in c.Win32_LogicalDisk()) == ["C:", "D:"]
    assert c.Win32_LogicalDisk.instances() == c.instances("Win32_LogicalDisk") == c.Win32_LogicalDisk()


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({"DriveType": 3}, ["C:"]),
        ({"drivetype": "5"}, ["D:"]),
        ({"DriveType": 3, "FileSystem": "NTFS"}, ["C:"]),
        ({"DriveType": 3, "FileSystem": "FAT"}, []),
        ({"Size": "499900000000"}, ["C:"]),
        ({"DeviceID": 'it\'s \\ "none"'}, []),
    ],
)
def test_conditions(c: Any, conditions: dict[str, Any], found: list[str]) -> None:
    assert [disk.DeviceID for disk in c.Win32_LogicalDisk(**conditions)] == found


@pytest.mark.parametrize("value", [1, True, "1", "True"])
def test_a_condition_on_a_boolean(c: Any, value: Any) -> None:
    assert [user.Name for user in c.Win32_UserAccount(Disabled=value)] == ["eve"]
    assert [user.Name for user in c.Win32_UserAccount(Disabled=0)] == ["ada"]


def test_fields(c: Any) -> None:
    [disk] = c.Win32_LogicalDisk(["Description"], DeviceID="C:")
    assert list(disk.properties) == ["DeviceID", "Description"]
    assert disk == c.Win32_LogicalDisk(DeviceID="C:")[0]
    with pytest.raises(AttributeError):
        _ = disk.Size


def test_queries(c: Any) -> None:
    [disk] = c.query("SELECT Description FROM Win32_LogicalDisk WHERE DriveType <> 3")
    assert disk.Description == "CD-ROM Disc"
    note = c.Acme_Note.new(Title="a\\b")
    note.put()
    assert c.query("SELECT * FROM Acme_Note WHERE Title = 'a\\b'") == [note]  # one backslash is enough
    assert c.Acme_Note(Title="a\\b") == [note]
    delete(c, note)


def delete(c: Any, found: Any) -> None:
    c.handle().delete_instance(found.path().RelPath)


def test_plain_results(c: Any) -> None:
    [result] = c.fetch_as_classes("Win32_LogicalDisk", ["DeviceID", "Size"], DriveType=3)
    assert vars(result) == {"DeviceID": "C:", "Size": "499900000000"}
    assert vars(c.fetch_as_classes("Win32_Group")[0])["Name"] == "Staff"
    assert c.fetch_as_lists("Win32_LogicalDisk", ["DriveType", "DeviceID"], DriveType=5) == [[5, "D:"]]


def test_values_are_those_of_automation(c: Any) -> None:
    disk, other = c.Win32_LogicalDisk(DriveType=3)[0], c.Win32_LogicalDisk(DriveType=5)[0]
    assert (disk.Size, type(disk.DriveType), other.Size) == ("499900000000", int, None)
    assert disk.LastChecked == "20240229120000.000000+060"
    assert 100 * int(disk.FreeSpace) // int(disk.Size) == 4


def test_a_reference_is_the_object(c: Any) -> None:
    [membership] = c.Win32_UserAccount(Name="ada")[0].references()
    assert (membership.is_association, membership.wmi_property("PartComponent").type) == (True, "ref:Win32_UserAccount")
    assert membership.PartComponent.FullName == "Ada Lovelace"
    assert membership.GroupComponent == c.Win32_Group()[0]


def test_associations(c: Any) -> None:
    [drive] = c.Win32_DiskDrive()
    found = [
        (partition.DeviceID, disk.DeviceID)
        for partition in drive.associators("Win32_DiskDriveToDiskPartition")
        for disk in partition.associators(wmi_result_class="Win32_LogicalDisk")
    ]
    assert found == [("Disk #0, #1", "C:")]
    assert len(drive.references(wmi_class="Win32_DiskDriveToDiskPartition")) == 2
    assert list(drive.associated_classes) == ["Win32_DiskPartition"]


def test_writing(c: Any) -> None:
    note = c.Acme_Note.new(Title="written", Stars="2", Tags=["a"])
    note.Text = "first"
    assert c.Acme_Note(Title="written") == []
    note.put()
    note.Text = "second"
    assert c.Acme_Note(Title="written")[0].Text == "second"
    note.set(Stars=5, Written=datetime(2026, 1, 31, tzinfo=UTC))
    [found] = c.Acme_Note(Title="written")
    assert (found.Stars, found.Tags, found.Written) == (5, ("a",), "20260131000000.000000+000")
    with pytest.raises(AttributeError, match="has no Nothing"):
        note.set(Stars=1, Nothing=1)
    assert note.Stars == 5  # all or nothing
    with pytest.raises(wmi.x_wmi, match="Stars"):
        note.Stars = "many"
    delete(c, note)
    assert c.new("Acme_Note", Title="x").Title == c.new_instance_of("Acme_Note", Title="x").Title == "x"


def test_a_property_by_itself(c: Any) -> None:
    note = c.Acme_Note.new(Title="t")
    text = note.wmi_property("Text")
    text.set("set")
    assert (text.name, text.type, text.value, note.Text, repr(text)) == (
        "Text", "string", "set", "set", "<wmi_property: Text>"
    )  # fmt: skip
    assert c.Acme_Note.Title.qualifiers["key"] is True
    assert (c.Acme_Note.Title.value, c.Acme_Note.wmi_property("title").name) == (None, "Title")


def test_what_an_object_is(c: Any) -> None:
    [disk] = c.Win32_LogicalDisk(DriveType=3)
    assert disk.path().RelPath == 'Win32_LogicalDisk.DeviceID="C:"'
    assert (disk.path().Class, disk.path().Namespace, disk.path().IsClass) == (
        "Win32_LogicalDisk",
        r"root\cimv2",
        False,
    )
    assert str(disk.path()) == disk.path().Path
    assert repr(disk) == f"<_wmi_object: {disk.path().Path}>"
    assert (disk.id, disk.keys) == (disk.path().DisplayName.lower(), ["DeviceID"])
    assert 'instance of Win32_LogicalDisk\n{\n    DeviceID = "C:";' in str(disk).replace("\t", "    ")
    assert c.Win32_LogicalDisk in {c.Win32_LogicalDisk}
    assert disk == c.get(disk.path().RelPath) != c.Win32_LogicalDisk(DriveType=5)[0]
    assert sorted([c.Win32_LogicalDisk(DriveType=5)[0], disk])[0] == disk
    assert (disk.__CLASS, hasattr(disk, "__NOTHING")) == ("Win32_LogicalDisk", False)
    assert "FreeSpace" in dir(disk)
    assert disk.ole_object is disk


def test_what_a_class_is(c: Any) -> None:
    urgent = c.acme_urgentnote
    assert urgent.derivation() == ("Acme_Note",)
    assert list(urgent.properties)[-1] == "Due"
    assert (urgent.keys, urgent.path().IsClass, urgent.is_association) == (["Title"], True, False)
    assert str(urgent).startswith("class Acme_UrgentNote : Acme_Note")
    assert c.Win32_GroupUser.qualifiers == {"association": True}
    with pytest.raises(AttributeError, match="a class is changed in MOF"):
        urgent.Due = "x"
    assert not hasattr(urgent, "Nothing")


def test_what_a_namespace_has(c: Any) -> None:
    assert {name for name in c.classes if "note" in name.lower()} == {"Acme_Note", "Acme_UrgentNote"}
    assert c.subclasses_of("Acme_Note") == {"Acme_UrgentNote"}
    assert c.subclasses_of("", "Acme_[^N]") == {"Acme_UrgentNote"}
    assert "Acme_Note" in dir(c)
    assert repr(c) == r"<_wmi_namespace: root\cimv2>"
    assert c.Acme_Note is c.acme_note
    with pytest.raises(AttributeError, match="no class No_Such"):
        _ = c.No_Such
    assert not hasattr(c, "_repr_html_")


def test_a_file_of_all_instances(c: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    c.Win32_Group.to_csv()
    with Path("Win32_Group.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["Domain", "Name", "Description"], ["ACME", "Staff", "Everybody"]]


def test_methods_of_a_class_and_of_an_instance(c: Any) -> None:
    pid, result = c.Win32_Process.Create(CommandLine="sleep 60")
    assert result == 0
    [process] = c.Win32_Process(ProcessId=pid)
    assert process.Terminate(1) == (0,)
    signature = "Create (CommandLine, CurrentDirectory, ProcessStartupInformation) => (ProcessId, ReturnValue)"
    assert c.Win32_Process.Create.__doc__.startswith(signature)


def test_an_object_as_an_argument(c: Any) -> None:
    startup = c.Win32_ProcessStartup.new(ShowWindow=1)
    pid, result = c.Win32_Process.Create("sleep 60", ProcessStartupInformation=startup.ole_object)
    assert result == 0
    assert c.Win32_Process(ProcessId=pid)[0].Terminate() == (0,)


def test_the_signature_of_a_method(remote: Any) -> None:
    service = remote.Win32_Service
    assert list(service.methods) == ["StartService", "StopService", "ChangeStartMode"]
    assert repr(service.ChangeStartMode) == "<function ChangeStartMode (StartMode) => (ReturnValue)>"
    assert service.StopService.provenance == "Win32API|Service Functions|ControlService"
    [spooler] = service(Name="Spooler")
    assert repr(spooler.ChangeStartMode) == repr(service.ChangeStartMode)
    assert "StopService" in dir(spooler)


def test_calling_a_method(remote: Any) -> None:
    [spooler] = remote.Win32_Service(Name="Spooler")
    (result,) = spooler.StopService()
    assert (result, spooler.StopService()) == (0, (5,))
    assert spooler.StartService() == (0,)
    assert spooler.ChangeStartMode("Manual") == spooler.ChangeStartMode(startmode="Automatic") == (0,)
    with pytest.raises(AttributeError, match="Mode is no parameter of ChangeStartMode"):
        spooler.ChangeStartMode(Mode="Manual")
    with pytest.raises(TypeError, match="no more than 0 parameters"):
        spooler.StopService(1)


def test_the_recipe_for_services(remote: Any) -> None:
    assert [service.DisplayName for service in remote.Win32_Service(StartMode="Auto", State="Stopped")] == [
        "Nightly Backup"
    ]


@pytest.mark.parametrize(
    "watch", [lambda c: c.watch_for("SELECT * FROM X"), lambda c: c.Win32_Process.watch_for("creation")]
)
def test_watching_follows_with_events(c: Any, watch: Any) -> None:
    with pytest.raises(wmi.x_wmi, match="watch_for follows with events"):
        watch(c)
    with pytest.raises(wmi.x_wmi, match="must be one of operation, creation"):
        c.Win32_Process.watch_for("birth")
