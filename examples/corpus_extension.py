"""A corpus from a crawl, with a signal and two filters of your own.

    python examples/corpus_extension.py samples/crawl runs/filtered

or, with more settings and on any engine, on the command line:

    headstart corpus samples/crawl --out runs/filtered "extensions=[examples/corpus_extension.py]" \
        "rules.digits=digits > 0.2"

A function gets a batch of documents (512 at most) and returns a list with one entry for each. So a classifier
may score a whole batch at once; load it in a function of its own with `functools.cache`, so that each worker
loads it once.
"""

import sys
from pathlib import Path

from headstart.corpus import CorpusRecipe, Document, build, document_filter, signal


@signal
def digits(documents: list[Document]) -> list[float]:
    """share of characters that are digits"""
    return [sum(map(str.isdigit, one.text)) / max(len(one.text), 1) for one in documents]


@document_filter
def unfinished(documents: list[Document]) -> list[str | None]:
    """Drafts: their first line says so."""
    lines = [one.text.partition("\n")[0] for one in documents]
    return [f"the first line is {line!r}" if line.startswith("DRAFT") else None for line in lines]


@document_filter(after="near duplicates")
def old_news(documents: list[Document]) -> list[str | None]:
    """Pages from before 2010. A filter after `near duplicates` sees only what that stage has kept."""
    return [f"dated {one.date[:10]}" if one.page and "" < one.date < "2010" else None for one in documents]


if __name__ == "__main__":
    crawl, out = map(Path, sys.argv[1:])
    recipe = CorpusRecipe.load(None, [f"extensions=[{__file__}]", "rules.digits=digits > 0.2"])
    for row in build([crawl], out, recipe)["funnel"]:
        print(f"{row['documents']:>9,} documents after {row['stage']}")
    print(f"what was removed, and why: {out}/report.html and {out}/removed")
