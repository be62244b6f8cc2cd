"""Imports run one way, rooms form no circle, modules are named for what they are, and none only forwards."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "headstart"

# From the bottom up; parts of one layer know nothing of each other.
LAYERS = [
    {
        "errors",
        "folder",
        "corpus_folder",
        "recipe",
        "sample_data",
        "progress",
        "worker_server",
        "workers",
        "page",
        "former_names",
        "console",
        "lock",
        "output",
        "overrides",
        "setting_names",
        "settings_reference",
        "stopping",
    },
    {"corpus", "tokenizer", "models"},
    {"objectives", "interchange"},
    {"training"},
    {"generation"},
    {"tasks", "scaling"},
    {"evaluation"},
    {"api"},
    {"quickstart", "lab", "studio", "serving"},
    {"cli"},
    {"__main__"},
]
# Layer 0 is a handful of modules that lean on each other; it is checked for not reaching upwards.
HEIGHT = {part: height for height, parts in enumerate(LAYERS) for part in parts}
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}

FILES = sorted(SOURCE.rglob("*.py"))
PACKAGES = sorted(file.parent.name for file in SOURCE.glob("*/__init__.py"))
MODULES = {
    ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__") for file in FILES
}


def part_of(path: Path) -> str:
    """`corpus` for `headstart/corpus/readers/warc.py`, `errors` for `headstart/errors.py`."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_names(tree: ast.Module, path: Path) -> set[str]:
    """What a module imports of headstart (`corpus.recipe.Mix`), inside functions and relatively too."""
    package = ("headstart", *path.relative_to(SOURCE).parent.parts)
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(piece for piece in (base, node.module or "") if piece)
            names += [f"{module}.{alias.name}" for alias in node.names]
    return {name.removeprefix("headstart.") for name in names if name.startswith("headstart.")} - {
        "__version__"
    }


def imported_parts(tree: ast.Module, path: Path) -> set[str]:
    """The parts of headstart that a module imports."""
    return {name.split(".")[0] for name in imported_names(tree, path)}


def room_of(name: str) -> str:
    """The room of a package that a module or a name in it belongs to: a folder, or a module at the top.

    `corpus.readers` for `corpus.readers.warc.records`, `corpus.recipe` for `corpus.recipe.Mix`.
    """
    return ".".join(name.split(".")[:2])


def rooms_of(package: str) -> dict[str, set[str]]:
    """For each room of a package the others that it imports. What `__init__` offers is no room."""
    found: dict[str, set[str]] = {}
    for path in sorted((SOURCE / package).rglob("*.py")):
        own = room_of(".".join(path.relative_to(SOURCE).with_suffix("").parts))
        if own == f"{package}.__init__":
            continue
        names = imported_names(ast.parse(path.read_text(encoding="utf-8")), path)
        others = {room_of(name) for name in names if name.startswith(f"{package}.")}
        found.setdefault(own, set()).update(other for other in others - {own} if other in MODULES)
    return found


def circle(rooms: dict[str, set[str]]) -> list[str]:
    """Rooms that import each other in a ring, or nothing."""
    try:
        TopologicalSorter(rooms).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_every_part_has_a_layer() -> None:
    parts = {part_of(file) for file in FILES} - {"__init__"}
    assert parts <= set(HEIGHT), "give the new part its place in LAYERS"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_only_from_below(path: Path) -> None:
    own = part_of(path)
    if own == "__init__":
        return
    for imported in imported_parts(ast.parse(path.read_text(encoding="utf-8")), path) - {own}:
        assert imported in HEIGHT, f"{path} imports headstart.{imported}, which no layer knows"
        below = HEIGHT[imported] < HEIGHT[own] or (HEIGHT[imported] == HEIGHT[own] == 0)
        assert below, f"{path}: {own} must not import {imported}"


@pytest.mark.parametrize("package", PACKAGES)
def test_rooms_of_a_package_form_no_circle(package: str) -> None:
    ring = circle(rooms_of(package))
    assert not ring, " and ".join(f"{one} imports {other}" for other, one in pairwise(ring))


def test_no_folder_is_a_warehouse() -> None:
    """Other than `cli`, which has a module for each verb, found by its name."""
    for folder in {file.parent for file in FILES if file.parent.name != "cli"}:
        modules = [file for file in folder.glob("*.py") if file.name != "__init__.py"]
        assert len(modules) <= 22, f"{folder} has {len(modules)} modules: give them rooms"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_module_is_nameless_or_only_forwards(path: Path) -> None:
    assert path.stem not in NAMELESS
    body = ast.parse(path.read_text(encoding="utf-8")).body
    imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    rest = [
        node for node in body if not isinstance(node, ast.Import | ast.ImportFrom) and not _is_label(node)
    ]
    assert not imports or rest, f"{path} only forwards what others define"


def _is_label(node: ast.stmt) -> bool:
    """A docstring or `__all__`."""
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_the_check_sees_what_it_should() -> None:
    module = ast.parse(
        "def f():\n    from headstart.cli import main\nimport headstart.lab.claims as claims\n"
    )
    assert imported_parts(module, SOURCE / "corpus" / "work.py") == {"cli", "lab"}
    assert imported_parts(ast.parse("from ..cli import main"), SOURCE / "corpus" / "work.py") == {"cli"}
    assert "tasks.kinds" in rooms_of("tasks")["tasks.model"]
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})
    assert not circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def test_architecture_says_which_parts_know_nothing_of_each_other() -> None:
    """Its table has the parts from the ground up, and names those of one layer."""
    page = (SOURCE.parent.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    parts = [re.findall(r"`(\w+)/?`", row) for row in rows]
    heights = [HEIGHT[part] for row in parts for part in row if part in HEIGHT]
    assert heights == sorted(heights)
    (said,) = re.findall(r"Some neighbours know nothing of each other: (.*?)\.\n", page, re.DOTALL)
    groups = {frozenset(re.findall(r"`(\w+)`", group)) for group in said.split(";")}
    there = {part_of(file) for file in FILES}
    layers = {frozenset(layer & there) for layer in LAYERS[1:]}
    assert groups == {layer for layer in layers if len(layer) > 1}
