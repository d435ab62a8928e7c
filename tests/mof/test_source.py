"""Reading files, and finding places in a text."""

from __future__ import annotations

from pathlib import Path

import pytest

from openwmi.errors import ConfigurationError
from openwmi.mof import Source, read_include, read_mof

TEXT = 'class A { string é = "中"; };\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "a.mof"
    file.write_bytes(TEXT.encode(encoding))
    assert read_mof(file) == TEXT
    file.write_bytes(b"\xfe\xff" + TEXT.encode("utf-16-be"))
    assert read_mof(str(file)) == TEXT


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"class A {\n\xe9 };", "line 2 is not UTF-8"), (b"\xff\xfea\x00\x00\xd8", "byte 2 is not UTF-16-LE")],
)
def test_other_bytes_are_refused_with_the_place(tmp_path: Path, data: bytes, message: str) -> None:
    file = tmp_path / "a.mof"
    file.write_bytes(data)
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_mof(file)
    assert "a.mof" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.mof: cannot be read"):
        read_mof(tmp_path / "none.mof")


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openwmi.mof.source.MAX_FILE_SIZE", 10)
    (tmp_path / "a.mof").write_text("class A { };")
    with pytest.raises(ConfigurationError, match="larger than 10 bytes"):
        read_mof(tmp_path / "a.mof")


def test_an_included_file_lies_beside_the_including_one(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.mof").write_text("class B { };")
    name, text = read_include(str(tmp_path / "a.mof"), "sub\\b.mof")
    assert Path(name) == tmp_path / "sub" / "b.mof"
    assert text == "class B { };"


@pytest.mark.parametrize(
    ("offset", "line", "column", "text"),
    [(0, 1, 1, "ab"), (2, 1, 3, "ab"), (4, 2, 1, "c"), (6, 3, 1, ""), (7, 4, 1, "d"), (8, 4, 2, "d"), (99, 4, 2, "d")],
)
def test_places(offset: int, line: int, column: int, text: str) -> None:
    place = Source("f", "ab\r\nc\r\nd".replace("\r\nd", "\n\nd")).at(offset)
    assert (place.line, place.column, place.line_text) == (line, column, text)
    assert str(place) == f"f:{line}:{column}"
