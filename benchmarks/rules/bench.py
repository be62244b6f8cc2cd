"""Do our rules decide as datatrove's filters do, and how much faster?

The documents are real: pages of the data folder as our extractor reads them, film reviews, and paragraphs of
the Universal Declaration of Human Rights. Each rule stands alone in a filter of datatrove, and in a rule of
ours with the same threshold; both see the same texts. A difference is explained by an experiment that takes
it away: giving our signals spaCy's words, giving datatrove the text without its empty lines, and so on.

    make bench-rules DATA=FOLDER

Prints one line of JSON at the end and writes it, indented, to --out.
"""

import argparse
import gzip
import json
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils.word_tokenizers import load_word_tokenizer

from headstart.corpus.extract.page import extract_text
from headstart.corpus.extract.page_lines import Lines, drop_lines
from headstart.corpus.filters.rules import parse_rule
from headstart.corpus.filters.signals import STOP_WORDS, Measured, compute_signals, measure, stop_word_hashes
from headstart.corpus.text.language import identify_language
from headstart.corpus.text.word_tokens import of_spans, tokenize
from headstart.corpus.text.words import split_words
from headstart.errors import HeadstartError
from headstart.folder import write_json

RESULTS = Path(__file__).parent.parent / "results"
PAGES = ("web/wcxb_dev", "web/segments", "web/articles", "web/pages")
REVIEWS = 1_200
TIMED = 4  # of so many English documents one is timed
SENTENCES = "too_few_sentences"
LINE_ENDS = str.maketrans(dict.fromkeys("\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029", " "))  # beside those of Unix
CURRENCIES = {point: " " for point in range(0x10000) if unicodedata.category(chr(point)) == "Sc"}

# Languages whose words spaCy tells without a dictionary of their own, by datatrove's names for them.
LANGUAGES = {
    "en": "eng", "de": "deu", "fr": "fra", "es": "spa", "it": "ita", "pt": "por", "nl": "nld", "sv": "swe",
    "da": "dan", "pl": "pol", "ru": "rus", "fi": "fin", "tr": "tur", "cs": "ces", "hu": "hun", "el": "ell",
    "id": "ind", "uk": "ukr",
}  # fmt: skip


@dataclass
class Text:
    """One document."""

    text: str
    language: str
    origin: str


Filter = Callable[[Text], Any]

_NO_QUALITY = dict.fromkeys(
    (
        "min_doc_words", "max_doc_words", "min_avg_word_length", "max_avg_word_length",
        "max_symbol_word_ratio", "max_bullet_lines_ratio", "max_ellipsis_lines_ratio",
        "max_non_alpha_words_ratio", "min_stop_words",
    )
)  # fmt: skip
_NO_REPETITION: dict[str, Any] = dict.fromkeys(
    ("dup_line_frac", "dup_para_frac", "dup_line_char_frac", "dup_para_char_frac")
) | {"top_n_grams": (), "dup_n_grams": ()}
_NO_C4: dict[str, Any] = {
    "remove_citations": False, "filter_no_terminal_punct": False, "min_num_sentences": -1,
    "min_words_per_line": -1, "max_word_length": -1, "filter_lorem_ipsum": False, "filter_javascript": False,
    "filter_curly_bracket": False, "filter_policy": False,
}  # fmt: skip
_NO_FINEWEB = {
    "line_punct_thr": -1, "short_line_thr": 2, "char_duplicates_ratio": 2, "new_line_ratio": float("inf"),
}  # fmt: skip


def gopher(**setting: Any) -> Callable[[str], GopherQualityFilter]:
    return lambda language: GopherQualityFilter(
        **_NO_QUALITY | setting, stop_words=STOP_WORDS.get(language, "").split(), language=LANGUAGES[language]
    )


def repetition(**setting: Any) -> Callable[[str], GopherRepetitionFilter]:
    return lambda language: GopherRepetitionFilter(**_NO_REPETITION | setting, language=LANGUAGES[language])


def c4(**setting: Any) -> Callable[[str], C4QualityFilter]:
    return lambda language: C4QualityFilter(**_NO_C4 | setting, language=LANGUAGES[language])


def fineweb(**setting: Any) -> Callable[[str], FineWebQualityFilter]:
    return lambda language: FineWebQualityFilter(**_NO_FINEWEB | setting, language=LANGUAGES[language])


# Our rule, and a filter of datatrove with that rule alone.
RULES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "too_few_words": ("words < 50", gopher(min_doc_words=50)),
    "too_many_words": ("words > 100000", gopher(max_doc_words=100_000)),
    "short_words": ("mean_word_length < 3", gopher(min_avg_word_length=3)),
    "long_words": ("mean_word_length > 10", gopher(max_avg_word_length=10)),
    "symbols": ("hashes_per_word > 0.1 | ellipses_per_word > 0.1", gopher(max_symbol_word_ratio=0.1)),
    "bullet_lines": ("bullet_lines > 0.9", gopher(max_bullet_lines_ratio=0.9)),
    "ellipsis_lines": ("ellipsis_lines > 0.3", gopher(max_ellipsis_lines_ratio=0.3)),
    "words_without_letters": ("alphabetic_tokens < 0.8", gopher(max_non_alpha_words_ratio=0.8)),
    "no_stop_words": ("stop_words < 2", gopher(min_stop_words=2)),
    "repeated_lines": ("duplicate_lines > 0.3", repetition(dup_line_frac=0.3)),
    "repeated_paragraphs": ("duplicate_paragraphs > 0.3", repetition(dup_para_frac=0.3)),
    "repeated_line_characters": ("duplicate_line_characters > 0.2", repetition(dup_line_char_frac=0.2)),
    "repeated_paragraph_characters": (
        "duplicate_paragraph_characters > 0.2", repetition(dup_para_char_frac=0.2),
    ),
    **{
        f"top_{n}_gram": (f"top_{n}_gram > {share}", repetition(top_n_grams=((n, share),)))
        for n, share in ((2, 0.2), (3, 0.18), (4, 0.16))
    },
    **{
        f"repeated_{n}_grams": (f"duplicate_{n}_grams > {share}", repetition(dup_n_grams=((n, share),)))
        for n, share in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.1))
    },
    "lorem_ipsum": ("lorem_ipsum > 0", c4(filter_lorem_ipsum=True)),
    "curly_brackets": ("curly_brackets > 0", c4(filter_curly_bracket=True)),
    SENTENCES: ("sentences < 5", c4(min_num_sentences=5, min_words_per_line=3)),
    "few_punctuated_lines": ("punctuated_lines < 0.12", fineweb(line_punct_thr=0.12)),
    "short_lines": ("short_lines > 0.67", fineweb(short_line_thr=0.67)),
    "repeated_characters": ("duplicate_characters_of_lines > 0.01", fineweb(char_duplicates_ratio=0.01)),
    "repeated_characters_paper": (
        "duplicate_characters_of_lines > 0.1", fineweb(char_duplicates_ratio=0.1),
    ),
    "many_newlines": ("newlines_per_word > 0.3", fineweb(new_line_ratio=0.3)),
}  # fmt: skip


# What both decide


def removes(rule: str, signals: dict[str, float]) -> bool:
    """Our decision: any of the rules between bars."""
    parts = [parse_rule(part) for part in rule.split("|")]
    return any(part.removes({part.signal: np.array([signals[part.signal]])})[0] for part in parts)


def filters(language: str) -> dict[str, Any]:
    return {name: make(language) for name, (_, make) in RULES.items()}


def removed_by(one: Any, text: str) -> bool:
    """datatrove's decision. Of a text without words some of its filters divide by zero."""
    try:
        return one.filter(Document(text=text, id="")) is not True
    except ZeroDivisionError:
        return True


def signals_of(text: str, language: str) -> dict[str, float]:
    return compute_signals(text, split_words(text), stop_word_hashes(STOP_WORDS.get(language, "")), language)


def long_lines(text: str) -> str:
    """A text without the lines that C4 drops before it counts sentences: those under three words."""
    return drop_lines(text, Lines(notices=False, citations=False, min_words=3))[0]


def spacy_spans(text: str, language: str) -> tuple[np.ndarray, np.ndarray]:
    """Start and end of each of datatrove's words."""
    spans, at = [], 0
    for word in load_word_tokenizer(LANGUAGES[language]).word_tokenize(text):
        at = text.index(word, at)
        spans.append((at, at + len(word)))
        at += len(word)
    starts, ends = np.array(spans, np.int64).reshape(-1, 2).T
    return starts, ends


# Why they differ: experiments after which they agree


def explain(name: str, one: Text, theirs: bool, filter_of: Any) -> str:
    rule = RULES[name][0]
    if name == SENTENCES:
        one = Text(long_lines(one.text), one.language, one.origin)
    words, stop_words = split_words(one.text), stop_word_hashes(STOP_WORDS.get(one.language, ""))
    starts, ends = spacy_spans(one.text, one.language)
    if removes(rule, measure(Measured(one.text, words, of_spans(words, starts, ends), stop_words))) == theirs:
        tokens = tokenize(one.text, words, one.language)
        return f"word borders: spaCy has {_odd_word(one.text, tokens, starts, ends)}"
    lowered = one.text.lower()
    ours = signals_of(one.text, one.language)
    if name == "no_stop_words" and removes(rule, ours) == removed_by(filter_of, lowered):
        return "case: datatrove does not know stop words at the beginning of a sentence"
    full = "\n".join(line for line in one.text.translate(LINE_ENDS).split("\n") if line.strip())
    if removes(rule, signals_of(full, one.language)) == removed_by(filter_of, full):
        return "empty lines: datatrove counts them, and ends lines at control characters too"
    if removes(rule, compute_signals(lowered, split_words(lowered), stop_words, one.language)) == removed_by(
        filter_of, lowered
    ):
        return "case: datatrove tells n-grams apart by their case"
    unpriced = one.text.translate(CURRENCIES)
    if removes(rule, signals_of(unpriced, one.language)) == removed_by(filter_of, unpriced):
        return "signs: datatrove counts those of currencies as words"
    return "unexplained"


def _odd_word(text: str, tokens: Any, starts: np.ndarray, ends: np.ndarray) -> str:
    """The word of spaCy's that we cut otherwise, with the most occurrences."""
    ours = set(zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True))
    odd = Counter(
        text[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True) if (a, b) not in ours
    )
    return repr(odd.most_common(1)[0][0]) if odd else "other signs"


# The documents


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path) as file:
        for line in file:
            yield json.loads(line)


def documents(data: Path) -> list[Text]:
    texts = []
    for name in PAGES:
        texts += [(page_text(row["html"]), name) for row in rows(data / f"{name}.jsonl.gz")]
    reviews = [row["text"] for row in rows(data / "reviews/dev.jsonl.gz")][:REVIEWS]
    texts += [(text, "reviews") for text in reviews]
    texts += [(row["text"], "languages/udhr") for row in rows(data / "languages/udhr.jsonl.gz")]
    found = [Text(text, identify_language(text)[0], origin) for text, origin in texts if text.strip()]
    return [one for one in found if one.language in LANGUAGES]


def speed(texts: list[Text]) -> dict[str, Any]:
    """CPU time of all our signals beside datatrove's four filters with their defaults, in turn, text by text.

    As in datatrove's FineWeb, the next filter sees only what the one before has kept; spaCy is loaded before.
    """
    chain = [
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ]
    seconds = {"ours": 0.0, "datatrove": 0.0}
    signals_of(texts[0].text, "en")
    load_word_tokenizer("eng").word_tokenize("a")
    for one in texts:
        began = time.process_time()
        signals_of(one.text, "en")
        between = time.process_time()
        document = Document(text=one.text, id="")
        all(each.filter(document) is True for each in chain)
        seconds["datatrove"] += time.process_time() - between
        seconds["ours"] += between - began
    return {
        "timed_documents": len(texts),
        "ours_ms": round(1e3 * seconds["ours"] / len(texts), 3),
        "datatrove_ms": round(1e3 * seconds["datatrove"] / len(texts), 3),
        "speedup": round(seconds["datatrove"] / seconds["ours"], 1),
    }


def page_text(html: str) -> str:
    try:
        return extract_text(html)
    except HeadstartError:  # nested too deep to be read
        return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="the folder with web/, reviews/ and languages/")
    parser.add_argument("--out", type=Path, default=RESULTS / "rules-here.json")
    given = parser.parse_args()
    texts = documents(given.data)
    print(f"{len(texts):,} documents: {dict(Counter(one.origin for one in texts))}")
    print(f"languages: {dict(Counter(one.language for one in texts).most_common())}")

    signals = [signals_of(one.text, one.language) for one in texts]
    by_language = {language: filters(language) for language in LANGUAGES}
    theirs: dict[str, list[bool]] = {name: [] for name in RULES}
    for one in texts:
        for name, filter_of in by_language[one.language].items():
            theirs[name].append(removed_by(filter_of, one.text))

    report: dict[str, Any] = {}
    differs = np.zeros(len(texts), bool)
    english = np.array([one.language == "en" for one in texts])
    print(f"\n{'rule':32}{'equal':>9}{'english':>9}{'removed':>9}{'ours only':>11}{'theirs only':>13}  why")
    for name, (rule, _) in RULES.items():
        known = [n for n, one in enumerate(texts) if name != "no_stop_words" or one.language in STOP_WORDS]
        if name == SENTENCES:
            ours = np.array([removes(rule, signals_of(long_lines(texts[n].text), "en")) for n in known])
        else:
            ours = np.array([removes(rule, signals[n]) for n in known])
        their = np.array([theirs[name][n] for n in known])
        unlike = np.flatnonzero(ours != their)
        differs[[known[place] for place in unlike]] = True
        why = Counter(
            explain(
                name, texts[known[place]], bool(their[place]), by_language[texts[known[place]].language][name]
            )
            for place in unlike
        )
        reasons = Counter(reason.partition(":")[0] for reason in why.elements())
        report[name] = {
            "rule": rule,
            "documents": len(known),
            "equal": round(1 - len(unlike) / len(known), 5),
            "equal_english": round(1 - english[known][unlike].sum() / english[known].sum(), 5),
            "removed_by_datatrove": int(their.sum()),
            "ours_only": int((ours & ~their).sum()),
            "theirs_only": int((their & ~ours).sum()),
            "why": dict(reasons),
            "examples": dict(why.most_common(5)),
        }
        row = report[name]
        print(
            f"{name:32}{row['equal']:9.2%}{row['equal_english']:9.2%}{row['removed_by_datatrove']:9}{row['ours_only']:11}"
            f"{row['theirs_only']:13}  {', '.join(f'{reason} {count}' for reason, count in reasons.items())}"
        )
    result = {
        "documents": len(texts),
        "lowest_equal": min(row["equal"] for row in report.values()),
        "lowest_equal_english": min(row["equal_english"] for row in report.values()),
        "documents_equal_in_all": round(1 - differs.mean(), 5),
        "unexplained": sum(row["why"].get("unexplained", 0) for row in report.values()),
        **speed([one for one in texts if one.language == "en"][::TIMED]),
        "datatrove": version("datatrove"),
        "python": sys.version.split()[0],
    }
    write_json(given.out, result | {"rules": report})
    print(json.dumps(result))


if __name__ == "__main__":
    main()
