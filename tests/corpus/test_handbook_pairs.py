"""The benchmark of languages: which part of a handbook's text belongs to which of its pages."""

import gzip
from pathlib import Path

import pytest
from raw_files import prose

from benchmarks.extraction.languages import character_f1, handbook, measure

NAVIGATION = '<div class="nav"><a href="a.html">Back</a> <a href="b.html">Next</a></div>'


def written(folder: Path, titles: dict[str, str]) -> Path:
    """A handbook as pages and as text, whose table of contents names every title first."""
    folder.mkdir(parents=True)
    for name, title in titles.items():
        head = f"<html><title>{title} — A handbook</title>{NAVIGATION}"
        html = f"{head}<h1>{title}</h1><p>{prose(len(name), 5)}</p>"
        (folder / f"{name}.html").write_text(html)
    contents = "\n".join(f"    {title}" for title in titles.values())
    body = "\n\n".join(f"{title}\n\n{prose(len(name), 5)}" for name, title in titles.items())
    text = f"Contents\n\n{contents}\n{'  '.join(titles.values())}\n\n{body}\n"
    (folder / "book.txt.gz").write_bytes(gzip.compress(text.replace("“", '"').encode()))
    return folder / "book.txt.gz"


def test_each_page_has_its_own_part(tmp_path: Path) -> None:
    titles = {"a": "1. The “harbour” of the town", "bb": "2. Boats", "ccc": "2.1. Boats of wood"}
    book = handbook(written(tmp_path / "pt_BR", titles))
    assert (book.language, book.unpaired) == ("pt", 0)
    for part, (name, title) in zip(book.parts, titles.items(), strict=True):
        assert part.text.strip() == f"{title}\n\n{prose(len(name), 5)}".replace("“", '"')


def test_what_cannot_be_paired_is_counted(tmp_path: Path) -> None:
    text = written(tmp_path / "handbook", {"a": "1. The harbour", "bb": "2. Boats"})
    (tmp_path / "handbook" / "z.html").write_text("<title>3. Nowhere</title><p>x</p>")
    (tmp_path / "handbook" / "y.html").write_text("<p>no title</p>")
    book = handbook(text)
    assert (book.language, len(book.parts), book.unpaired) == ("en", 2, 2)


def test_scores(tmp_path: Path) -> None:
    pytest.importorskip("trafilatura")
    book = handbook(written(tmp_path / "de", {"a": "1. The harbour", "bb": "2. Boats"}))
    found = measure([book], 1)["languages"]["de"]
    assert found["pages"] == 1
    assert 0.5 < found["whole page"] < found["headstart"] <= 1


def test_characters_are_counted_wherever_lines_break() -> None:
    assert character_f1("港は 古い。", "港\nは古い") == 1
    assert character_f1("港は", "港") == pytest.approx(2 / 3)
