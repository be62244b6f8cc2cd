"""What lies under the studio's folders, and where an address leads.

An address (`at`) is a POSIX path relative to a root; of roots after the first `N:` stands before it, of what
comes with headstart a name: `model:`, `samples:`, `sample:`. Nothing outside of the roots can be addressed,
links followed.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from headstart.errors import HeadstartError
from headstart.folder import MANIFEST, JSONObject
from headstart.output import MARK
from headstart.recipe import folder_named

Kind = Literal[
    "quickstart",
    "run",
    "task",
    "model",
    "corpus",
    "tokens",
    "tokenizer",
    "vectors",
    "sweep",
    "head-start",
    "duel",
]

SAMPLE = "sample"
MODELS, SAMPLES = "model", "samples"
"""Names of the roots with the models that come with headstart, and with a clone's samples."""
DEPTH = 3  # levels of folders that are listed
MOST = 2_000  # folders that are looked at
LARGEST = 4_000_000  # bytes of a JSON file that is read for a listing
FORMATS: dict[str, Kind] = {
    "headstart.corpus": "corpus",
    "headstart.tokens": "tokens",
    "headstart.tokenizer": "tokenizer",
    "headstart.word vectors": "vectors",
    "headstart.elmo model": "vectors",
}


class Absent(HeadstartError):
    """There is nothing at an address, or nothing that may be seen: the answer does not tell which."""


@dataclass(frozen=True)
class Folder:
    """One folder of the listing."""

    at: str
    kind: Kind
    modified: float
    """Seconds since 1970."""
    family: str | None = None
    architecture: str | None = None
    """encoder, decoder, encoder-decoder; None where that is not known."""
    answers: bool = False
    """Whether the model has been fine-tuned to answer a task."""
    live: bool = False
    """Whether a run wrote into it in the last half minute and has not ended."""
    course: bool = False
    """Whether it has kept how its learning went, step by step."""


@dataclass(frozen=True)
class State:
    """One state of a model over its training."""

    at: str
    step: int | None
    """None: the finished model."""
    kind: Literal["snapshot", "checkpoint", "model"]


class Folders:
    """The roots, and what is in them.

    Args:
        roots: the user's folders; the first may be written to.
        sample: the root of what comes with headstart to look at, if it is there; it is only read, and stands
            behind everything else.
        given: what else comes with headstart, by the name of its root; it stands before the sample.
    """

    def __init__(
        self, roots: Sequence[Path], sample: Path | None = None, given: Mapping[str, Path] = {}
    ) -> None:
        for root in roots:
            if not root.is_dir():
                raise HeadstartError(f"there is no folder {root}; give one that holds runs or models")
        self.roots = [root.resolve() for root in roots]
        self.sample = sample.resolve() if sample is not None and sample.is_dir() else None
        named = {str(number): root for number, root in enumerate(self.roots)}
        self.given = {name: root.resolve() for name, root in given.items()}
        if self.sample:
            self.given[SAMPLE] = self.sample
        self._named = named | self.given

    @property
    def readable(self) -> list[Path]:
        """Every root, the sample's last."""
        return list(self._named.values())

    def find(self, at: str) -> Path:
        """The folder or file at an address.

        Raises:
            Absent: it is not there, or outside of the roots.
        """
        name, colon, rest = at.partition(":")
        name, inside = (name, rest) if colon and (name.isdigit() or name in self.given) else ("0", at)
        absent = Absent(f"there is nothing at {at!r}; go back to the list of folders")
        if name not in self._named or "\0" in at or inside.startswith("/") or "\\" in inside:
            raise absent
        root = self._named[name]
        try:
            path = (root / inside).resolve()
            there = path.is_relative_to(root) and path.exists()
        except OSError:
            there = False
        if not there:
            raise absent
        return path

    def address(self, path: Path) -> str:
        """The address of a path inside a root."""
        for name, root in self._named.items():
            if path.is_relative_to(root):
                inside = path.relative_to(root).as_posix()
                return inside if name == "0" else f"{name}:{inside}"
        raise Absent(f"{path} is in none of the studio's folders")

    def named(self, name: object, by: Path) -> Path | None:
        """A folder or file that a file of a run names, where it lies in the roots; see `folder_named`."""
        found = folder_named(Path(name), by) if isinstance(name, str) and name else None
        return (
            found.resolve()
            if found and any(found.resolve().is_relative_to(r) for r in self.readable)
            else None
        )

    def listing(self) -> list[Folder]:
        """Every folder that headstart knows the kind of: the user's, the newest first, then what comes with
        headstart, by name, for all of it was installed at once."""
        paths = dict.fromkeys(path.resolve() for root in self.readable for path in _walk(root))
        found = [one for path in paths if (one := self._known(path))]
        own = [one for one in found if not self._is_given(one.at)]
        given = [one for one in found if self._is_given(one.at)]
        return sorted(own, key=lambda one: -one.modified) + sorted(given, key=lambda one: one.at)

    def _is_given(self, at: str) -> bool:
        name, colon, _ = at.partition(":")
        return bool(colon) and name in self.given

    def states(self, at: str) -> list[State]:
        """The states of a run's model in the order of training; of a model folder only itself."""
        folder = self.find(at)
        by_step: dict[int, State] = {}
        for name, kind in (("checkpoints", "checkpoint"), ("snapshots", "snapshot")):
            for path in folder.glob(f"{name}/step-*"):
                if path.name[5:].isdigit() and path.resolve().is_relative_to(folder):
                    step = int(path.name[5:])
                    by_step[step] = State(self.address(path), step, kind)  # type: ignore[arg-type]
        states = [by_step[step] for step in sorted(by_step)]
        if (folder / "model" / "config.json").exists():
            states.append(State(self.address(folder / "model"), None, "model"))
        elif (folder / "config.json").exists():
            states.append(State(at, None, "model"))
        return states

    def _known(self, path: Path) -> Folder | None:
        try:
            kind = kind_of(path)
            if kind is None:
                return None
            metrics = path / "metrics.jsonl"
            modified = max(entry.stat().st_mtime for entry in (path, metrics) if entry.exists())
            family, architecture, answers = _family(path)
            live = kind in ("run", "task") and not (path / "model").exists() and _age(metrics) < 30
            course = metrics.exists()
            return Folder(self.address(path), kind, modified, family, architecture, answers, live, course)
        except (OSError, ValueError, Absent):  # deleted while it was looked at, or not ours to read
            return None


def kind_of(path: Path) -> Kind | None:
    """What a folder is, by its markers, the cheapest first; None: nothing of headstart's."""
    if (path / "quickstart.json").exists():
        return "quickstart"
    if (path / "head_start.json").exists():
        return "head-start"
    if (path / "duel.json").exists():
        return "duel"
    if (path / "run.json").exists() and (path / "recipe.yaml").exists():
        learns_a_task = small_json(path / MARK).get("kind") == "fine-tuning"
        return "task" if learns_a_task or (path / "scores.json").exists() else "run"
    if (path / "config.json").exists() and any(path.glob("*.safetensors")):
        return "model"
    if (path / MANIFEST).exists():
        return FORMATS.get(str(small_json(path / MANIFEST).get("format")))
    if any((path / name).exists() for name in ("design.json", "fit.json")):
        return "sweep"
    return "tokenizer" if (path / "tokenizer.json").exists() else None


def small_json(path: Path) -> JSONObject:
    """A JSON object of a folder that is only listed; empty where there is none, or none of a usual size."""
    try:
        if path.stat().st_size > LARGEST:
            return {}
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _walk(root: Path) -> Iterator[Path]:
    """Folders to a depth, breadth first, links not followed; of those that are known only the inside of a
    quickstart is listed."""
    waiting, seen = [(root, 0)], 0
    while waiting:
        path, depth = waiting.pop(0)
        seen += 1
        if seen > MOST:
            return
        yield path
        if depth == DEPTH or (depth and kind_of(path) not in (None, "quickstart")):
            continue
        try:
            inside = sorted(
                entry.path
                for entry in os.scandir(path)
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
            )
        except OSError:
            continue
        waiting += [(Path(name), depth + 1) for name in inside]


def _family(path: Path) -> tuple[str | None, str | None, bool]:
    """The family and the architecture of a model or run folder, and whether it answers a task, as far as its
    files say."""
    for place in (path, path / "model", *sorted(path.glob("snapshots/step-0"))):
        config = small_json(place / "config.json")
        stamp = config.get("headstart")
        stamp = stamp if isinstance(stamp, dict) else {}
        family = stamp.get("family", config.get("model_type"))
        if isinstance(family, str):
            heads = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")
            named = _classes(config)
            answers = "task" in stamp or any(head in named for head in heads)
            return family, _architecture(config, family), answers
    return None, None, False


def _classes(config: JSONObject) -> str:
    """The names of classes in a `config.json`, whatever stands in their place."""
    said = config.get("architectures")
    return " ".join(map(str, said)) if isinstance(said, list) else ""


def _architecture(config: JSONObject, family: str) -> str:
    if config.get("is_encoder_decoder"):
        return "encoder-decoder"
    named = _classes(config)
    if "CausalLM" in named or "LMHead" in named or family == "headstart-decoder":
        return "decoder"
    return "encoder"


def _age(path: Path) -> float:
    import time

    return time.time() - path.stat().st_mtime if path.exists() else float("inf")
