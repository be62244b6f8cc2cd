"""headstart's corpus pipeline over a WARC, stage by stage: the product as it is, in one process.

python -m benchmarks.corpus.ours WARC TOKENIZER OUT RECIPE [KEY=VALUE]...
"""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.corpus.clock import Clock, peak_memory
from headstart.corpus import CorpusRecipe, build, judge, prepare
from headstart.corpus.dedup import copies, groups
from headstart.corpus.dedup.documents import EXACT, NEAR
from headstart.corpus.readers.records import Raw, Skip
from headstart.corpus.removals import removed_by
from headstart.corpus.work import Step
from headstart.corpus_folder import corpus_documents
from headstart.tokenizer import shards
from headstart.tokenizer.folder import open_tokenizer

# What runs inside the first pass, and the stage to which it is charged. datatrove sorts its bands with the
# signatures, so ours count there too.
CALLS = {
    "extract_text": "extraction",
    "normalise": "extraction",
    "drop_lines": "filters",
    "replace_personal_data": "pii",
    "identify_language": "language",
    "split_words": "filters",
    "compute_signals": "filters",
    "shingles_of": "signatures",
    "signatures": "signatures",
    "_write": "writing",
}
STEPS = {
    **dict.fromkeys(map(removed_by, (judge.EXTRACT, judge.LANGUAGE, judge.QUALITY)), "filters"),
    **dict.fromkeys(map(removed_by, (EXACT, NEAR)), "duplicates"),
    "digests": "duplicates",
    "exact": "duplicates",
    "exact arranged": "duplicates",
    "bands": "signatures",
    "links": "duplicates",
    "histogram": "writing",
    "dealt": "writing",
    "documents": "writing",
}


@contextmanager
def watched(clock: Clock) -> Iterator[None]:
    """Within this, what the pipeline of this process does is charged to the stages of the comparison."""
    read, call = prepare.read_source, Step.__call__

    def read_timed(*given: Any) -> Iterator[Raw | Skip]:
        return clock.over("reading", read(*given))

    def call_timed(step: Step, folder: Path, number: int) -> None:
        grouping = "duplicates" if step.name.startswith((groups.__name__, copies.__name__)) else "rest"
        clock.timed(STEPS.get(step.out or "", grouping), call)(step, folder, number)

    with ExitStack() as patches:
        for name, stage in CALLS.items():
            patches.enter_context(patch.object(prepare, name, clock.timed(stage, getattr(prepare, name))))
        patches.enter_context(patch.object(prepare, "read_source", read_timed))
        patches.enter_context(patch.object(Step, "__call__", call_timed))
        yield


def main(warc: Path, tokenizer: Path, out: Path, recipe_file: Path, overrides: list[str]) -> None:
    clock = Clock()

    recipe = CorpusRecipe.load(recipe_file, overrides)
    with watched(clock):
        manifest = build([warc], out / "corpus", recipe, workers=0)
    kept = [row["url"] for row in corpus_documents(out / "corpus", ["url"])]
    with clock.stage("tokens"):
        documents = shards.corpus_documents(out / "corpus")
        settings = shards.ShardRecipe(heldout_share=0.1)  # enough of few documents
        shards.encode(documents, open_tokenizer(tokenizer), settings, out / "tokens")
    clock.switch("rest")
    report = {
        "seconds": dict(clock.seconds),
        "documents": {row["stage"]: row["documents"] for row in manifest["funnel"]},
        "kept": kept,
        "peak_bytes": peak_memory(),
        "skipped": manifest["skipped"],
    }
    (out / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    warc, tokenizer, out, recipe_file = map(Path, sys.argv[1:5])
    main(warc, tokenizer, out, recipe_file, sys.argv[5:])
