"""What the Masking view sees: the fates that the collator draws, the guesses in the gaps, and what each
token is worth to each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.evaluation.influence import (
    influence_by_deleting,
    influence_by_hiding,
    influence_of_source,
)
from headstart.interchange.model_folder import LoadedModel
from headstart.models.observe import Observation, observe, observed
from headstart.models.parts.watch import Watch
from headstart.models.registry import family_named
from headstart.objectives.batch import Batch, generator, hidden_states
from headstart.objectives.masked import KEPT, MASKED, REPLACED, corrupt
from headstart.objectives.recipe import Masked
from headstart.objectives.span_corruption import hidden_spans_batch, noise_counts
from headstart.objectives.spans import compositions, hide_spans
from headstart.objectives.vocabulary import Vocabulary, read_vocabulary
from headstart.studio.frames import Looked, quantised

GUESSES = 8  # of each gap
LONGEST = 64  # tokens of a text whose pairs are hidden
NONE = -1  # the fate of a token that was not chosen


@dataclass(frozen=True)
class Filled:
    """What a model made of a text with gaps."""

    reads: list[int]
    """Ids `[S]` that the gaps are filled from."""
    rows: list[int]
    """Of each answer `[G]`, the place in `reads` that it stands at; -1: at none."""
    targets: list[int]
    """`[G]` the true tokens."""
    scores: Tensor
    """`[G, V]`"""
    attention: Tensor
    """`[L, H, G, S]`"""


def hide(
    loaded: LoadedModel,
    text: str,
    rate: float,
    whole_words: bool,
    shares: Sequence[float],
    mean_span: float,
    seed: int,
) -> Looked:
    """Which tokens of a text the objective's collator chooses under a seed, and what becomes of them.

    Returns:
        `fates` `[T]`: -1 not chosen, 0 hidden, 1 a random token, 2 left as it is, of an encoder alone;
        `strangers` `[T]` the token that a random one would be.
    """
    _fills(loaded)
    tokenizer, vocabulary = loaded.tokenizer, _vocabulary(loaded)
    ids, _ = tokenizer.with_special(tokenizer.encode(text))
    _check(loaded, ids)
    row, segments = np.array([ids]), np.zeros((1, len(ids)), np.int64)
    ordinary = vocabulary.ordinary[row]
    if not ordinary.any():
        raise HeadstartError("there is nothing to hide in this text; write some words")
    fates, random = np.full(len(ids), NONE), generator(seed, 0)
    pool = np.flatnonzero(vocabulary.ordinary)
    strangers = pool[generator(seed, 1).integers(0, len(pool), len(ids))]
    if loaded.model.config.architecture == "encoder-decoder":
        tokens, spans = noise_counts(int(ordinary.sum()), rate, mean_span)
        hidden, _ = hide_spans(ordinary, segments, compositions(tokens, spans, 1, random), random)
        fates[hidden[0]] = MASKED
    else:
        reads_all = loaded.model.config.architecture == "decoder"  # and needs no mask: what it reads stays
        recipe = Masked(
            mask_rate=rate, whole_words=whole_words, fates=(0, 0, 1) if reads_all else tuple(shares)
        )
        made = corrupt(
            row, segments, recipe.mask_rate, vocabulary, random,
            whole_words=recipe.whole_words, fates=recipe.fates,
        )  # fmt: skip
        fates[made.positions] = MASKED if reads_all else made.fates
        strangers[made.positions] = made.strangers
    return Looked(
        {
            "ids": ids,
            "texts": _texts(loaded, ids),
            "ordinary": ordinary[0].tolist(),
            "fates": fates.tolist(),
            "strangers": strangers.tolist(),
            "stranger_texts": _texts(loaded, strangers),
            "mask": None if tokenizer.special.mask is None else tokenizer.token_text(tokenizer.special.mask),
        },
        {},
    )


def fill(loaded: LoadedModel, ids: Sequence[int], fates: Sequence[int], strangers: Sequence[int]) -> Looked:
    """What a model says in the gaps of a text whose tokens have these fates; arguments as `hide` gives them.

    Returns:
        Fields: what was read, and for each gap the truth, its probability, rank and loss in nats; tensors
        `guesses` `[G, 8]` with `probabilities`, and `attention` `[L, H, G, S]` in 255ths from each gap to
        what is read.
    """
    found = _filled(loaded, list(ids), list(fates), list(strangers))
    chances = found.scores.double().softmax(-1)
    top = chances.topk(min(GUESSES, chances.shape[-1]))
    truth = chances.gather(1, torch.tensor(found.targets, dtype=torch.long)[:, None])
    return Looked(
        {
            "reads": found.reads,
            "read_texts": _texts(loaded, found.reads),
            "rows": found.rows,
            "targets": found.targets,
            "target_texts": _texts(loaded, found.targets),
            "truth": truth[:, 0].tolist(),
            "rank": (1 + (chances > truth).sum(1)).tolist(),
            "loss": (-truth[:, 0].log()).tolist(),
            "guess_texts": [_texts(loaded, row) for row in top.indices.tolist()],
        },
        {
            "guesses": top.indices.int().numpy(),
            "probabilities": top.values.float().numpy(),
            "attention": quantised(found.attention.numpy()),
        },
    )


def influence(loaded: LoadedModel, ids: Sequence[int], fates: Sequence[int]) -> Looked:
    """What each token of a text is worth to each, in nats: `influence` `[S, T]`, and `alone` `[T]`, the loss
    of each token when it alone is hidden. In an encoder-decoder T are the targets of `fill`."""
    _fills(loaded)
    _check(loaded, ids)
    if len(ids) > LONGEST:
        raise HeadstartError(
            f"this text has {len(ids)} tokens, and all pairs of at most {LONGEST} are hidden in turn; "
            "shorten it"
        )
    architecture = loaded.model.config.architecture
    if architecture == "encoder":
        worth, alone = influence_by_hiding(loaded, list(ids))
    elif architecture == "decoder":
        worth, alone = influence_by_deleting(loaded, list(ids))
    else:
        batch = _spans(loaded, list(ids), list(fates))
        assert batch.source is not None
        worth = influence_of_source(loaded.model, batch, list(range(batch.source.shape[1] - 1)))
        worth, alone = worth[:-1], torch.zeros(worth.shape[1])
    return Looked({}, {"influence": worth.float().numpy(), "alone": alone.float().numpy()})


def _filled(loaded: LoadedModel, ids: list[int], fates: list[int], strangers: list[int]) -> Filled:
    _fills(loaded)
    _check(loaded, ids)
    if not len(ids) == len(fates) == len(strangers):
        raise HeadstartError("every token has one fate and one stranger; hide the text again")
    gaps = [place for place, fate in enumerate(fates) if fate != NONE]
    if not gaps:
        raise HeadstartError("nothing is hidden; click a token to hide it")
    model = loaded.model
    if model.config.architecture == "encoder-decoder":
        return _written_spans(loaded, _spans(loaded, ids, fates))
    if model.config.architecture == "decoder":
        gaps = [place for place in gaps if place]
        seen = observe(model, torch.tensor([ids]), want=("attention",))
        asking = [place - 1 for place in gaps]
        reads = ids
    else:
        mask = loaded.tokenizer.special.mask
        assert mask is not None
        became = {MASKED: [mask] * len(ids), REPLACED: strangers, KEPT: ids, NONE: ids}
        reads = [became[fate][place] for place, fate in enumerate(fates)]
        seen = observe(model, torch.tensor([reads]), want=("attention",))
        asking = gaps
    scores = model.logits(seen.hidden[0, asking]).float()
    maps = _maps(seen, loaded.model.config.architecture, "self", model.config.layers)
    targets = [ids[place] for place in gaps]
    return Filled(reads, gaps, targets, _known(loaded, scores), maps[:, :, asking])


def _spans(loaded: LoadedModel, ids: list[int], fates: list[int]) -> Batch:
    """The batch of one row whose chosen tokens are hidden as spans."""
    hidden = np.array([fates]) != NONE
    row, segments = np.array([ids]), np.zeros((1, len(ids)), np.int64)
    spans = int((hidden[0] & ~np.append(False, hidden[0][:-1])).sum())
    sentinels = len(loaded.tokenizer.special.sentinels)
    if spans > sentinels:
        raise HeadstartError(f"{spans} spans are hidden, and the tokenizer has {sentinels} sentinels")
    widths = len(ids) - int(hidden.sum()) + spans + 1, int(hidden.sum()) + spans + 1
    return hidden_spans_batch(row, segments, hidden, widths, _vocabulary(loaded))


def _written_spans(loaded: LoadedModel, batch: Batch) -> Filled:
    model, watch = loaded.model, Watch()
    hidden = hidden_states(model, batch, watch)
    seen = observed(model, hidden, watch, ("attention",))
    assert batch.source is not None
    reads = batch.source[0, :-1].tolist()  # the last is padding
    sentinels, rows, at = set(loaded.tokenizer.special.sentinels), [], -1
    for target in batch.targets.tolist():
        at = reads.index(target) if target in sentinels else at
        rows.append(at if target != loaded.tokenizer.special.end else -1)
    scores = model.logits(hidden[0, batch.positions]).float()
    maps = _maps(seen, "decoder", "cross", model.config.layers)[:, :, batch.positions, : len(reads)]
    return Filled(reads, rows, batch.targets.tolist(), _known(loaded, scores), maps)


def _maps(seen: Observation, stack: str, kind: str, layers: int) -> Tensor:
    """`[L, H, T, S]`"""
    return torch.cat([seen.attention[f"{stack}.{layer}.{kind}"] for layer in range(layers)])


def _known(loaded: LoadedModel, scores: Tensor) -> Tensor:
    """Scores of ids that the tokenizer has; a padded vocabulary has more."""
    return scores[..., : loaded.tokenizer.vocab_size]


def _texts(loaded: LoadedModel, ids: Sequence[int] | np.ndarray) -> list[str]:
    return [loaded.tokenizer.token_text(int(index)) for index in ids]


def _vocabulary(loaded: LoadedModel) -> Vocabulary:
    return read_vocabulary(loaded.tokenizer, family_named(loaded.model.config.family).decoder_start)


def _fills(loaded: LoadedModel) -> None:
    """Whether a model can say anything in a gap."""
    config, special = loaded.model.config, loaded.tokenizer.special
    if config.architecture == "encoder" and loaded.head not in ("masked", "pretraining"):
        raise HeadstartError(
            f"this {config.family} has no output over its vocabulary ({loaded.head}), so it cannot say what "
            "stands in a gap; choose a model that was pre-trained with a masked objective"
        )
    if config.architecture == "encoder" and special.mask is None:
        raise HeadstartError(f"{loaded.tokenizer.path} has no mask token, so nothing can be hidden")
    if config.architecture == "encoder-decoder" and not special.sentinels:
        raise HeadstartError(
            f"{config.family} is trained to write a whole text anew, without sentinels for single gaps; "
            "choose an encoder, a decoder, or an encoder-decoder of span corruption (T5)"
        )


def _check(loaded: LoadedModel, ids: Sequence[int]) -> None:
    config = loaded.model.config
    if len(ids) > config.context:
        raise HeadstartError(
            f"{len(ids)} tokens are more than the {config.context} that this model was trained to read at "
            "once; shorten the text"
        )
    if any(not 0 <= index < config.vocab_size for index in ids):
        raise HeadstartError("an id is not in this model's vocabulary; hide the text again")
