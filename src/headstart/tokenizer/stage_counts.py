"""How many tokens each stage of a corpus held, by domain: counted, from texts that stayed and that went.

A corpus folder keeps what it removed, whole documents and pieces that were cut out. What a stage held is what
the end holds and what went behind that stage. Pages before extraction are not kept, and so not counted.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.corpus_folder import corpus_documents, corpus_manifest
from headstart.progress import ProgressBar
from headstart.tokenizer.base import Tokenizer

BATCH = 256
CutText = tuple[str, str]
"""A stage, and a piece of text that it cut out of a document."""


class StageTokens(TypedDict):
    """What a stage held, in tokens of text: what opens and closes a document is not counted."""

    stage: str
    tokens: int
    domains: dict[str, int]


def count_stages(corpus: Path, tokenizer: Tokenizer) -> list[StageTokens]:
    """The tokens that every stage left, from extraction on.

    Raises:
        HeadstartError: the folder is no finished corpus.
    """
    names = [row["stage"] for row in corpus_manifest(corpus)["funnel"]][1:]
    gone: dict[str, Counter[str]] = {name: Counter() for name in names}
    held, unique = Counter[str](), Counter[str]()
    cut, seen = _cut_texts(corpus), set[str]()
    with ProgressBar("count tokens", None, "documents") as bar:

        def count_cuts(identity: str, domain: str) -> None:
            for stage, text in cut.pop(identity, ()):
                gone[stage][domain] += len(tokenizer.encode(text))

        for identity, domain, tokens, _ in _counted(_kept(corpus), tokenizer, bar):
            held[domain] += tokens
            if identity not in seen:  # the mix repeats documents
                seen.add(identity)
                unique[domain] += tokens
                count_cuts(identity, domain)
        for identity, domain, tokens, stage in _counted(_removed(corpus), tokenizer, bar):
            gone[stage][domain] += tokens
            count_cuts(identity, domain)
    counts = [held]
    for name in reversed(names[1:]):
        unique = unique + gone[name]
        counts.insert(0, unique)
    return [
        {"stage": name, "tokens": count.total(), "domains": dict(count)}
        for name, count in zip(names, counts, strict=True)
    ]


Row = tuple[str, str, str, str]
"""Id, domain, text, and the stage that removed it."""


def _kept(corpus: Path) -> Iterator[Row]:
    for row in corpus_documents(corpus, ("id", "domain", "text")):
        yield row["id"], row["domain"], row["text"], ""


def _removed(corpus: Path) -> Iterator[Row]:
    columns = ["id", "domain", "text", "stage"]
    for file in sorted((corpus / "removed").glob("*.parquet")):
        for batch in pq.ParquetFile(file).iter_batches(BATCH, columns=columns):
            for row in batch.to_pylist():
                yield row["id"], row["domain"], row["text"] or "", row["stage"]


def _cut_texts(corpus: Path) -> dict[str, list[CutText]]:
    """By document, what was cut out of it."""
    found: dict[str, list[CutText]] = {}
    for file in sorted((corpus / "pieces").glob("*.parquet")):
        for row in pq.read_table(file, columns=["id", "stage", "text"]).to_pylist():
            found.setdefault(row["id"], []).append((row["stage"], row["text"]))
    return found


def _counted(
    rows: Iterable[Row], tokenizer: Tokenizer, bar: ProgressBar
) -> Iterator[tuple[str, str, int, str]]:
    """The rows with the number of tokens in place of the text."""
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield from _count(batch, tokenizer)
            bar.advance(len(batch))
            batch = []
    yield from _count(batch, tokenizer)


def _count(batch: list[Row], tokenizer: Tokenizer) -> Iterator[tuple[str, str, int, str]]:
    ids = tokenizer.encode_batch([text for _, _, text, _ in batch])
    for (identity, domain, _, stage), found in zip(batch, ids, strict=True):
        yield identity, domain, len(found), stage
