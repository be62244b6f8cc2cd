"""Hide some tokens and predict them from both sides (Devlin et al. 2018, section 3.1)."""

from dataclasses import dataclass

import numpy as np

from headstart.objectives.batch import Batch, to_batch
from headstart.objectives.rows import document_starts
from headstart.objectives.vocabulary import Vocabulary

FATES = (0.8, 0.1, 0.1)
"""Shares of the chosen tokens that become <mask>, become a random token, and stay. Each draws its own fate,
so that they hold on average, as in the paper."""
MASKED, REPLACED, KEPT = 0, 1, 2
"""The fates by number, in the order of their shares."""


@dataclass(frozen=True)
class Corruption:
    """Which tokens of some rows were chosen, and what became of each."""

    ids: np.ndarray
    """`[B, T]`, corrupted."""
    positions: np.ndarray
    """`[N]` of the chosen tokens in the flattened rows, ascending."""
    targets: np.ndarray
    """`[N]` what stood there."""
    fates: np.ndarray
    """`[N]` `MASKED`, `REPLACED` (the random token may be the same one) or `KEPT`."""
    strangers: np.ndarray
    """`[N]` the random token of each, of which `REPLACED` ones were made."""


def masked_batch(
    ids: np.ndarray,
    segments: np.ndarray,
    rate: float,
    vocabulary: Vocabulary,
    random: np.random.Generator,
    *,
    whole_words: bool = False,
    count: int | None = None,
    fates: tuple[float, float, float] = FATES,
) -> Batch:
    """The batch of a `corrupt`: what the model reads, and what it has to find."""
    made = corrupt(ids, segments, rate, vocabulary, random, whole_words=whole_words, count=count, fates=fates)
    return to_batch(ids=made.ids, segments=segments, positions=made.positions, targets=made.targets)


def corrupt(
    ids: np.ndarray,
    segments: np.ndarray,
    rate: float,
    vocabulary: Vocabulary,
    random: np.random.Generator,
    *,
    whole_words: bool = False,
    count: int | None = None,
    fates: tuple[float, float, float] = FATES,
) -> Corruption:
    """Choose `rate` of all ordinary tokens, and corrupt them.

    What is chosen depends on the state of `random`: a new one a step masks a row anew in every pass
    (dynamic masking, Liu et al. 2019, section 4.1), one that belongs to the row always in the same way.

    Args:
        ids, segments: `[B, T]`.
        rate: share of the ordinary tokens to predict, between 0 and 1.
        whole_words: choose all tokens of a word or none; a word too long for what is left to choose is
            passed over, and each token still draws its own fate, as in BERT's code.
        count: how many tokens to choose, instead of `rate` of those that are there.
        fates: shares that become <mask>, become a random token, and stay.
    """
    flat = ids.reshape(-1)
    ordinary = np.flatnonzero(vocabulary.ordinary[flat])
    if count is None:
        count = max(1, round(rate * len(ordinary)))
    if whole_words:
        begins = vocabulary.begins_word[flat[ordinary]] | (np.diff(ordinary, prepend=-2) > 1)
        begins |= document_starts(segments).reshape(-1)[ordinary]
        chosen = ordinary[_choose_words(begins, count, random)]
    else:
        chosen = np.sort(random.permutation(ordinary)[:count])
    targets = flat[chosen]
    draws, (masked, replaced, _) = random.random(len(chosen)), fates
    others = np.flatnonzero(vocabulary.ordinary)
    strangers = others[random.integers(0, len(others), len(chosen))]
    fate = np.where(draws < masked, MASKED, np.where(draws < masked + replaced, REPLACED, KEPT))
    corrupted = flat.copy()
    if masked:
        corrupted[chosen[fate == MASKED]] = vocabulary.id("mask")
    corrupted[chosen[fate == REPLACED]] = strangers[fate == REPLACED]
    return Corruption(corrupted.reshape(ids.shape), chosen, targets, fate, strangers)


def _choose_words(begins: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Choose `count` tokens as whole words; fewer if no word is short enough for the last of them.

    Args:
        begins: true where a token begins a word, `[N]`.

    Returns:
        True for the tokens of chosen words, `[N]`.
    """
    word = np.cumsum(begins) - 1  # of each token
    lengths = np.bincount(word)
    chosen = np.zeros(len(lengths), dtype=bool)
    left = random.permutation(len(lengths))
    while count and len(left):
        totals = np.cumsum(lengths[left])
        fitting = np.searchsorted(totals, count, side="right")
        chosen[left[:fitting]] = True
        count -= int(totals[fitting - 1]) if fitting else 0
        left = left[fitting:]
        left = left[lengths[left] <= count]
    of_chosen: np.ndarray = chosen[word]
    return of_chosen
