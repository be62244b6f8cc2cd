"""One rule of windows for every head: nothing is lost, nothing counts twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.tasks.kinds.packing import encode_pairs, encode_texts, encode_words, pair_windows, windows

NUMBERS = st.integers(0, 400), st.integers(1, 60)


@given(*NUMBERS)
def test_every_token_has_one_window_that_answers_for_it(tokens, room):
    found = windows(tokens, room)
    assert [place for window in found for place in range(window.first, window.last)] == list(range(tokens))
    for window in found:
        assert window.start <= window.first <= window.last <= window.end
        assert window.end - window.start == min(room, tokens)


@given(*NUMBERS)
def test_it_is_the_window_with_most_context(tokens, room):
    found = windows(tokens, room)
    for window in found:
        for place in range(window.first, window.last):
            # What lies at the border of the text has no context to miss there.
            def context(one, place=place):
                left = place - one.start if one.start else tokens
                right = one.end - 1 - place if one.end < tokens else tokens
                return min(left, right)

            best = max(context(one) for one in found if one.start <= place < one.end)
            assert context(window) >= best - 1  # halves of an odd overlap


@given(st.integers(0, 120), st.integers(0, 120), st.integers(2, 50))
def test_pairs_of_windows_hold_both_texts(first, second, room):
    found = pair_windows(first, second, room)
    for side, size in enumerate((first, second)):
        held = {place for pair in found for place in range(pair[side].start, pair[side].end)}
        assert held == set(range(size))
    assert all(a.end - a.start + b.end - b.start <= room for a, b in found)
    if min(first, second) <= room // 2:
        kept = 0 if first <= second else 1
        assert all(pair[kept].end - pair[kept].start == min(first, second) for pair in found)


def test_windows_of_texts_are_the_text(tokenizer):
    text = " ".join(f"ship {n}" for n in range(60))
    pieces = encode_texts(tokenizer, ["short", text], 20)
    assert [piece.owner for piece in pieces] == [0] + [1] * (len(pieces) - 1)
    assert sum(piece.weight for piece in pieces[1:]) == len(tokenizer.encode(text))
    for piece in pieces:
        assert len(piece.ids) <= 20
        assert (piece.ids[0], piece.ids[-1]) == (tokenizer.special.start, tokenizer.special.end)
    with pytest.raises(HeadstartError, match="max_tokens=2 leaves no room"):
        encode_texts(tokenizer, ["a"], 2)


def test_pairs_have_types_where_the_family_has(tmp_path, documents, tokenizer):
    from headstart.tokenizer.train import TokenizerRecipe, train

    bert = train(
        (d["text"] for d in documents), TokenizerRecipe(kind="bert", vocab_size=500), tmp_path / "bert"
    )
    (piece,) = encode_pairs(bert, [("the ship", "a house")], 64)
    second = bert.encode("a house")
    assert piece.ids.tolist() == bert.with_special(bert.encode("the ship"), second)[0]
    assert piece.types.tolist() == [0] * (len(piece.ids) - len(second) - 1) + [1] * (len(second) + 1)
    assert not encode_pairs(tokenizer, [("the ship", "a house")], 64)[0].types.any()


@given(
    words=st.lists(st.text("abc dé'1\U0001f600\u0301", max_size=6), min_size=1, max_size=60),
    most=st.integers(8, 40),
)
def test_every_word_is_read_once_where_it_begins(tokenizer, words, most):
    pieces = encode_words(tokenizer, [words, ["last"]], most)
    items = np.concatenate([piece.items for piece in pieces if piece.owner == 0])
    assert items.tolist() == list(range(len(words)))
    for piece in pieces:
        assert len(piece.ids) <= most
        assert len(piece.heads) == len(piece.items)
        assert ((piece.heads >= 0) & (piece.heads < len(piece.ids))).all()


@pytest.mark.parametrize("size", [1_000_000])
def test_a_megabyte_is_read_to_its_end(tokenizer, size):
    for text in ("x" * size, "ship and " * (size // 9), "\U0001f600" * (size // 4)):
        pieces = encode_texts(tokenizer, [text], 512)
        assert sum(piece.weight for piece in pieces) == len(tokenizer.encode(text))
