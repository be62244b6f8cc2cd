"""Labels live on characters: words, spans and tags, with emoji and combining marks."""

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.tasks.data.dataset import load_examples
from headstart.tasks.examples import Examples
from headstart.tasks.kinds.packing import EncodedWindow
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
from headstart.tasks.metrics.entities import entities, entity_f1, entity_kinds, of_kind

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
        "The", "U.S", ".", "captain", "'", "s", "ship", ",", "3,000", "t", "(", "e\u0301te\u0301", ")",
        "👍🏽", "!",
    ]  # fmt: skip
    assert words_in("Paris-based 3pm 1/2") == ["Paris", "-", "based", "3pm", "1", "/", "2"]
    assert words_in("我住在北京。서울에서 ぼく x1") == [*"我住在北京。", *"서울에서", *"ぼく", "x1"]


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


def settled(text, spans):
    """The example in a row, read as the only one of a file."""
    row, columns, notes = {"text": text, "entities": spans}, {"text": "text", "label": "entities"}, []
    Tagging().settle([("here", row)], columns, None, notes)
    return *Tagging().read_example("here", row, columns, Counter()), notes


@given(st.data())
def test_spans_come_back_out_of_tags(data):
    """What is a span of whole words stands in the tags; what is not is counted, and stands in none."""
    text = data.draw(st.text("ab c\u0301é👍🏽.北-", min_size=1, max_size=30))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    row = [
        {"start": a, "end": b, "label": data.draw(LABELS)}
        for a, b in zip(cuts[::2], cuts[1::2], strict=False)
    ]
    if not text.strip():
        return
    words, tags, _ = settled(text, row)
    assert len(words) == len(tags)
    starts, ends = {start for start, _ in words.spans}, {end for _, end in words.spans}
    wanted, cut = set(), []
    for one in row:
        part = text[one["start"] : one["end"]]
        if part.strip():
            start = one["start"] + len(part) - len(part.lstrip())
            start, end = outside_graphemes(text, start, start + len(part.strip()))
            whole = start in starts and end in ends
            wanted |= {Span(start, end, one["label"])} if whole else set()
            cut += [] if whole else [one["label"]]
    assert {Span(words.spans[f][0], words.spans[last][1], kind) for kind, f, last in tags.spans} == wanted
    assert sorted(tags.unreachable) == sorted(cut)
    if not cut and all(a.end <= b.start for a, b in pairwise(sorted(wanted))):
        assert set(entities(tags)) == set(tags.spans)


def test_spans_within_words_are_never_found():
    """A span that no words stand for is missed, whatever is answered."""
    words, tags, notes = settled("Parisreise und Oslo", [[0, 5, "LOC"], [15, 19, "LOC"]])
    assert (words, tags) == (["Parisreise", "und", "Oslo"], ["B-LOC", "O", "B-LOC"])
    assert any("1 of 2 spans begin or end within a word" in note for note in notes)
    assert entity_f1([tags], [list(tags)]).value == 0.5
    assert entity_f1([tags], [["O", "O", "B-LOC"]]).value == pytest.approx(2 / 3)
    assert entity_kinds([tags], [["O", "O", "O"]]) == ["LOC"]
    assert entity_f1([of_kind(tags, "LOC")], [list(tags)]).value == 0.5


TEXTS_WITH_NAMES = [
    "John Smith went to Paris 0.",
    "In Rome , Anna saw 👍 Ben Bo .",
    "né à Zürich, Ümit sah 😀 Bonn .",
]
NAMES = ["John Smith", "Paris", "Rome", "Anna", "Ben Bo", "Zürich", "Ümit", "Bonn"]
UNITS = {"characters": ("utf-32-le", 4), "utf-16": ("utf-16-le", 2), "utf-8": ("utf-8", 1)}


def counted(text, place, unit):
    encoding, size = UNITS[unit]
    return len(text[:place].encode(encoding)) // size


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("shift", [(0, 0), (0, -1), (1, 1), (1, 0)])
def test_ways_to_count_are_recognised(tmp_path, unit, shift):
    """Every way to count gives the same examples; the usual one is not mended."""
    rows = []
    for text in TEXTS_WITH_NAMES * 4:
        spans = [(text.index(name), text.index(name) + len(name)) for name in NAMES if name in text]
        spans = [
            [counted(text, a, unit) + shift[0], counted(text, b, unit) + shift[1], "X"] for a, b in spans
        ]
        rows.append({"text": text, "label": spans})
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = load_examples(file)
    for words, tags in zip(found.inputs, found.targets, strict=True):
        said = [words.text[words.spans[f][0] : words.spans[last][1]] for _, f, last in entities(tags)]
        assert said == sorted((name for name in NAMES if name in words.text), key=words.text.index)
        assert not tags.unreachable
    mended = any("spans began or ended within a word" in note for note in found.notes)
    assert mended == ((unit, shift) != ("characters", (0, 0)))
    again = load_examples(file, "tagging", like=found.reading)
    assert again.targets == found.targets
    few = tmp_path / "few.jsonl"  # which do not tell how they are counted
    few.write_text(json.dumps(rows[0]) + "\n")
    again = load_examples(few, "tagging", like=found.reading)
    assert again.targets == found.targets[:1]
    assert not any("within a word; the words" in note for note in again.notes)


def test_other_files_may_count_otherwise(tmp_path):
    """What a file shows of itself comes before what training had."""
    files = []
    for end in (3, 4):
        files.append(tmp_path / f"{end}.jsonl")
        rows = [{"text": f"Anna lives {n}", "label": [[0, end, "X"]]} for n in range(6)]
        files[-1].write_text("".join(json.dumps(row) + "\n" for row in rows))
    inclusive, usual = map(load_examples, files)
    for file, other in zip(files, (usual, inclusive), strict=True):
        found = load_examples(file, "tagging", like=other.reading)
        assert found.targets == usual.targets
        assert not any(tags.unreachable for tags in found.targets)


def test_spans_that_fit_no_words_are_refused(tmp_path):
    file = tmp_path / "a.jsonl"
    rows = [{"text": "John Smith went to Paris", "entities": [[2, 6, "X"]]}] * 8
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(HeadstartError, match="8 of 8 spans begin or end within a word, in whatever way"):
        load_examples(file)


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
        settled("Anna ran.", spans)


def test_overlapping_spans_keep_the_first():
    words = words_in("New York City")
    assert tags_of(words, [Span(0, 8, "LOC"), Span(4, 13, "ORG")]) == ["B-LOC", "I-LOC", "B-ORG"]


def test_words_in_one_token_go_on_with_its_span(monkeypatch):
    """Two Chinese letters that a vocabulary holds as one token are one span, not two."""
    piece = EncodedWindow(np.array([0, 5, 6, 1]), np.array([1, 1, 2]), 0, weight=3, items=np.arange(3))
    monkeypatch.setattr(Tagging, "encode", lambda *_: [piece])

    class Model:
        tokenizer, max_tokens, facts, labels = None, 8, None, ["B-LOC", "I-LOC", "O"]

        def outputs(self, pieces, inputs):
            return [np.array([[4.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 0.0, 4.0]], dtype=np.float32)]

    words = words_in("北京。")
    (result,) = Tagging().results(Model(), [words])
    assert Tagging().predicted(result, words, Model.labels) == ["B-LOC", "I-LOC", "O"]
    train = Examples("tagging", [words], [["B-LOC", "I-LOC", "O"]])
    assert Tagging().targets(train, [piece], Model.labels)[0].tolist() == [0, -100, 2]
