"""Classifiers that others trained, as signals: a fastText model's file, or a folder of Hugging Face's.

A signal is how sure the classifier is of one label, from 0 to 1, or what a model with one output says
(FineWeb-Edu's: 0 to 5). Nothing is fetched: a model is where the recipe says.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from pydantic import Field

from headstart.corpus.text.fasttext_model import load_fasttext
from headstart.errors import HeadstartError, nearest
from headstart.recipe import Recipe

FASTTEXT = (".bin", ".ftz")
_PREFIX = "__label__"
_SPACE = re.compile(r"\s+")

Scores = Callable[[Sequence[str]], list[float]]


class Classifier(Recipe):
    """A classifier, whose answer is the signal of its name."""

    model: Path
    """A fastText model's file (.bin, .ftz), or a folder with a sequence classifier of Hugging Face."""
    label: str | None = None
    """Whose probability is the signal; of a model with one output there is nothing to choose."""
    batch: int = Field(default=32, ge=1)
    """Texts that a folder's model sees at once."""
    tokens: int = Field(default=512, ge=8)
    """Of each text, from its beginning, that a folder's model sees."""


def check(classifier: Classifier) -> None:
    """Raise a `HeadstartError` where a classifier cannot be asked."""
    path = classifier.model
    if path.suffix in FASTTEXT:
        if not path.is_file():
            raise HeadstartError(f"there is no model {path}; check the path")
        if classifier.label is None:
            raise HeadstartError(f"{path}: say whose probability is meant, as label: hq")
    elif not (path / "config.json").is_file():
        raise HeadstartError(f"{path} is no fastText model (.bin, .ftz) and no folder with a config.json")
    elif find_spec("transformers") is None:
        raise HeadstartError(f"{path}: models of Hugging Face need transformers; pip install transformers")


def fingerprint(path: Path) -> str:
    """Changes with what a model's file or folder holds."""
    files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
    return "".join(_digest(one, one.stat().st_size, one.stat().st_mtime_ns) for one in files)


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def scores(classifier: Classifier, texts: Sequence[str]) -> list[float]:
    """What a classifier says of each text.

    Raises:
        HeadstartError: it has no such label, or cannot be read.
    """
    path = classifier.model.resolve()
    if path.suffix in FASTTEXT:
        return _of_fasttext(path, classifier.label or "", fingerprint(path))(texts)
    return _of_folder(path, classifier.label, classifier.batch, classifier.tokens, fingerprint(path))(texts)


@lru_cache(maxsize=8)
def _of_fasttext(path: Path, label: str, _content: str) -> Scores:
    model = load_fasttext(path)

    def ask(texts: Sequence[str]) -> list[float]:
        found = []
        for text in texts:
            labels, chances = model.predict(_SPACE.sub(" ", text), k=-1)
            named = {
                name.removeprefix(_PREFIX): float(one) for name, one in zip(labels, chances, strict=True)
            }
            if label not in named and named:
                raise HeadstartError(f"{path} has no label {label!r}{nearest(label, sorted(named))}")
            found.append(min(named.get(label, 0.0), 1.0))
        return found

    return ask


@lru_cache(maxsize=4)
def _of_folder(path: Path, label: str | None, batch: int, tokens: int, _content: str) -> Scores:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(path, local_files_only=True).eval()
    outputs = model.config.num_labels
    by_name = {str(name): int(number) for number, name in (model.config.id2label or {}).items()}
    if outputs > 1 and label not in by_name:
        raise HeadstartError(
            f"{path} has no label {label!r}{nearest(label or '', sorted(by_name))}; give one"
        )

    @torch.inference_mode()
    def ask(texts: Sequence[str]) -> list[float]:
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))  # so that little is padding
        found = [0.0] * len(texts)
        for start in range(0, len(order), batch):
            places = order[start : start + batch]
            given = tokenizer(
                [texts[place] for place in places],
                truncation=True,
                max_length=tokens,
                padding=True,
                return_tensors="pt",
            )
            logits = model(**given).logits.float()  # [B, labels]
            values = logits[:, 0] if outputs == 1 else logits.softmax(-1)[:, by_name[label or ""]]
            for place, value in zip(places, values.tolist(), strict=True):
                found[place] = value
        return found

    return ask
