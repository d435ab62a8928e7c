"""Every example of the README and of docs/, run. An example that changes the office leaves it as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.support import ROOT, Example, commands, examples, run_command

COOKBOOK = ROOT / "docs" / "cookbook.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What has a test of its own beside this one: a server that runs until Ctrl-C, and a page that is one program.
ELSEWHERE = {"README.md: A server", "providers.md"}
EXAMPLES = [example for page in PAGES if page.name not in ELSEWHERE for example in examples(page)]
COMMANDS = [line for page in PAGES for line in commands(page)]


@pytest.mark.parametrize("example", [each for each in EXAMPLES if str(each) not in ELSEWHERE], ids=str)
def test_example(example: Example, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    example.run(port)


@pytest.mark.parametrize("line", COMMANDS)
def test_command(line: str, port: int, tmp_path: Path) -> None:
    run_command(line, port, tmp_path)


def test_the_cookbook_has_many_recipes() -> None:
    assert len(examples(COOKBOOK)) >= 30


def test_every_recipe_says_what_it_prints() -> None:
    silent = [str(each) for each in examples(COOKBOOK) if each.parts[-1][1] is None]
    assert silent == ["cookbook.md: Test your tool against a server in a fixture"]  # a test, which asserts
