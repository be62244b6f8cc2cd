"""Where an experiment is measured: its level, its text, the runs that it asked for, and whose turn it is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from headstart.corpus_folder import corpus_documents
from headstart.errors import HeadstartError
from headstart.lab.claim import Level
from headstart.lab.runs import RunCache, RunSpec, corpus_of, is_apart, tokenizer_of, tokens_of

VOCABULARY = 4096
"""Of the laboratory's usual tokenizer."""


@dataclass(frozen=True)
class Bench:
    """What `arms` and `measure` are given."""

    level: Level
    files: tuple[Path, ...]
    """The raw text."""
    cache: RunCache
    own_data: bool = False
    """Whether the text is the user's, not the repository's samples."""
    given: Path | None = None
    """The folder of `--data`, which may hold more than text."""
    seed: int = 0
    arm: str = ""
    spec: RunSpec | None = field(default=None)
    """The arm's run of this seed."""

    @property
    def run(self) -> Path:
        """The folder of the arm's run."""
        assert self.spec is not None
        return self.cache.path(self.spec)

    # The usual runs, which most experiments share

    @cached_property
    def corpus(self) -> RunSpec:
        """All of the text, cleaned."""
        return corpus_of(self.files)

    def tokenizer(self, vocabulary: int = VOCABULARY, split: int = 0) -> RunSpec:
        """A tokenizer trained on it."""
        return tokenizer_of(self.corpus, vocabulary, split)

    @cached_property
    def tokens(self) -> RunSpec:
        """It in token shards."""
        return tokens_of(self.corpus, self.tokenizer())

    def make(self, spec: RunSpec) -> Path:
        """The folder of a run, which is made if it is not there."""
        for one in spec.all():
            self.cache.make(one)
        return self.cache.path(spec)

    def labelled(self, task: str) -> tuple[Path, Path]:
        """The training and the test rows of a task of the samples.

        Raises:
            HeadstartError: the samples are not at hand.
        """
        folder = samples_folder() / "labels"
        return folder / f"{task}.train.jsonl.gz", folder / f"{task}.test.jsonl.gz"

    def heldout_texts(self, split: int = 0) -> list[str]:
        """The documents that a split sets apart."""
        documents = corpus_documents(self.make(self.corpus), ("id", "text"))
        return [document["text"] for document in documents if is_apart(document["id"], split)]

    def rows(self, length: int, count: int) -> list[list[int]]:
        """Held-out text in rows of token ids, of the usual tokenizer."""
        from headstart.tokenizer.shards import TokenRows

        rows = TokenRows(self.make(self.tokens), "heldout", length)
        ids, _ = rows.read(np.arange(min(count, len(rows))))
        return [[int(token) for token in row] for row in ids]


def raw_files(data: Sequence[Path]) -> tuple[tuple[Path, ...], bool]:
    """The laboratory's raw text, and whether it is the user's.

    Raises:
        HeadstartError: no text was named, and the samples are not at hand.
    """
    if data:
        for path in data:
            if not path.exists():
                raise HeadstartError(f"there is no file or folder {path}; check the path")
        return tuple(data), True
    return tuple(samples_folder() / name for name in ("crawl", "books", "brown")), False


def samples_folder() -> Path:
    """The repository's samples.

    Raises:
        HeadstartError: they are not at hand, as in an installed wheel.
    """
    for root in (Path.cwd(), Path(__file__).parents[3]):
        if (root / "samples" / "crawl").is_dir():
            return root / "samples"
    raise HeadstartError(
        "there is no samples folder here; name your own text with --data, or run this in a clone of the "
        "repository"
    )
