"""Raw pages to token shards: headstart beside datatrove, the same rules over the same WARC, in turn.

Figures are CPU seconds of one process, so that what else the machine does matters little; ours are the mean
of a run before datatrove's and one behind it. Pages a core-second count every record of the WARC, and all
that a run costs but imports; `fixed_seconds` of it would be spent on any number of pages, as a run over few
shows. Extraction is scored by word F1 against labelled pages, averaged over pages.

    python -m benchmarks.corpus.bench DATA --peer PYTHON_OF_DATATROVE

DATA holds `web/` with the sets of `pages.SETS` as gzip JSON lines. Pages that no extractor has learnt from
are scored if there are any (`pages.HELD_BACK`). Prints one line of JSON at the end and writes it to
benchmarks/results/corpus-PROCESSOR.json.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tokenizers

from benchmarks.corpus.pages import HELD_BACK, labelled, write_warc
from headstart.corpus import extract_text
from headstart.corpus_folder import DocumentRow
from headstart.folder import remove, write_json
from headstart.tokenizer.byte_level import ByteLevelTokenizer
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.shards import ShardRecipe, encode
from headstart.tokenizer.train import TokenizerRecipe, train
from headstart.training.machine import processor

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # CPU seconds are counted
HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
STAGES = (
    "reading",
    "extraction",
    "language",
    "filters",
    "signatures",
    "duplicates",
    "pii",
    "writing",
    "tokens",
)
RECIPE = HERE.parent.parent / "recipes" / "corpus-fineweb.yaml"  # the rules of datatrove's example
FEW = 40  # pages of the run that shows what is fixed
VARIANTS = {"headstart": "headstart", "headstart, fast extractor": "resiliparse"}


def run(python: str, script: str, *given: str, out: Path) -> dict[str, Any]:
    """One pipeline in a process of its own; its report."""
    out.mkdir()
    subprocess.run([python, "-m", f"benchmarks.corpus.{script}", *given], check=True)
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.lower()))


def mean_f1(pairs: list[tuple[str, str]]) -> float:
    """Word F1 of extracted text against the text wanted, averaged over pages."""
    scores = []
    for found, wanted in pairs:
        first, second = words(found), words(wanted)
        shared = sum((first & second).values())
        total = sum(first.values()) + sum(second.values())
        scores.append(2 * shared / total if total else 1.0)
    return sum(scores) / len(scores)


def token_rates(tokenizer: Path, texts: list[str], folder: Path) -> dict[str, float]:
    """MB of text a core-second: token shards written by headstart, beside encoding alone by others.

    `tiktoken` has headstart's merges, `tokenizers` reads the same file. Best of three rounds, in turn.
    """
    ours = open_tokenizer(tokenizer)
    assert isinstance(ours, ByteLevelTokenizer)
    plain = ours._encoding
    theirs = tokenizers.Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    documents: list[DocumentRow] = [
        {"id": str(n), "text": text, "domain": "web"} for n, text in enumerate(texts)
    ]
    rounds: list[tuple[str, Callable[[], Any]]] = [
        ("headstart tokenizer encode", lambda: encode(documents, ours, ShardRecipe(), folder)),
        ("tiktoken encode_ordinary_batch", lambda: plain.encode_ordinary_batch(texts, num_threads=1)),
        ("tokenizers encode_batch_fast", lambda: theirs.encode_batch_fast(texts)),
    ]
    best: dict[str, float] = {}
    for _ in range(3):
        for name, call in rounds:
            remove(folder)
            started = time.process_time()
            call()
            rate = sum(len(text.encode()) for text in texts) / 1e6 / (time.process_time() - started)
            best[name] = round(max(best.get(name, 0.0), rate), 2)
    return best


def summary(
    reports: list[dict[str, Any]], records: int, few: dict[str, Any], few_records: int
) -> dict[str, Any]:
    """The figures of a pipeline from its runs, which differ in seconds alone, and from one over few pages."""
    total = Counter[str]()
    for report in reports:
        total.update({stage: one / len(reports) for stage, one in report["seconds"].items()})
    seconds = {stage: total[stage] for stage in STAGES}
    seconds["rest"] = total.total() - sum(seconds.values())
    a_page = (total.total() - sum(few["seconds"].values())) / (records - few_records)
    return {
        "pages_per_core_second": round(records / total.total(), 2),
        "fixed_seconds": round(total.total() - a_page * records, 2),
        "peak_mb": round(max(report["peak_bytes"] for report in reports) / 1e6),
        "kept": len(reports[0]["kept"]),
        "ms_per_page": {stage: round(1000 * one / records, 3) for stage, one in seconds.items()},
        "documents": reports[0]["documents"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--peer", required=True, help="the Python of an environment with datatrove")
    parser.add_argument("--pages", type=int, help="how many pages; all by default")
    parser.add_argument("--out", type=Path, default=RESULTS / "corpus-here.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        warc, few = folder / "all" / "pages.warc.gz", folder / "few" / "pages.warc.gz"
        tokenizer = folder / "tokenizer"
        made, few_made = write_warc(given.data, warc, given.pages), write_warc(given.data, few, FEW)
        records, few_records = (one["pages"] + one["exact"] + one["near"] for one in (made, few_made))
        held_back = (given.data / "web" / f"{HELD_BACK}.jsonl.gz").exists()
        truth = {row["url"]: row for row in labelled(given.data, HELD_BACK if held_back else "wcxb_dev")}
        train((row["text"] for row in truth.values()), TokenizerRecipe(vocab_size=32_000), tokenizer)
        print(f"{records} records, {made['bytes'] / 1e6:.0f} MB of HTML", file=sys.stderr)

        def peer(pages: Path, out: Path) -> dict[str, Any]:
            ids = str(tokenizer / "tokenizer.json")
            return run(given.peer, "datatrove_fineweb", str(pages), ids, str(out), out=out)

        def ours(name: str, pages: Path, out: Path) -> dict[str, Any]:
            extractor = f"extractor={VARIANTS[name]}"
            files = (pages, tokenizer, out, RECIPE)
            return run(sys.executable, "ours", *map(str, files), extractor, out=out)

        start = {name: ours(name, few, folder / f"{name}, few") for name in VARIANTS}
        peer_start = peer(few, folder / "peer, few")
        runs = {name: [ours(name, warc, folder / name)] for name in VARIANTS}
        theirs = peer(warc, folder / "peer")
        for name in reversed(VARIANTS):
            runs[name].append(ours(name, warc, folder / f"{name}, again"))
        texts = [row["text"] for row in truth.values() if row["text"]][:400]
        rates = token_rates(tokenizer, texts, folder / "tokens")
    scored = [url for url in theirs["texts"] if url in truth]
    baseline = summary([theirs], records, peer_start, few_records)
    baseline["extraction_f1"] = round(
        mean_f1([(theirs["texts"][url], truth[url]["text"]) for url in scored]), 3
    )
    table = {"datatrove 0.10.1": baseline}
    for name, reports in runs.items():
        table[name] = summary(reports, records, start[name], few_records)
        table[name]["extraction_f1"] = round(
            mean_f1(
                [
                    (extract_text(truth[url]["html"], url, VARIANTS[name]), truth[url]["text"])
                    for url in scored
                ]
            ),
            3,
        )
    for stage in (*STAGES, "rest"):
        print(
            f"{stage:>12}",
            *(f"{one['ms_per_page'][stage]:>10.3f}" for one in table.values()),
            file=sys.stderr,
        )
    best = table[next(iter(VARIANTS))]

    def filters(one: dict[str, Any]) -> float:
        return one["ms_per_page"]["filters"] + one["ms_per_page"]["language"]

    result = {
        "speedup_total": round(best["pages_per_core_second"] / baseline["pages_per_core_second"], 2),
        "speedup_filters": round(filters(baseline) / filters(best), 2),
        "pages_per_core_second": best["pages_per_core_second"],
        "extraction_f1": best["extraction_f1"],
        "slower_stages": [s for s in STAGES if best["ms_per_page"][s] > baseline["ms_per_page"][s]],
        "tokens_mb_per_core_second": rates,
        "records": records,
        "scored_pages": len(scored),
        "scored_pages_seen_in_training": not held_back,
        "speedup_total_fast": round(
            table["headstart, fast extractor"]["pages_per_core_second"] / baseline["pages_per_core_second"], 2
        ),
        "processor": processor(),
        "pipelines": table,
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(given.out, result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
