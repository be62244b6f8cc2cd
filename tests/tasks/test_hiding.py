"""Tokens that fine-tuning hides, new ones in every step."""

import numpy as np
import torch

from headstart.tasks.finetuning.batches import Hide
from headstart.tasks.kinds.packing import encode_pairs, encode_texts, encode_words

WORDS = [f"word{number}" for number in range(150)]


def test_texts_lose_tokens_and_keep_what_stands_around_them(tokenizer):
    (piece,) = encode_texts(tokenizer, [" ".join(WORDS)], 1024)
    torch.manual_seed(0)
    first, second = Hide(tokenizer, 0.3)([piece])[0], Hide(tokenizer, 0.3)([piece])[0]
    assert first.ids.tolist() != second.ids.tolist()
    for kept in (first.ids, second.ids):
        assert 0.6 < len(kept) / len(piece.ids) < 0.8
        assert tokenizer.special.mask not in kept
        assert (kept[0], kept[-1]) == (piece.ids[0], piece.ids[-1]), "special tokens stay"
        rest = iter(piece.ids.tolist())
        assert all(token in rest for token in kept.tolist()), "in their order"


def test_pairs_keep_a_type_for_every_token(tokenizer):
    (piece,) = encode_pairs(tokenizer, [(" ".join(WORDS[:70]), " ".join(WORDS[70:]))], 1024)
    kept = Hide(tokenizer, 0.5)([piece])[0]
    assert len(kept.types) == len(kept.ids) < len(piece.ids)
    assert set(kept.types) == set(piece.types)


def test_words_that_are_tagged_stay_in_place_behind_masks(tokenizer):
    (piece,) = encode_words(tokenizer, [WORDS], 1024)
    kept = Hide(tokenizer, 0.3)([piece])[0]
    masked = kept.ids == tokenizer.special.mask
    assert len(kept.ids) == len(piece.ids)
    assert 0.2 < masked.mean() < 0.4
    np.testing.assert_array_equal(kept.ids[~masked], piece.ids[~masked])
    np.testing.assert_array_equal(kept.heads, piece.heads)


def test_nothing_is_hidden_without_being_asked(tokenizer):
    pieces = encode_texts(tokenizer, [" ".join(WORDS)], 1024)
    assert Hide(tokenizer, 0.0)(pieces) == pieces
