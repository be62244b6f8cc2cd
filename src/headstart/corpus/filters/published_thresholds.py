"""Thresholds by language that FineWeb-2 published (Penedo 2025, arXiv 2506.20920): 1,864 languages, each with
the numbers of its largest script, from the configs of github.com/huggingface/fineweb-2 (Apache-2.0).

They were found over words from segmenters. Where a script without spaces is counted by signs (`segmenter`),
n-grams have as many signs as words have on average, and `shortest` and `longest` words are left out.
"""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import orjson

from headstart.corpus.filters.rules import Rule
from headstart.corpus.text import segments

_FILE = Path(__file__).with_name("fineweb2_thresholds.json.gz")


@dataclass(frozen=True)
class Published:
    """What holds for the documents of one language.

    Attributes:
        label: language and script, as `dan_Latn`.
        score: how sure the language has to be, by GlotLID.
        stop_words: with spaces between them.
        rules: by the names that headstart's own rules have; None: switched off.
    """

    label: str
    score: float
    stop_words: str
    rules: Mapping[str, Rule | None]


@cache
def fineweb2(segmented: bool = False) -> Mapping[str, Published]:
    """The thresholds by the code of a language, of two letters where it has one.

    Args:
        segmented: whether texts without spaces are cut into words, whose length means something.
    """
    table = orjson.loads(gzip.decompress(_FILE.read_bytes()))
    by_signs = () if segmented else segments.LANGUAGES
    return {
        code: Published(row["from"], row["score"], row["stop_words"], _rules(row, code in by_signs))
        for code, row in table.items()
    }


def _rules(row: dict, without_spaces: bool) -> dict[str, Rule | None]:
    rules: dict[str, Rule | None] = {
        "repeated_lines": Rule("duplicate_lines", ">", row["duplicate_lines"]),
        "short_words": Rule("mean_word_length", "<", row["shortest"]) if row["shortest"] else None,
        "long_words": Rule("mean_word_length", ">", row["longest"]),
        "words_without_letters": Rule("alphabetic_tokens", "<", row["letters"]),
        "many_newlines": Rule("newlines_per_word", ">", row["newlines"]),
        "few_punctuated_lines": Rule("punctuated_lines", "<", row["punctuated"])
        if row["punctuated"]
        else None,
    }
    if without_spaces:
        rules |= {"short_words": None, "long_words": None}
    for n, most in enumerate(row["top"], 2):
        rules[f"top_{n}_gram"] = Rule(f"top_{n}_gram", ">", most)
    for n, most in enumerate(row["repeated"], 5):
        rules[f"repeated_{n}_grams"] = Rule(f"duplicate_{n}_grams", ">", most)
    return rules
