"""headstart's corpus pipeline over a WARC, stage by stage: the product as it is, in one process.

python ours.py WARC TOKENIZER OUT [KEY=VALUE]...
"""

import json
import sys
from pathlib import Path
from typing import Any

from clock import Clock, peak_memory

from headstart.corpus import CorpusRecipe, build, judge, prepare
from headstart.corpus.dedup import deduplicate
from headstart.corpus.dedup.documents import EXACT, NEAR
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
    "replace": "pii",
    "identify": "language",
    "split": "filters",
    "compute": "filters",
    "_grams": "signatures",
    "signatures": "signatures",
    "_write": "writing",
}
STEPS = {
    **dict.fromkeys(map(removed_by, (judge.EXTRACT, judge.LANGUAGE, judge.QUALITY)), "filters"),
    **dict.fromkeys(map(removed_by, (EXACT, NEAR)), "duplicates"),
    "digests": "duplicates",
    "exact": "duplicates",
    "bands": "signatures",
    "links": "duplicates",
    "histogram": "writing",
    "dealt": "writing",
    "documents": "writing",
}


def main(warc: Path, tokenizer: Path, out: Path, recipe_file: Path, overrides: list[str]) -> None:
    clock = Clock()
    for name, stage in CALLS.items():
        if hasattr(prepare, name):
            setattr(prepare, name, clock.timed(stage, getattr(prepare, name)))
    read = prepare.read
    prepare.read = lambda *given: clock.over("reading", read(*given))
    call = Step.__call__
    Step.__call__ = lambda step, *given: clock.timed(STEPS.get(step.out, "rest"), call)(step, *given)
    deduplicate.components = clock.timed("duplicates", deduplicate.components)

    recipe = CorpusRecipe.load(recipe_file, overrides)
    manifest: dict[str, Any] = build([warc], out / "corpus", recipe, workers=0)
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
    main(*map(Path, sys.argv[1:5]), sys.argv[5:])
