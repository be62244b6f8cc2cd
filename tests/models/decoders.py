"""What every decoder owes: transformers' numbers, and the same numbers however its tokens are read."""

import json
from pathlib import Path

import torch
import transformers
from hypothesis import strategies as st
from parity import assert_close, assert_gradients, assert_weights_go_back, ours_from, stir
from torch import Tensor

from headstart.interchange.model_folder import LoadedModel, load_model, save_model
from headstart.models.family import Stored
from headstart.models.heads import Head
from headstart.models.parts.cache import KeyValueCache
from headstart.models.registry import family_named, make_config
from headstart.models.transformer import Transformer, build

VOCABULARY = 97
ROWS = st.fixed_dictionaries(
    {
        "length": st.integers(2, 40),
        "padded": st.integers(0, 12),
        "left": st.booleans(),
        "seed": st.integers(0, 99),
    }
)


def rows(length: int, padded: int, left: bool, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Two rows of ids, the second `padded` tokens shorter; which are tokens; and each token's place."""
    padded = min(padded, length - 1)
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, VOCABULARY, (2, length), generator=random)
    mask = torch.ones_like(ids)
    mask[1, slice(0, padded) if left else slice(length - padded, None)] = 0
    return ids * mask, mask, (mask.cumsum(1) - 1).clamp(min=0)


def compare_causal(
    theirs: transformers.PreTrainedModel, family: str, length: int, padded: int, left: bool, seed: int
) -> Transformer:
    """Weights both ways, every block's states, logits and gradients; returns our model."""
    ours, _ = ours_from(theirs, family, "causal")
    assert_weights_go_back(ours, None, theirs, "causal")
    ids, mask, places = rows(length, padded, left, seed)
    states: list[Tensor] = []
    for block in ours.decoder.blocks:
        block.register_forward_hook(lambda _, __, out: states.append(out))
    reference = theirs(input_ids=ids, attention_mask=mask, position_ids=places, output_hidden_states=True)
    hidden = ours(ids, mask - 1)
    seen = mask.bool()
    for layer, state in enumerate(states[:-1]):
        assert_close(state[seen], reference.hidden_states[layer + 1][seen], f"layer {layer}")
    assert_close(hidden[seen], reference.hidden_states[-1][seen], "after the last norm")
    logits = ours.logits(hidden)
    assert_close(logits[seen], reference.logits[seen], "logits")
    loss, other = (answer[seen].logsumexp(-1).square().sum() for answer in (logits, reference.logits))
    assert_gradients(ours, None, theirs, "causal", loss, other)
    return ours


def compare_head(
    theirs: transformers.PreTrainedModel,
    family: str,
    head: str,
    length: int,
    padded: int,
    left: bool,
    seed: int,
) -> None:
    """A task head's scores and gradients, and its weights both ways."""
    ours, own_head = ours_from(theirs, family, head)
    assert_weights_go_back(ours, own_head, theirs, head)
    ids, mask, places = rows(length, padded, left, seed)
    reference = theirs(input_ids=ids, attention_mask=mask, position_ids=places)
    hidden = ours(ids, mask - 1)
    if head == "features":
        scores, expected = hidden[mask.bool()], reference.last_hidden_state[mask.bool()]
    elif head == "classification":
        last = hidden[torch.arange(2), (mask * torch.arange(length)).argmax(1)]
        scores, expected = own_head(ours, last), reference.logits
    else:
        seen = mask.bool()
        whole = (
            reference.logits
            if head == "tagging"
            else torch.stack((reference.start_logits, reference.end_logits), -1)
        )
        scores, expected = own_head(ours, hidden)[seen], whole[seen]
    assert_close(scores, expected, head)
    loss, other = (answer[..., ::2].square().sum() for answer in (scores, expected))
    assert_gradients(ours, own_head, theirs, head, loss, other)


def model_of(family: str, seed: int = 0, **sizes: object) -> Transformer:
    """A small model of a family with every weight moved."""
    usual = {"vocab_size": VOCABULARY, "layers": 3, "width": 24, "heads": 3, "feedforward_width": 96}
    usual |= {"context": 40}
    return stir(build(make_config(family, usual | sizes), seed), seed)


@torch.no_grad()
def assert_reading_changes_nothing(model: Transformer) -> None:
    """In pieces through a cache, left of padding, and packed between others: always the same states."""
    row = torch.randint(1, VOCABULARY, (2, 30), generator=torch.Generator().manual_seed(0))
    whole = model(row)
    for cuts in ([1] * 30, [10, 1, 1, 15, 3]):
        cache, pieces = KeyValueCache(), []
        for part in row.split(cuts, 1):
            pieces.append(model(part, cache=cache))
        assert_close(torch.cat(pieces, 1), whole, f"cache, {cuts}")

    short = model(row[1:, 7:])
    segments = torch.zeros_like(row)
    segments[1, :7] = -1
    padded = model(row, segments)
    assert_close(padded[0], whole[0], "beside padding")
    assert_close(padded[1, 7:], short[0], "after padding")
    cache, pieces = KeyValueCache(), []
    for number, part in enumerate(row.split([12, 1, 1, 9, 7], 1)):
        pieces.append(model(part, segments[:, :12] if number == 0 else None, cache))
    assert_close(torch.cat(pieces, 1)[1, 7:], short[0], "after padding, cached")

    segments = torch.tensor([[0] * 13 + [1] * 17, [4] * 2 + [9] * 28])
    packed = model(row, segments)
    for index, first in enumerate((13, 2)):
        for piece in (slice(0, first), slice(first, None)):
            assert_close(packed[index, piece], model(row[index : index + 1, piece])[0], "packed")


def assert_folder(
    folder: Path, model: Transformer, tokenizer: object, head: str, auto: type | None = None
) -> None:
    """A folder of the model loads whole, here and in transformers, and gives the same numbers."""
    module = family_named(model.config.family)
    shape = module.heads[head]
    own_head = None
    if shape.weights:
        own_head = stir(Head(model.config.width, shape, 2))
    weights, labels = (own_head.weights(), ["a", "b"]) if own_head else ({}, [])
    save_model(folder, LoadedModel(model, tokenizer, head, weights, labels), "card")
    again = load_model(folder)
    assert again.head == head
    state = model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.model.state_dict().items())
    ids, mask, _ = rows(20, 3, False, 0)
    with torch.no_grad():
        hidden = model(ids, mask - 1)
        if own_head is not None:
            expected = own_head(model, hidden)
        else:
            expected = model.logits(hidden) if head == "causal" else hidden
        if auto is None:
            assert "architectures" not in json.loads((folder / "config.json").read_text())
            found = again.model(ids, mask - 1)
            if own_head is not None:
                found = torch.nn.functional.linear(found, **again.classifier)
            elif head == "causal":
                found = again.model.logits(found)
            assert torch.equal(found, expected)
            return
        theirs, report = auto.from_pretrained(folder, output_loading_info=True)
        for complaint in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            assert not report[complaint], (complaint, report[complaint])
        assert type(theirs).__name__ == shape.hf_class
        theirs.config.pad_token_id = 0
        answer = theirs.eval()(input_ids=ids, attention_mask=mask)
        if head == "spans":
            found = torch.stack((answer.start_logits, answer.end_logits), -1)
        else:
            found = answer.last_hidden_state if head == "features" else answer.logits
        if head == "classification":
            expected = expected[torch.arange(2), mask.sum(1) - 1]
            assert_close(expected, found, head)
        else:
            assert_close(expected[mask.bool()], found[mask.bool()], head)


def every_weight_has_a_name(model: Transformer) -> None:
    """The family's map names each weight of the model once."""
    stored: dict[str, Stored] = family_named(model.config.family).weights(model.config)
    named = [name for held in stored.values() for name in held.names]
    assert len(named) == len(set(named))
    assert set(model.state_dict()) <= set(named)
