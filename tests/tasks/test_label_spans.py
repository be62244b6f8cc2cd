"""Labels live on characters: words, spans and tags, with emoji and combining marks."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.tasks.kinds.spans import (
    Span,
    as_bio,
    inside_grapheme,
    outside_graphemes,
    scheme_of,
    tags_of,
    words_in,
)
from headstart.tasks.kinds.tagging import Tagging
from headstart.tasks.metrics.entities import entities

SIGNS = ["e\u0301", "👩🏽\u200d🚀", "🇩🇪", "☝️", "ö", "x", " ", ".", "n\u0303\u0323", "नि"]
TEXTS = st.lists(st.sampled_from(SIGNS), max_size=12)
LABELS = st.sampled_from(["PER", "LOC"])


@given(TEXTS)
def test_signs_are_never_cut(signs):
    text = "".join(signs)
    borders = {0}
    for sign in signs:
        borders.add(max(borders) + len(sign))
    # Two flags in a row, and a mark behind a blank, are told apart from what they follow.
    assert {place for place in range(len(text) + 1) if not inside_grapheme(text, place)} == borders
    for start in range(len(text)):
        first, last = outside_graphemes(text, start, start + 1)
        assert {first, last} <= borders
        assert first <= start < last


@given(TEXTS, st.text(max_size=20))
def test_words_hold_every_letter(signs, other):
    for text in ("".join(signs), other):
        words = words_in(text)
        assert list(words) == [text[start:end] for start, end in words.spans]
        assert "".join("".join(words).split()) == "".join(text.split())
        assert all(a[1] <= b[0] for a, b in zip(words.spans, words.spans[1:], strict=False))


def test_words():
    assert words_in("The U.S. captain's ship, 3,000 t (e\u0301te\u0301) 👍🏽!") == [
        "The", "U.S", ".", "captain's", "ship", ",", "3,000", "t", "(", "e\u0301te\u0301", ")", "👍🏽", "!",
    ]  # fmt: skip
    assert words_in("Newtown", borders=[3]) == ["New", "town"]


@given(st.lists(st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "E-LOC", "S-PER"]), max_size=12))
def test_bio_says_the_same(tags):
    bio = as_bio(tags)
    assert entities(bio) == entities(tags)
    assert not scheme_of([bio])[1]


def test_schemes_are_recognised_and_checked():
    iob1 = ["I-PER", "I-PER", "O", "I-LOC", "B-LOC"]
    assert scheme_of([iob1])[0] == "IOB1"
    assert as_bio(iob1) == ["B-PER", "I-PER", "O", "B-LOC", "B-LOC"]
    assert scheme_of([["B-PER", "I-PER", "O"]]) == ("BIO", {})
    scheme, broken = scheme_of([["B-PER", "O", "I-LOC"]])
    assert (scheme, sum(broken.values())) == ("BIO", 1)
    assert scheme_of([["B-PER", "E-PER", "S-LOC"], ["U-LOC"]]) == ("BIOES", {})
    assert sum(scheme_of([["B-PER", "O", "E-LOC"], ["I-PER", "E-PER"]])[1].values()) == 3


@given(st.data())
def test_spans_come_back_out_of_tags(data):
    text = data.draw(st.text("ab c\u0301é👍🏽.", min_size=1, max_size=30))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    row = [
        {"start": a, "end": b, "label": data.draw(LABELS)}
        for a, b in zip(cuts[::2], cuts[1::2], strict=False)
    ]
    if not text.strip():
        return
    words, tags = Tagging().read_example(
        "here", {"text": text, "entities": row}, {"text": "text", "label": "entities"}, Counter()
    )
    assert len(words) == len(tags)
    found = [Span(words.spans[f][0], words.spans[last][1], kind) for kind, f, last in entities(tags)]
    whole = [one for one in row if text[one["start"] : one["end"]].strip()]
    wanted = []
    for one in whole:
        part = text[one["start"] : one["end"]]
        start = one["start"] + len(part) - len(part.lstrip())
        wanted.append(outside_graphemes(text, start, start + len(part.strip())))
    if all(a[1] <= b[0] for a, b in pairwise(wanted)):
        assert [(span.start, span.end) for span in found] == wanted
        assert [span.label for span in found] == [one["label"] for one in whole]


@pytest.mark.parametrize(
    ("spans", "words"),
    [
        ([{"start": 3, "end": 99, "label": "X"}], "lies outside its text of 9 characters"),
        ([[5, 2, "X"]], "lies outside"),
        ([{"start": 0, "end": 2}], "has no label"),
        ([{"begin": 0}], "spans are written"),
    ],
)
def test_wrong_spans_end_in_a_sentence(spans, words):
    with pytest.raises(HeadstartError, match=f"here: .*{words}"):
        Tagging().read_example(
            "here", {"text": "Anna ran.", "entities": spans}, {"text": "text", "label": "entities"}, None
        )


def test_overlapping_spans_keep_the_first():
    words = words_in("New York City")
    assert tags_of(words, [Span(0, 8, "LOC"), Span(4, 13, "ORG")]) == ["B-LOC", "I-LOC", "B-ORG"]
