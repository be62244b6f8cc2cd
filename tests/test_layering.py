"""Imports run one way, modules are named for what they are, and none only forwards."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "headstart"

# From the bottom up; parts of one layer know nothing of each other.
LAYERS = [
    {"errors", "folder", "recipe", "progress", "workers", "page"},
    {"corpus", "tokenizer", "models"},
    {"objectives", "interchange"},
    {"training"},
    {"generation"},
    {"tasks", "scaling"},
    {"quickstart", "lab", "studio", "serving"},
    {"cli"},
    {"__main__"},
]
# Layer 0 is a handful of modules that lean on each other; it is checked for not reaching upwards.
HEIGHT = {part: height for height, parts in enumerate(LAYERS) for part in parts}
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}

FILES = sorted(SOURCE.rglob("*.py"))


def part_of(path: Path) -> str:
    """`corpus` for `headstart/corpus/warc.py`, `errors` for `headstart/errors.py`."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_parts(tree: ast.Module, path: Path) -> set[str]:
    """The parts of headstart that a module imports, inside functions too, relative imports included."""
    package = ("headstart", *path.relative_to(SOURCE).parent.parts)
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(piece for piece in (base, node.module or "") if piece)
            names += [f"{module}.{alias.name}" for alias in node.names]
    return {name.split(".")[1] for name in names if name.startswith("headstart.")} - {"__version__"}


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
    assert imported_parts(module, SOURCE / "corpus" / "warc.py") == {"cli", "lab"}
    assert imported_parts(ast.parse("from ..cli import main"), SOURCE / "corpus" / "warc.py") == {"cli"}
