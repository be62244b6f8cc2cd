"""Packing changes nothing but the speed."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.tasks.kinds.packing import EncodedWindow, encode_texts, encode_words, first_fit, pack
from headstart.tasks.model import TaskModel

PADDING = 7


def piece(ids: list[int], heads: list[int], owner: int) -> EncodedWindow:
    return EncodedWindow(np.array(ids), np.array(heads, dtype=np.int64), owner)


@given(st.lists(st.integers(1, 90), min_size=1, max_size=40))
def test_first_fit_fits(sizes):
    rows, places = first_fit(sizes, 96)
    taken = set()
    for size, (row, start) in zip(sizes, places, strict=True):
        cells = {(row, cell) for cell in range(start, start + size)}
        assert start + size <= 96
        assert row < rows
        assert not cells & taken
        taken |= cells
    assert rows <= 2 * sum(sizes) / 96 + 1


@given(st.lists(st.integers(2, 150), min_size=1, max_size=30))
def test_rows_hold_every_piece_once(sizes):
    pieces = [piece(list(range(100 * n, 100 * n + size)), [0, size - 1], n) for n, size in enumerate(sizes)]
    rows = pack(pieces, PADDING)
    flat, segments = rows.ids.flatten(), rows.segments.flatten()
    for number, each in enumerate(pieces):
        assert flat[segments == number].tolist() == each.ids.tolist()
        assert flat[rows.heads[2 * number : 2 * number + 2]].tolist() == [each.ids[0], each.ids[-1]]
    assert (flat[segments < 0] == PADDING).all()


def test_little_is_padding():
    random = np.random.default_rng(0)
    pieces = [piece([5] * size, [], n) for n, size in enumerate(random.integers(10, 100, 64))]
    rows = pack(pieces)
    assert sum(len(p.ids) for p in pieces) / rows.ids.numel() > 0.93


def test_packed_logits_are_those_of_single_texts(tiny, tokenizer, documents):
    for task, encode in (("classification", encode_texts), ("tagging", encode_words)):
        torch.manual_seed(0)
        model = TaskModel(tiny("headstart-encoder"), task, 3).eval()
        texts = [d["text"][: 40 + 9 * n] for n, d in enumerate(documents[:24])]
        pieces = encode(tokenizer, texts if task == "classification" else [t.split() for t in texts], 64)
        with torch.no_grad():
            together = model(pack(pieces))
            alone = torch.cat([model(pack([each])) for each in pieces])
        assert torch.allclose(together, alone, atol=1e-5)


def test_padding_needs_no_places(tiny):
    """A row may end in more padding than a model has learned positions, though every piece fits."""
    sizes = [64, 64, 64, 53, 48, 44, 31, 53, 45, 37]
    pieces = [piece([5 + n] * size, [], n) for n, size in enumerate(sizes)]
    rows = pack(pieces)
    assert int((rows.ids == 0).sum(1).max()) > 64
    torch.manual_seed(0)
    model = TaskModel(tiny("bart"), "classification", 3).eval()
    with torch.no_grad():
        alone = torch.cat([model(pack([each])) for each in pieces])
        assert torch.allclose(model(rows), alone, atol=1e-5)


@given(words=st.lists(st.text("abc dé'1\U0001f600", max_size=6), min_size=1, max_size=60))
def test_every_word_has_a_head(tokenizer, words):
    pieces = encode_words(tokenizer, [words, ["last"]], 16)
    assert sum(len(p.heads) for p in pieces if p.owner == 0) == len(words)
    assert all(len(p.ids) <= 16 for p in pieces)
    assert [p.owner for p in pieces] == sorted(p.owner for p in pieces)


def test_words_are_encoded_as_their_text(tokenizer):
    words = ["It", "wasn't", "the", "captain's", "ship", ";", "3,000", "tons", ",", "said", "he", "."]
    (only,) = encode_words(tokenizer, [words], 200)
    assert only.ids[1:-1].tolist() == tokenizer.encode(" ".join(words))
    heads = [
        tokenizer.decode(only.ids[a:b].tolist())
        for a, b in zip(only.heads, [*only.heads[1:], -1], strict=True)
    ]
    assert [head.strip() for head in heads] == words
