"""The funnel in tokens: what every stage held, counted with the tokenizer that came out at the end."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow.parquet as pq

from headstart.corpus import iterate_raw
from headstart.corpus_folder import corpus_documents, corpus_manifest
from headstart.folder import write_json
from headstart.progress import ProgressBar
from headstart.quickstart.facts import CountedStage
from headstart.tokenizer.base import Tokenizer

BATCH = 256


def count_funnel(inputs: list[Path], corpus: Path, tokenizer: Tokenizer, out: Path) -> None:
    """Write the corpus's funnel with `tokens` added to every stage.

    What a stage held is what the end holds plus what was removed behind that stage; the first stage
    is read again, because raw pages are not kept.
    """
    funnel: list[CountedStage] = [{**row} for row in corpus_manifest(corpus)["funnel"]]
    with ProgressBar("count tokens", None, "documents") as bar:
        held = _count(tokenizer, (document["text"] for document in corpus_documents(corpus, ("text",))), bar)
        removed: Counter[str] = Counter()
        for stage, texts in _removed(corpus):
            removed[stage] += _count(tokenizer, texts, bar)
        raw = _count(tokenizer, iterate_raw(inputs), bar)
    for row in reversed(funnel):
        row["tokens"] = held
        held += removed[row["stage"]]
    funnel[0]["tokens"] = raw
    write_json(out, funnel)


def _removed(corpus: Path) -> Iterator[tuple[str, list[str]]]:
    """The removed texts, some at a time, with the stage that removed them."""
    for file in sorted((corpus / "removed").glob("*.parquet")):
        for batch in pq.ParquetFile(file).iter_batches(BATCH, columns=["stage", "text"]):
            by_stage: dict[str, list[str]] = {}
            for row in batch.to_pylist():
                by_stage.setdefault(row["stage"], []).append(row["text"] or "")
            yield from by_stage.items()


def _count(tokenizer: Tokenizer, texts: Iterable[str], bar: ProgressBar) -> int:
    total = 0
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == BATCH:
            total += sum(map(len, tokenizer.encode_batch(batch)))
            bar.advance(len(batch))
            batch = []
    return total + sum(map(len, tokenizer.encode_batch(batch)))
