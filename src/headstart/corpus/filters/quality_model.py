"""A linear model of how good a text is, over hashed words and pairs of words, after fastText.

FineWeb-Edu (Penedo 2024) and DCLM (Li 2024) keep what a model likes. Ours reads the word hashes that the
corpus has computed for duplicates anyway, so that a score costs one look-up a word. Scores are calibrated: of
the texts scored 0.7, seven tenths are good.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from headstart.corpus.filters.quality_page import render
from headstart.corpus.filters.quality_report import QualityReport
from headstart.corpus.text.words import Words
from headstart.errors import HeadstartError
from headstart.folder import atomic, read_manifest, write_manifest
from headstart.page.document import write_report

KIND, VERSION = "quality-model", 1
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class QualityModel:
    """A trained model.

    Attributes:
        weights: one for each bucket, `[2^bits]`, float32.
        bias: of the whole.
        raw, calibrated: ascending knots of the map from the model's output to a probability, `[K]`.
        threshold: below it a text is not good enough, by the rule that it was trained with.
        fingerprint: tells models apart.
    """

    weights: np.ndarray
    bias: float
    raw: np.ndarray
    calibrated: np.ndarray
    threshold: float
    fingerprint: str

    def score(self, words: Words) -> float:
        """The probability that a text is good; NaN for one without words."""
        if not len(words.hashes):
            return float("nan")
        found = buckets(words, self.weights.size)
        raw = self.weights[found].sum(dtype=np.float64) / np.sqrt(len(found)) + self.bias
        return float(np.interp(raw, self.raw, self.calibrated))


def buckets(words: Words, size: int) -> np.ndarray:
    """The bucket of each word and of each pair of neighbouring words, by the upper bits of its hash.

    Args:
        words: the text's words.
        size: how many buckets there are, a power of two.
    """
    shift = np.uint64(65 - size.bit_length())
    return np.concatenate([words.hashes, words.ngrams(2)]) >> shift


def save_model(folder: Path, model: QualityModel, report: QualityReport) -> None:
    """Write a model folder: weights, the report of its training (JSON and a page), and a manifest."""
    if folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise HeadstartError(f"{folder} is not empty; choose another --out or delete it")
    with atomic(folder) as temporary:
        temporary.mkdir()
        arrays = {"weights": model.weights, "raw": model.raw, "calibrated": model.calibrated}
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary / WEIGHTS)
        write_report(report, temporary, render)
        facts = {"bias": model.bias, "threshold": model.threshold, "fingerprint": model.fingerprint}
        write_manifest(temporary, KIND, VERSION, facts)


def load_model(folder: Path) -> QualityModel:
    """A model from its folder, read once as long as it stays the same.

    Raises:
        HeadstartError: it is not there, or damaged.
    """
    weights = folder / WEIGHTS
    return _read(folder, weights.stat().st_mtime_ns if weights.exists() else 0)


@lru_cache(maxsize=8)
def _read(folder: Path, version: int) -> QualityModel:
    manifest = read_manifest(folder, KIND, VERSION)
    try:
        arrays = load_file(folder / WEIGHTS)
        return QualityModel(
            arrays["weights"],
            float(manifest["bias"]),
            arrays["raw"],
            arrays["calibrated"],
            float(manifest["threshold"]),
            manifest["fingerprint"],
        )
    except (OSError, KeyError, ValueError) as error:
        raise HeadstartError(f"{folder / WEIGHTS} cannot be read ({error}); train it again") from None
