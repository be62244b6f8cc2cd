"""Main text of handbook pages in many languages: headstart's extractor beside others, scored by language.

    python -m benchmarks.extraction.languages FOLDER [--pages N]

FOLDER holds unpacked Debian packages of documentation (`make bench-extraction-languages` gets them) in which
a handbook is there twice: as web pages with their navigation, and as one text file in the same folder. Both
were made from one source by different programs. A page's wanted text is the part of the text file from the
page's title to the next title of a page. A title is found where whole lines of the text have its letters and
digits; the last such place counts, since tables of contents come first.

Not scored: pages whose title the text does not have, the pages of chapters that are cut into sections (their
content is a table of contents), and parts of less than 300 letters and digits. Chinese, Japanese and Korean
are scored by F1 over characters, because lines of the text break within words; the others by F1 over words.

`whole page` is what no extraction gives: all lines of the page. Prints one line of JSON and writes it to
--out.
"""

import argparse
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from html import unescape
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.extraction.bench import EXTRACTORS, RESULTS, Extract
from headstart.corpus.extract.blocks import read_page
from headstart.corpus.extract.train_extractor import word_f1
from headstart.corpus.readers.charsets import decode
from headstart.corpus.text.language_codes import is_language
from headstart.folder import write_json
from headstart.training.machine import processor

BY_CHARACTERS = ("ja", "ko", "zh")
LEAST = 300  # letters and digits of a part
TITLE_LINES = 4  # over which a title may go
_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
_OF_PAGE = re.compile(r"\s*[—–]\s(?=[^—–]*$)")  # between a page's title and the handbook's, in Sphinx


class Part(NamedTuple):
    """A page, and the text of the same part of the handbook."""

    html: str
    text: str


class Handbook(NamedTuple):
    """A handbook in one language: its pages with their texts, and how many pages could not be paired."""

    language: str
    parts: list[Part]
    unpaired: int


def letters(text: str) -> str:
    """A text's letters and digits alone, in small letters: programs write quotation marks as they like."""
    return "".join(filter(str.isalnum, text.casefold()))


def title_of(html: str) -> str:
    """A page's own title, without that of its handbook."""
    found = _TITLE.search(html)
    return letters(_OF_PAGE.split(unescape(found[1]))[0]) if found else ""


def begins(lines: list[str], titles: set[str]) -> dict[str, int]:
    """For each title the line at which its part begins, as far as it is found."""
    keys = [letters(line) for line in lines]
    found: dict[str, int] = {}
    for at, line in enumerate(lines):
        if not keys[at] or line[0].isspace():
            continue
        for behind in range(at + 1, at + 1 + TITLE_LINES):
            if (key := "".join(keys[at:behind])) in titles:
                found[key] = at
    return found


def handbook(text_file: Path) -> Handbook:
    """A handbook's pages beside its text file, each with its part of that."""
    folder = text_file.parent
    lines = decode(gzip.decompress(text_file.read_bytes()))[0].split("\n")
    pages = [decode(path.read_bytes())[0] for path in sorted(folder.glob("*.html"))]
    titles = [title_of(html) for html in pages]
    first = begins(lines, set(titles) - {""})
    order = sorted(first.values())
    parts = []
    for html, title in zip(pages, titles, strict=True):
        if title in first and titles.count(title) == 1:
            behind = next((at for at in order if at > first[title]), len(lines))
            text = "\n".join(lines[first[title] : behind])
            if len(letters(text)) >= LEAST and '<div class="toc">' not in html:
                parts.append(Part(html, text))
    name = folder.name.partition("_")[0]
    return Handbook(name if is_language(name) else "en", parts, len(pages) - len(parts))


def handbooks(folder: Path) -> Iterator[Handbook]:
    """All handbooks of unpacked packages."""
    for text_file in sorted(folder.rglob("*.txt.gz")):
        if any(text_file.parent.glob("*.html")):
            yield handbook(text_file)


def character_f1(found: str, wanted: str) -> float:
    """F1 over letters and digits, each as often as it occurs."""
    first, second = Counter(letters(found)), Counter(letters(wanted))
    total = first.total() + second.total()
    return 2 * (first & second).total() / total if total else 1.0


def whole_page(html: str, _url: str | None) -> str:
    return "\n".join(read_page(html).lines)


def measure(books: list[Handbook], most: int) -> dict[str, Any]:
    """By language: pages, and the mean F1 of every extractor over them."""
    extractors: dict[str, Extract] = {
        name: EXTRACTORS[name] for name in ("headstart", "trafilatura", "resiliparse")
    } | {"whole page": whole_page}
    by_language: dict[str, Any] = {}
    for language in sorted({book.language for book in books}):
        ours = [book for book in books if book.language == language]
        parts = [part for book in ours for part in _spread(book.parts, most)]
        score = character_f1 if language in BY_CHARACTERS else word_f1
        by_language[language] = {
            "handbooks": len(ours),
            "pages": len(parts),
            "not_scored": sum(book.unpaired for book in ours),
            "by": "characters" if language in BY_CHARACTERS else "words",
        } | {
            name: round(float(np.mean([score(extract(part.html, None), part.text) for part in parts])), 4)
            for name, extract in extractors.items()
        }
    means = {
        name: round(float(np.mean([row[name] for row in by_language.values()])), 4) for name in extractors
    }
    return {"languages": by_language, "mean over languages": means}


def _spread(parts: list[Part], most: int) -> list[Part]:
    """At most so many of the pages of a handbook, from its beginning to its end."""
    return [parts[at * len(parts) // most] for at in range(most)] if len(parts) > most else parts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="the folder with the unpacked packages")
    parser.add_argument("--pages", type=int, default=1000, help="at most so many of each handbook")
    parser.add_argument("--out", type=Path, default=RESULTS / "extraction-languages-here.json")
    given = parser.parse_args()
    books = list(handbooks(given.folder))
    if not books:
        raise SystemExit(f"no handbook in {given.folder}; run make bench-extraction-languages")
    result = {
        "machine": processor(),
        "packages": sorted(path.stem for path in given.folder.glob("*.deb")),
        "pages of a handbook at most": given.pages,
        "trafilatura": version("trafilatura"),
        "resiliparse": version("resiliparse"),
        **measure(books, given.pages),
    }
    write_json(given.out, result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
