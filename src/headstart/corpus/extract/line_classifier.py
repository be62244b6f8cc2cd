"""Which lines of a page are its main text: two rounds of boosted trees, then the best choice.

The first round looks at each line and its surroundings; the second also at what the first said of all lines.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from headstart.corpus.extract.blocks import Page
from headstart.corpus.extract.line_features import NameWeights, context_features, line_features, surroundings
from headstart.corpus.extract.oblivious_trees import ObliviousTrees
from headstart.errors import HeadstartError
from headstart.folder import atomic

SHIPPED = Path(__file__).parent / "line_classifier.safetensors"
FORMAT = "headstart line classifier 1"
LONG = 80  # characters: a line of this length that the page has had already is no main text again


@dataclass(frozen=True)
class LineClassifier:
    names: NameWeights
    first: ObliviousTrees
    second: ObliviousTrees

    def chances(self, page: Page) -> np.ndarray:
        """[L] how likely each line is to be main text."""
        around = surroundings(page)
        rows = line_features(page, around, self.names)
        chance = sigmoid(self.first.log_odds(rows))
        return sigmoid(self.second.log_odds(np.concatenate((rows, context_features(page, around, chance)))))

    def main_lines(self, page: Page) -> np.ndarray:
        """The numbers of the lines that are main text, in order."""
        if not page.lines:
            return np.zeros(0, np.int64)
        chance = np.where(had_before(page.lines), 0, self.chances(page))
        return np.flatnonzero(best_choice(chance, np.array([len(line) for line in page.lines])))

    def save(self, path: Path) -> None:
        tensors = {"name_weights": np.array(list(self.names.weights.values()), np.float16)}
        for name, trees in (("first", self.first), ("second", self.second)):
            tensors[f"{name}.feature"] = trees.feature.astype(np.uint8)
            tensors[f"{name}.threshold"] = trees.threshold
            tensors[f"{name}.value"] = trees.value.astype(np.float16)
            tensors[f"{name}.base"] = np.array([trees.base], np.float32)
        about = {"format": FORMAT, "names": json.dumps(list(self.names.weights))}
        with atomic(path) as temporary:
            temporary.write_bytes(save(tensors, about))


def load(path: Path) -> LineClassifier:
    """A classifier's file, read once and again when it has changed.

    Raises:
        HeadstartError: the file is not there or is something else.
    """
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise HeadstartError(f"{path} cannot be read as a line classifier ({error.strerror})") from None


@lru_cache(maxsize=4)
def _read(path: Path, version: int) -> LineClassifier:
    try:
        with safe_open(path, "numpy") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise HeadstartError(f"{path} cannot be read as a line classifier ({error})") from None
    if about.get("format") != FORMAT:
        raise HeadstartError(f"{path} is not a line classifier; `headstart corpus train-extractor` makes one")
    weights = dict(zip(json.loads(about["names"]), tensors["name_weights"].tolist(), strict=True))
    first, second = (
        ObliviousTrees(
            tensors[f"{name}.feature"].astype(np.int32),
            tensors[f"{name}.threshold"],
            tensors[f"{name}.value"].astype(np.float32),
            float(tensors[f"{name}.base"][0]),
        )
        for name in ("first", "second")
    )
    return LineClassifier(NameWeights(weights), first, second)


def shipped() -> LineClassifier:
    """The classifier that comes with headstart."""
    return load(SHIPPED)


def sigmoid(log_odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-log_odds))


def had_before(lines: list[str]) -> np.ndarray:
    """[L] bool: the long lines that stood further up already, as where a page has parts for small screens."""
    seen: set[str] = set()
    again = np.zeros(len(lines), bool)
    for at, line in enumerate(lines):
        if len(line) >= LONG:
            again[at] = line in seen
            seen.add(line)
    return again


def best_choice(chance: np.ndarray, size: np.ndarray) -> np.ndarray:
    """[L] bool: the lines to keep so that the highest F1 over characters can be expected.

    Of any size the best choice are the likeliest lines (Lewis 1995); each size is tried by expected counts.
    """
    order = np.argsort(-chance, kind="stable")
    right = np.cumsum((chance * size)[order])
    f1 = 2 * right / (np.cumsum(size[order]) + right[-1])
    keep = np.zeros(len(chance), bool)
    keep[order[: int(f1.argmax()) + 1]] = True
    return keep
