"""How well an encoder foresees each token from both sides (Salazar et al. 2020, section 2).

Each token is hidden in a copy of its own, all others stay in view. The sum of the log-probabilities is no
probability of the text, and can be compared between encoders alone; a text of T tokens costs T rows.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch

from headstart.errors import HeadstartError
from headstart.generation.incremental import at_rest
from headstart.interchange.model_folder import LoadedModel

BATCH_TOKENS = 4096
"""Tokens computed at once."""


def pieces(loaded: LoadedModel, ids: list[int]) -> list[list[int]]:
    """A text in pieces that the model can read with its special tokens, as even as can be."""
    room = loaded.model.config.context - len(loaded.tokenizer.with_special([])[0])
    count = -(-len(ids) // room)
    ends = [len(ids) * number // count for number in range(count + 1)] if count else []
    return [ids[first:last] for first, last in pairwise(ends)]


@torch.no_grad()
def pseudo_loss(loaded: LoadedModel, piece: Sequence[int]) -> float:
    """Summed cross-entropy, in nats, of the tokens of a piece, each hidden in turn."""
    tokenizer, model = loaded.tokenizer, loaded.model
    mask = tokenizer.special.mask
    if mask is None:
        raise HeadstartError(
            f"{tokenizer.path} has no mask token; get the tokenizer that belongs to the model"
        )
    row, kinds = tokenizer.with_special(list(piece))
    before = [place.content for place in tokenizer.template.single].index("A")
    device = model.embedding.weight.device
    whole = torch.tensor(row, device=device)  # [T]
    types = torch.tensor(kinds, device=device) if model.config.token_types else None
    places = torch.arange(before, before + len(piece), device=device)
    total = 0.0
    with at_rest(model):
        for chosen in places.split(max(1, BATCH_TOKENS // len(row))):  # [B]
            ids = whole.repeat(len(chosen), 1)  # [B, T]
            rows = torch.arange(len(chosen), device=device)
            ids[rows, chosen] = mask
            hidden = model(ids, token_types=None if types is None else types.expand_as(ids))
            scores = model.logits(hidden[rows, chosen]).float()  # [B, V]
            right = scores.gather(1, whole[chosen, None])[:, 0]
            total += float((scores.logsumexp(1) - right).double().sum())
    return total
