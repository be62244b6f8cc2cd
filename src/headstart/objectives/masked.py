"""Hide some tokens and predict them from both sides (Devlin et al. 2018, section 3.1)."""

import numpy as np

from headstart.objectives.batch import Batch, to_batch
from headstart.tokenizer.bpe import MASK_ID, SPECIAL

# Of the chosen tokens 80 % become <mask>, 10 % a random token, 10 % stay.
REPLACED_BY_MASK, REPLACED_BY_RANDOM = 0.8, 0.1


def masked_batch(
    ids: np.ndarray, segments: np.ndarray, rate: float, vocab_size: int, random: np.random.Generator
) -> Batch:
    """Choose `rate` of all tokens, special ones excepted, and corrupt them.

    The number chosen is the same for every batch without special tokens, so shapes stay steady.

    Args:
        ids, segments: `[B, T]`.
        rate: share of the ordinary tokens to predict, between 0 and 1.
    """
    ordinary = np.flatnonzero(ids >= len(SPECIAL))
    chosen = np.sort(random.permutation(ordinary)[: max(1, round(rate * len(ordinary)))])
    targets = ids.reshape(-1)[chosen]
    fate = random.random(len(chosen))
    replacement = np.where(
        fate < REPLACED_BY_MASK, MASK_ID, random.integers(len(SPECIAL), vocab_size, len(chosen))
    )
    corrupted = ids.reshape(-1).copy()
    corrupted[chosen] = np.where(fate < REPLACED_BY_MASK + REPLACED_BY_RANDOM, replacement, targets)
    return to_batch(corrupted.reshape(ids.shape), segments, chosen, targets)
