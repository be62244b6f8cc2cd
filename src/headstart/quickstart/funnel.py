"""The funnel in tokens: what every stage held, counted with the tokenizer that came out at the end."""

from collections.abc import Iterable
from pathlib import Path

from headstart.corpus import iterate_raw
from headstart.corpus_folder import corpus_manifest
from headstart.folder import write_json
from headstart.progress import ProgressBar
from headstart.quickstart.facts import CountedStage
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.shards import batches, tokens_manifest

BATCH = 256


def count_funnel(inputs: list[Path], corpus: Path, tokens: Path, tokenizer: Tokenizer, out: Path) -> None:
    """Write the corpus's funnel with `tokens` added to every stage.

    The tokens folder knows what every stage held; the first is read again, because raw pages are not kept.
    """
    funnel: list[CountedStage] = [{**row} for row in corpus_manifest(corpus)["funnel"]]
    for row, counted in zip(funnel[1:], tokens_manifest(tokens).get("stages", []), strict=False):
        row["tokens"] = counted["tokens"]
    with ProgressBar("count tokens", None, "documents") as bar:
        funnel[0]["tokens"] = _count(tokenizer, iterate_raw(inputs), bar)
    write_json(out, funnel)


def _count(tokenizer: Tokenizer, texts: Iterable[str], bar: ProgressBar) -> int:
    total = 0
    for batch in batches(texts, BATCH):
        total += sum(map(len, tokenizer.encode_batch(batch)))
        bar.advance(len(batch))
    return total
