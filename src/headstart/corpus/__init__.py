"""From a raw crawl to a clean corpus: reading, extraction, language, rules, duplicates, mixing.

What others use stands in `_HOMES` and is imported when first used: extracting text needs no Parquet.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.corpus.extensions import Document, document_filter, signal
    from headstart.corpus.extract.page import extract_text
    from headstart.corpus.pipeline import build
    from headstart.corpus.readers.read import iterate_raw
    from headstart.corpus.recipe import CorpusRecipe

__all__ = [
    "CorpusRecipe",
    "Document",
    "build",
    "document_filter",
    "extract_text",
    "iterate_raw",
    "signal",
]

_HOMES = {
    "CorpusRecipe": "recipe",
    "Document": "extensions",
    "build": "pipeline",
    "document_filter": "extensions",
    "extract_text": "extract.page",
    "iterate_raw": "readers.read",
    "signal": "extensions",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"headstart.corpus.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'headstart.corpus' has no attribute {name!r}")
