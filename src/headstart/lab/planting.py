"""Passages planted into training text, each a known number of times: what is repeated can then be asked for.

Passages are beginnings of documents that are set apart, so that nothing else of the training text has them; a
passage is a document of its own each time. Documents that passages were taken from leave the held-out split,
for the encoder leaves out what the training text repeats.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from headstart.corpus_folder import DocumentRow, corpus_documents
from headstart.errors import HeadstartError
from headstart.folder import MANIFEST, JSONObject, read_json, write_json
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.shards import ShardRecipe, encode

Apart = Callable[[str], bool]
PASSAGES = "passages.json"
LENGTH = 64
"""Tokens of a passage."""


def plant(
    corpus: Path,
    tokenizer_folder: Path,
    repeats: Sequence[int],
    each: int,
    apart: Apart,
    share: float,
    out: Path,
) -> None:
    """Write a tokens folder, and beside its shards the passages with their repeats.

    Args:
        repeats: how often, for `each` passages every number.
        apart: whether a document is set apart, by its id; `share` of them are.
    """
    if (out / PASSAGES).exists():
        return
    tokenizer = open_tokenizer(tokenizer_folder)
    often = [count for count in repeats for _ in range(each)]
    texts = _passages(corpus, tokenizer, apart, len(often))
    planted = [text for text, count in zip(texts, often, strict=True) for _ in range(count)]
    documents = _mixed(corpus, planted, _trained_names(apart, len(planted)))
    if not (out / MANIFEST).exists():
        encode(documents, tokenizer, ShardRecipe(heldout_share=share), out)
    write_json(out / PASSAGES, [{"text": t, "repeats": n} for t, n in zip(texts, often, strict=True)])


def _passages(corpus: Path, tokenizer: Tokenizer, apart: Apart, count: int) -> list[str]:
    """Pieces of documents that are set apart, from long ones, one of each.

    Raises:
        HeadstartError: there are fewer such documents.
    """
    found: list[str] = []
    for document in corpus_documents(corpus, ("id", "text")):
        if len(found) < count and apart(document["id"]):
            ids = tokenizer.encode(document["text"][:4000])
            text = tokenizer.decode(ids[LENGTH : 2 * LENGTH])
            if len(ids) > 3 * LENGTH and len(tokenizer.encode(text)) >= LENGTH:
                found.append(text)
    if len(found) < count:
        raise HeadstartError(
            f"{corpus} has {len(found)} documents that are set apart and long enough to plant a passage of, "
            f"and "
            f"{count} are needed; give more text with --data"
        )
    return found


def _mixed(corpus: Path, planted: list[str], names: list[str]) -> Iterator[DocumentRow]:
    """The documents of a corpus with the planted ones at places drawn by lot."""
    documents = list(corpus_documents(corpus, ("id", "text", "domain")))
    places = np.random.default_rng(0).integers(0, len(documents), len(planted))
    by_place: dict[int, list[int]] = {}
    for number, place in enumerate(places.tolist()):
        by_place.setdefault(place, []).append(number)
    for place, document in enumerate(documents):
        yield document
        for number in by_place.get(place, []):
            yield {"id": names[number], "text": planted[number], "domain": "planted"}


def _trained_names(apart: Apart, count: int) -> list[str]:
    """Ids of documents that are not held out."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        if not apart(name := f"planted-{number}"):
            found.append(name)
        number += 1
    return found


def passages(tokens: Path) -> list[tuple[list[int], int]]:
    """The ids of every passage, `LENGTH` of them, and how often it was planted."""
    tokenizer = open_tokenizer(tokens)
    rows = read_json(tokens / PASSAGES, list[JSONObject])
    return [(tokenizer.encode(row["text"])[:LENGTH], int(row["repeats"])) for row in rows]
