"""Extraction, normalisation, cutting and language."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_files import page, prose

from headstart.corpus import extract_text
from headstart.corpus.extract.page import cut_into_pieces, normalise
from headstart.corpus.text.language import identify_language
from headstart.errors import HeadstartError


def test_main_text_keeps_paragraphs_and_lists() -> None:
    html = "<body><nav>Home About</nav><div><div><main><h1>T</h1><p>First.</p><p>Second.</p>"
    html += "<ul><li>the first thing in a list<li>the second thing in a list</ul></main>"
    text = extract_text(html)
    assert "Home" not in text
    assert text.split("\n\n")[:3] == ["T", "First.", "Second."]
    assert text.count(" in a list") == 2
    assert "list\n" in text


@pytest.mark.parametrize(
    "html", ["<div>" * 100_000 + "x", "<i><div>" * 50_000, "<a-b>" * 3_000 + "x" + "</a-b>" * 3_000]
)
def test_deep_nesting_is_refused_at_once(html: str) -> None:
    code = "import sys; from headstart.corpus import extract_text; "
    code += "extract_text(sys.stdin.read(), extractor='resiliparse')"
    done = subprocess.run(
        [sys.executable, "-c", code], input=html, text=True, capture_output=True, timeout=600
    )
    assert "HeadstartError: this page nests elements more than" in done.stderr


def test_wide_and_sloppy_pages_are_not_deep() -> None:
    assert extract_text(page(1) + "<div><p>x</p></div>" * 2_000)
    assert extract_text("<p>word" * 5_000).count("word") > 4_900
    assert extract_text("<table>" + "<tr><td>word" * 2_000)


@pytest.mark.parametrize("html", ["", "<", "<html>", "\x00<p>a", "<!--" * 1_000, "&" * 1_000, "<p " * 10_000])
def test_odd_html_is_harmless(html: str) -> None:
    assert isinstance(extract_text(html), str)


def test_too_deep_is_one_sentence() -> None:
    with pytest.raises(HeadstartError, match=r"http://a\.b nests elements more than 512 deep"):
        extract_text("<div>" * 1_000, "http://a.b", "resiliparse")


@given(st.text())
def test_normalise_is_stable(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert "\r" not in once
    assert "\n\n\n" not in once


@given(st.text(alphabet="ab. \n", max_size=3_000), st.integers(1_000, 1_500))
def test_cut_loses_nothing_but_space_and_bounds_the_pieces(text: str, limit: int) -> None:
    pieces = cut_into_pieces(text, limit)
    assert all(len(piece) <= limit for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_cut_prefers_paragraphs_and_equal_pieces() -> None:
    text = "\n\n".join(prose(seed, 5) for seed in range(40))
    pieces = cut_into_pieces(text, 5_000)
    assert all(piece.endswith(".") for piece in pieces)
    assert min(map(len, pieces)) > 0.5 * max(map(len, pieces))


def test_language_of_plain_and_mixed_texts() -> None:
    english = "This is a perfectly ordinary sentence about the weather and the sea, written in English.\n"
    danish = "Dette er en helt almindelig sætning om vejret og havet, som er skrevet på dansk.\n"
    assert identify_language(english)[0] == "en"
    assert identify_language(danish)[0] == "da"
    assert identify_language(danish + 9 * english)[0] == "en"
    assert identify_language(3 * danish + 30 * english)[0] == "en"
    assert identify_language("")[1] < 0.65


def test_a_declared_language_holds_unless_the_text_is_clearly_another() -> None:
    english = "This is a perfectly ordinary sentence about the weather and the sea, written in English.\n"
    title = "Håndbog for medarbejdere om ferie og sygdom i virksomheden, gældende fra første januar.\n"
    page = title * 5 + english * 45
    language, score, foreign = identify_language(page, "da")
    assert (language, score > 0.8) == ("en", True)
    assert 0.05 < foreign < 0.3
    assert identify_language("Hej med dig", "da") == ("da", 1.0, 0.0)
    assert identify_language(title * 30, "da") == ("da", 1.0, 0.0)
