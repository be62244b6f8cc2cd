"""From a raw crawl to a clean corpus: reading, extraction, language, rules, duplicates, mixing."""

from headstart.corpus.extract import extract_text
from headstart.corpus.pipeline import build, read_documents
from headstart.corpus.read import iterate_raw
from headstart.corpus.recipe import CorpusRecipe

__all__ = ["CorpusRecipe", "build", "extract_text", "iterate_raw", "read_documents"]
