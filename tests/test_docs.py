"""What the documents say of the code is so: names, files, counts."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headstart.cli import app

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "headstart"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@cache
def members() -> dict[str, set[str]]:
    """What the classes of the code have, by the class's name."""
    found: dict[str, set[str]] = {}
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, set()).update(_names(node))
    return found


def _names(cls: ast.ClassDef) -> Iterator[str]:
    for node in ast.walk(cls):
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr


def code_in(page: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_classes_have_what_is_said_of_them(page) -> None:
    known = members()
    said = [pair for code in code_in(page) for pair in re.findall(r"\b([A-Z]\w+)\.(_?[a-z_]+)\b", code)]
    assert [f"{cls}.{name}" for cls, name in said if cls in known and name not in known[cls]] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_code_are_where_they_are_said_to_be(page) -> None:
    paths = {path for code in code_in(page) for path in re.findall(r"[\w/.-]+\.py\b", code)}
    bases = (ROOT, ROOT / "src", SOURCE, ROOT / "tests", ROOT / "benchmarks")
    missing = [
        path
        for path in sorted(paths)
        if not any((base / path).exists() for base in bases) and not list(SOURCE.rglob(path))
    ]
    assert missing == []


def test_how_many_rates_a_sweep_over_widths_tries() -> None:
    from headstart.scaling.width_transfer import FACTORS

    count = NUMBERS[len(FACTORS)]
    shown = CliRunner().invoke(app, ["plan", "transfer", "--help"], env={"COLUMNS": "200"}).output
    assert f"each width at {count} rates" in " ".join(shown.replace("│", " ").split())
    assert f"each width at {count} rates" in (ROOT / "docs" / "planner.md").read_text(encoding="utf-8")


def test_how_long_the_own_encoder_was_pretrained() -> None:
    """Every page rounds the one figure that was measured."""
    results = (ROOT / "docs" / "results-tasks.md").read_text(encoding="utf-8")
    (measured,) = re.findall(r"357 steps, (\d+) core-seconds", results)
    minutes = NUMBERS[round(int(measured) / 60)]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    said = {word for word in re.findall(r"(\w+)\s+core-minutes", results + readme) if word in NUMBERS}
    assert said == {minutes}
