"""What the Duel view sees of a model: what it says in a gap, and what more of either side is worth."""

from collections.abc import Sequence
from math import log

import numpy as np

from headstart.errors import HeadstartError
from headstart.evaluation.gaps import gap_logprobs
from headstart.interchange.model_folder import LoadedModel
from headstart.studio.frames import Looked

GUESSES = 5


def gap_text(loaded: LoadedModel, text: str, start: int) -> Looked:
    """The tokens of a text, without special ones, and which of them holds its character `start`.

    Raises:
        HeadstartError: none does.
    """
    ids, spans = loaded.tokenizer.encode_spans(text)
    at = [number for number, (_, end) in enumerate(spans) if end > start]
    if not at:
        raise HeadstartError("the gap is behind the text; put brackets around a word of it")
    texts = [loaded.tokenizer.token_text(index) for index in ids]
    return Looked({"ids": list(ids), "texts": texts, "place": at[0]}, {})


def gap(loaded: LoadedModel, ids: Sequence[int], place: int, left: int, right: int) -> Looked:
    """The likeliest tokens of a gap with so many tokens shown at either side, and what the truth costs: so,
    and with every other number of tokens at one side and this one at the other.

    Returns:
        `truth_bits`, `rank`, guesses with their probabilities; `by_left` `[L + 1]` and `by_right`
        `[R + 1]` in bits, with 0 tokens first.

    Raises:
        HeadstartError: the place is not in the text; see also `gap_logprobs`.
    """
    config = loaded.model.config
    if not 0 <= place < len(ids):
        raise HeadstartError("the gap is not in this text; choose another token")
    if any(not 0 <= index < config.vocab_size for index in ids) or len(ids) + 4 > config.context:
        raise HeadstartError(
            f"this model reads at most {config.context - 4} tokens of its own vocabulary here"
        )
    lefts, rights = range(place + 1), range(len(ids) - place)
    windows = [(left, right), *((n, right) for n in lefts), *((left, n) for n in rights)]
    chances = gap_logprobs(loaded, ids, place, windows)
    truth = -chances[:, ids[place]].double().numpy() / log(2)
    best = chances[0].topk(min(GUESSES, chances.shape[1]))
    return Looked({
        "truth_bits": float(truth[0]),
        "rank": int((chances[0] > chances[0, ids[place]]).sum()) + 1,
        "guesses": [loaded.tokenizer.token_text(int(index)) for index in best.indices],
        "probabilities": best.values.exp().tolist(),
    }, {
        "by_left": truth[1 : 1 + len(lefts)].astype(np.float32),
        "by_right": truth[1 + len(lefts) :].astype(np.float32),
    })  # fmt: skip
