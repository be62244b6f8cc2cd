"""A signal and two filters of one's own for `headstart corpus`.

headstart corpus crawl --out corpus "extensions=[examples/corpus_extension.py]" "rules.digits=digits > 0.2"

A function gets a batch of documents (512 at most) and answers with a list, one entry a document. So a
classifier may score a whole batch at once; load it in a function of its own with `functools.cache`, so that
each worker loads it once.
"""

from headstart.corpus import Document, document_filter, signal


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
    """Pages from before 2010. What a stage behind the duplicates looks at is what these have left."""
    return [f"dated {one.date[:10]}" if one.page and "" < one.date < "2010" else None for one in documents]
