"""Written before the run: what decides a verdict is hashed and kept before anything is measured by it.

`registrations.jsonl` grows by a line for each registration, and each line holds the hash of the line before,
so that none can be taken out or slipped in unseen. This proves an order, not honesty: whoever looks at runs
first and writes a rule then can do so.
"""

import ast
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.errors import HeadstartError
from headstart.folder import checked
from headstart.lab.claim import Experiment, jsonable
from headstart.lab.rules import VERSION
from headstart.lock import waited_for

FILE = "registrations.jsonl"
SOURCE = Path(__file__).parents[1]
_FREE_NAMES = ("CLAIM", "picture")
"""Of a claim's file: what is told and drawn, and decides nothing."""


class Registration(TypedDict):
    """A line of the file."""

    claim: str
    level: str
    time: str
    rule: str
    """Hash of what decides: statement, rule, level without its seeds, code of measure and arms."""
    plan: dict[str, Any]
    """What was to be run: seeds, text, ids of all runs."""
    why: str
    """Why a rule is another than the one registered before; empty: it is the first, or the same."""
    previous: str
    hash: str


def rule_hash(experiment: Experiment, level: str) -> str:
    """SHA-256 of what shapes a verdict. Words that are told about it may change; seeds may be added."""
    settings = jsonable(experiment.level(level))
    del settings["seeds"], settings["minutes"]
    content = {
        "claim": experiment.id,
        "statement": experiment.claim.statement,
        "rule": experiment.rule.canonical(),
        "level": settings,
        "judged by": VERSION,
        "code": _code(experiment.file),
    }
    return _hash(content)


def _hash(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _code(file: Path) -> dict[str, Any]:
    """A claim's file and the laboratory's measures that it imports, without words."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = {"claim": [plain_code(node) for node in tree.body if not _is_free(node)]}
    names = {
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("headstart.lab.measures")
    }
    for name in sorted(filter(None, names)):
        path = SOURCE.joinpath(*name.split(".")[1:]).with_suffix(".py")
        found[name] = [plain_code(node) for node in ast.parse(path.read_text(encoding="utf-8")).body]
    return found


def _is_free(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id in _FREE_NAMES for target in node.targets)
    return isinstance(node, ast.FunctionDef) and node.name in _FREE_NAMES


def plain_code(node: Any) -> Any:
    """A syntax tree as JSON, without docstrings and places; the same for every version of Python."""
    if isinstance(node, ast.AST):
        fields = {}
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(value, list) and _begins_with_docstring(node):
                value = value[1:]
            if value not in (None, []) and name not in ("type_comment", "type_params", "kind"):
                fields[name] = plain_code(value)
        return [type(node).__name__, fields]
    if isinstance(node, list):
        return [plain_code(one) for one in node]
    return node if isinstance(node, str | bool) else repr(node)


def _begins_with_docstring(node: ast.AST) -> bool:
    documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module
    return isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None


@dataclass(frozen=True)
class Intent:
    """What somebody means to run."""

    claim: str
    level: str
    rule: str
    """Hash of what decides."""
    plan: dict[str, Any]
    runs_are_there: bool = False
    """Whether runs that it compares were made before, for something else."""


def _ask_why(intent: Intent, before: list[Registration]) -> str:
    if before:
        return (
            f"the rule or the measure of {intent.claim} is not the one that was registered on "
            f"{before[-1]['time'][:10]}; say why it was changed: --why 'REASON'"
        )
    return (
        f"runs that {intent.claim} compares are older than its rule, so somebody may have looked at them "
        f"first; "
        "say why that does no harm: --why 'REASON'"
    )


def _whole(content: bytes) -> bytes:
    """A file up to its last whole line: a killed process may have left a piece of one."""
    return content[: content.rfind(b"\n") + 1]


class Registrations:
    """The registrations of a laboratory."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE

    def read(self) -> list[Registration]:
        """All of them, the oldest first.

        Raises:
            HeadstartError: a line that is no registration, was changed, or was taken out or slipped in.
        """
        if not self.file.exists():
            return []
        found: list[Registration] = []
        previous = ""
        for number, line in enumerate(_whole(self.file.read_bytes()).splitlines(), 1):
            try:
                entry: Registration = checked(orjson.loads(line), Registration, self.file)
            except orjson.JSONDecodeError:
                raise HeadstartError(
                    f"{self.file} line {number} is no JSON; it may have been damaged"
                ) from None
            content = {name: value for name, value in entry.items() if name != "hash"}
            if entry["hash"] != _hash(content) or entry["previous"] != previous:
                raise HeadstartError(
                    f"{self.file} line {number} does not follow from the line before, or was changed after "
                    f"it "
                    "was written; take the file back as it was"
                )
            previous = entry["hash"]
            found.append(entry)
        return found

    def of(self, claim: str, level: str) -> list[Registration]:
        """Those of a claim at a level."""
        return [entry for entry in self.read() if (entry["claim"], entry["level"]) == (claim, level)]

    def first(self, claim: str, level: str, rule: str) -> Registration | None:
        """The oldest registration of a rule."""
        return next((entry for entry in self.of(claim, level) if entry["rule"] == rule), None)

    def add(self, intents: Iterable["Intent"], why: str = "") -> list[Registration]:
        """Register what is not registered yet, in order; returns the registration of each.

        Args:
            why: the reason, where a rule is another one than before, or younger than its runs.

        Raises:
            HeadstartError: a rule was changed, or has runs already, and nobody said why.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with waited_for(self.file.with_name(f".{FILE}.lock"), self.file):
            known, made = self.read(), []
            for intent in intents:
                name = (intent.claim, intent.level)
                before = [entry for entry in known if (entry["claim"], entry["level"]) == name]
                same = [e for e in before if e["rule"] == intent.rule and e["plan"] == intent.plan]
                if same:
                    made.append(same[-1])
                    continue
                changed = bool(before) and all(entry["rule"] != intent.rule for entry in before)
                late = intent.runs_are_there and not before
                if (changed or late) and not why:
                    raise HeadstartError(_ask_why(intent, before))
                entry: Registration = {
                    "claim": intent.claim,
                    "level": intent.level,
                    "time": datetime.now(UTC).isoformat(timespec="microseconds"),
                    "rule": intent.rule,
                    "plan": intent.plan,
                    "why": why if changed or late else "",
                    "previous": known[-1]["hash"] if known else "",
                    "hash": "",
                }
                entry["hash"] = _hash({name: value for name, value in entry.items() if name != "hash"})
                with self.file.open("ab") as file:
                    file.truncate(len(_whole(self.file.read_bytes())))
                    file.write(orjson.dumps(entry) + b"\n")
                    file.flush()
                known.append(entry)
                made.append(entry)
        return made
