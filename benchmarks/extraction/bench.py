"""Main text of labelled web pages: headstart's extractors beside trafilatura, page by page in turn.

    python -m benchmarks.extraction.bench DATA [--held-out FOLDER]

DATA holds sets as gzip JSON lines: `wcxb_dev` and `articles` with `html` and the wanted `text`, scored by
word F1 averaged over pages; `segments` with pieces `with` and `without`, scored by F1 over all pieces.

The classifier that comes with headstart was trained on these sets: its scores here are of its own training
pages. The honest ones are of `--held-out`, which trains a classifier for each fold of sites without that
fold (some minutes each, kept in FOLDER) and scores each page by the one that never saw its site.

`words` are all that an extractor kept. Pages a core-second are CPU time of one process on `wcxb_dev`,
decoding not included, all extractors on one page before the next. Prints one line of JSON and writes it to
--out.
"""

import argparse
import gzip
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from headstart.corpus.extract.line_classifier import load
from headstart.corpus.extract.main_text import main_text
from headstart.corpus.extract.page import extract_text, normalise
from headstart.corpus.extract.train_extractor import FOLDS, label, train, word_f1
from headstart.folder import write_json
from headstart.training.machine import processor

RESULTS = Path(__file__).parent.parent / "results"
TEXTS, PIECES = ("wcxb_dev", "articles"), "segments"

Extract = Callable[[str, str | None], str]


def trafilatura_fast(html: str, url: str | None) -> str:
    from trafilatura import extract

    return extract(html, url=url, fast=True) or ""


def named(extractor: str) -> Extract:
    return lambda html, url: extract_text(html, url, extractor)


EXTRACTORS: dict[str, Extract] = {
    "headstart": named("headstart"),
    "resiliparse": named("resiliparse"),
    "trafilatura": named("trafilatura"),
    "trafilatura fast": trafilatura_fast,
    "union": named("union"),
}


def rows(data: Path, name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


class Score:
    """Scores of one extractor: by set and page type, and over pieces."""

    def __init__(self) -> None:
        self.f1: dict[str, list[float]] = defaultdict(list)
        self.right = self.missed = self.wrong = 0

    def text(self, found: str, row: dict[str, Any], name: str) -> None:
        f1 = word_f1(found, row["text"])
        self.f1[name].append(f1)
        if "page_type" in row:
            self.f1[f"{name} {row['page_type']}"].append(f1)

    def pieces(self, found: str, row: dict[str, Any]) -> None:
        # Marks of lists and rows are not the page's text.
        flat = " ".join(re.sub(r"^- ", "", found, flags=re.MULTILINE).split())
        for piece in row["with"]:
            had = " ".join(piece.split()) in flat
            self.right += had
            self.missed += not had
        self.wrong += sum(" ".join(piece.split()) in flat for piece in row["without"])

    def summary(self) -> dict[str, float]:
        f1 = {name: round(float(np.mean(values)), 4) for name, values in self.f1.items()}
        return f1 | {PIECES: round(2 * self.right / (2 * self.right + self.missed + self.wrong), 4)}


def measure(data: Path) -> dict[str, Any]:
    """Scores and speed of every extractor."""
    scores = {name: Score() for name in EXTRACTORS}
    seconds = dict.fromkeys(EXTRACTORS, 0.0)
    words = dict.fromkeys(EXTRACTORS, 0)
    pages = 0
    for extract in EXTRACTORS.values():
        extract("<p>Imports and tables are loaded before the clock runs.</p>", None)
    for name in (*TEXTS, PIECES):
        for row in rows(data, name):
            pages += name == TEXTS[0]
            for extractor, extract in EXTRACTORS.items():
                started = time.process_time()
                found = extract(row["html"], row.get("url"))
                if name == TEXTS[0]:
                    seconds[extractor] += time.process_time() - started
                words[extractor] += len(found.split())
                if name == PIECES:
                    scores[extractor].pieces(found, row)
                else:
                    scores[extractor].text(found, row, name)
    return {
        name: {
            "pages_per_core_second": round(pages / seconds[name], 1),
            "words": words[name],
            **scores[name].summary(),
        }
        for name in EXTRACTORS
    }


def held_out(data: Path, folder: Path) -> dict[str, dict[str, float]]:
    """Scores of the classifier, over all pages and by fold, each page by one trained without its site."""
    folds = {"all": Score()}
    everything = [(name, row) for name in (*TEXTS, PIECES) for row in rows(data, name)]
    labelled = [
        label(row["html"], row.get("url"), row.get("text"), row.get("with"), row.get("without"))
        for _, row in everything
    ]
    for fold in range(FOLDS):
        kept = folder / f"without-{fold}.safetensors"
        if not kept.exists():
            train([page for page in labelled if page.fold != fold and page.weight.any()]).save(kept)
        classifier = load(kept)
        folds[str(fold)] = Score()
        for page, (name, row) in zip(labelled, everything, strict=True):
            if page.fold == fold:
                found = normalise(main_text(row["html"], classifier))
                for score in (folds["all"], folds[str(fold)]):
                    if name == PIECES:
                        score.pieces(found, row)
                    else:
                        score.text(found, row, name)
    return {name: score.summary() for name, score in folds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the folder with the labelled pages")
    parser.add_argument("--held-out", type=Path, help="train without each fold and score on it; kept here")
    parser.add_argument("--out", type=Path, default=RESULTS / "extraction-here.json")
    given = parser.parse_args()
    result: dict[str, Any] = {
        "machine": processor(),
        "trafilatura": version("trafilatura"),
        "resiliparse": version("resiliparse"),
        "extractors": measure(given.data),
    }
    if given.held_out:
        result["headstart held out"] = held_out(given.data, given.held_out)
    write_json(given.out, result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
