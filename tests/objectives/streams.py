"""Rows as token shards give them, and vocabularies, for the tests of objectives."""

from collections.abc import Iterator

import numpy as np
import torch
from hypothesis import strategies as st

from headstart.models.config import TransformerConfig
from headstart.models.transformer import Transformer, build
from headstart.objectives.batch import Batch
from headstart.objectives.vocabulary import Vocabulary
from headstart.tokenizer.special import SpecialIds

START, END, PAD, MASK, UNKNOWN, SENTINELS = 0, 1, 2, 3, 4, tuple(range(99, 69, -1))
ORDINARY = range(5, 70)
SPECIAL = SpecialIds(
    start=START,
    end=END,
    pad=PAD,
    mask=MASK,
    unknown=UNKNOWN,
    separator=None,
    sentinels=SENTINELS,
    all=frozenset({*range(5), *SENTINELS}),
)


def vocabulary() -> Vocabulary:
    """100 ids: 5 special, 65 ordinary, 30 sentinels; every third id begins a word, 20 to 25 end sentences."""
    ids = np.arange(100)
    ordinary = (ids >= ORDINARY.start) & (ids < ORDINARY.stop)
    ends = (ids >= 20) & (ids <= 25)
    return Vocabulary(SPECIAL, ordinary, ids <= PAD, ids % 3 == 0, ends)


@st.composite
def streams(draw, least: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Ids and segments `[B, T]` cut from a stream of documents, empty ones and fragments among them."""
    rows, width = draw(st.integers(1, 6)), draw(st.integers(least, 48))
    longest = draw(st.sampled_from([0, 1, 2, 5, 20, 100]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    return stream(rows, width, longest, random, framed=not longest or draw(st.booleans()))


def stream(
    rows: int, width: int, longest: int, random: np.random.Generator, framed: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Documents of 0 to `longest` tokens, a few of them unknown; the first one may have begun before.

    Not `framed`: without special tokens between documents.
    """
    ids, segments, number = [], [], 0
    skipped = int(random.integers(0, longest + 2))
    while len(ids) < rows * width + skipped:
        number += 1
        text = random.integers(ORDINARY.start, ORDINARY.stop, random.integers(0, longest + 1))
        text[random.random(len(text)) < 0.02] = UNKNOWN
        text = [START, *text.tolist(), END] if framed else text.tolist()
        ids += text
        segments += [number] * len(text)
    cut = slice(skipped, skipped + rows * width)
    return np.array(ids[cut]).reshape(rows, width), np.array(segments[cut]).reshape(rows, width)


def one_document(rows: int, width: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows that each lie inside one long document."""
    ids = random.integers(ORDINARY.start, ORDINARY.stop, (rows, width))
    return ids, np.arange(rows)[:, None].repeat(width, 1)


def pieces(ids: np.ndarray, segments: np.ndarray) -> Iterator[tuple[int, int, list[int]]]:
    """Row, document number and tokens of whatever rows hold of a document, in order; padding left out."""
    for row, (tokens, numbers) in enumerate(zip(ids.tolist(), segments.tolist(), strict=True)):
        for number in dict.fromkeys(numbers):
            if number >= 0:
                yield row, number, [t for t, n in zip(tokens, numbers, strict=True) if n == number]


def assert_same(batch: Batch, other: Batch) -> None:
    for name, tensor in vars(batch).items():
        assert (tensor is None) == (vars(other)[name] is None), name
        if tensor is not None:
            assert torch.equal(tensor, vars(other)[name]), name


def tiny_model(architecture: str, **changes) -> Transformer:
    """A Transformer of an architecture over 100 ids, with everything that an objective may use."""
    sizes = {"vocab_size": 100, "layers": 2, "width": 16, "heads": 2, "kv_heads": 2}
    sizes |= {"feedforward_width": 24, "context": 128, "position": "learned", "output_bias": True}
    if architecture == "encoder-decoder":
        sizes |= {"encoder_layers": 2}
    if architecture == "encoder":
        sizes |= {"token_types": 2, "pooler": True, "next_sentence": True}
    family = {"encoder": "bert", "decoder": "gpt2", "encoder-decoder": "bart"}[architecture]
    return build(TransformerConfig(family=family, architecture=architecture, **(sizes | changes)), seed=0)
