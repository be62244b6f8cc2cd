"""Comparing an encoder-decoder of ours with transformers' of the same family, on pairs of texts."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from hypothesis import strategies as st
from parity import assert_close, assert_gradients, assert_weights_go_back, ours_from
from torch import Tensor
from transformers import PreTrainedModel

from headstart.models.heads import Head
from headstart.models.transformer import Transformer

VOCABULARY, PAD, END = 97, 0, 1

LENGTHS = {
    "source": st.integers(2, 40),
    "target": st.integers(2, 40),
    "padded": st.tuples(st.integers(0, 1), st.integers(0, 1)),
    "seed": st.integers(0, 99),
}


@dataclass
class Pair:
    """Two rows of a source and a target, with masks that are 1 where a token counts."""

    source: Tensor
    source_mask: Tensor
    target: Tensor
    target_mask: Tensor


def pair(source: int, target: int, padded: tuple[int, int], seed: int, left: bool = False) -> Pair:
    """Random ids; the second row's source and target are `padded` tokens shorter than the first's."""
    random = torch.Generator().manual_seed(seed)
    made = []
    for length, padding in ((source, padded[0]), (target, padded[1])):
        ids = torch.randint(3, VOCABULARY, (2, length), generator=random)
        mask = torch.ones_like(ids)
        place = slice(0, padding) if left else slice(length - padding, length)
        mask[1, place] = 0
        made += [ids, mask]
    return Pair(*made)


def states(model: Transformer, given: Pair) -> Tensor:
    """Our decoder's hidden states `[B, T, D]`."""
    source_segments = given.source_mask - 1
    encoder_states = model.encode(given.source, source_segments)
    return model(
        given.target, given.target_mask - 1, encoder_states=encoder_states, encoder_segments=source_segments
    )


def _collect(modules: list[torch.nn.Module]) -> list[Tensor]:
    collected: list[Tensor] = []

    def keep(_: object, __: object, output: Tensor | tuple[Tensor, ...]) -> None:
        collected.append(output if isinstance(output, Tensor) else output[0])

    for module in modules:
        module.register_forward_hook(keep)
    return collected


def assert_pairs_equal(theirs: PreTrainedModel, family: str, given: Pair) -> None:
    """States after every block of both stacks, logits, all gradients, and the weights' way back."""
    ours, _ = ours_from(theirs, family, "text-to-text")
    assert_weights_go_back(ours, None, theirs, "text-to-text")
    stacks = (theirs.get_encoder(), theirs.get_decoder())
    expected = _collect(
        [block for stack in stacks for block in getattr(stack, "block", None) or stack.layers]
    )
    own = _collect([*ours.encoder.blocks, *ours.decoder.blocks])
    reference = theirs(
        input_ids=given.source,
        attention_mask=given.source_mask,
        decoder_input_ids=given.target,
        decoder_attention_mask=given.target_mask,
    ).logits
    logits = ours.logits(states(ours, given))
    seen_source, seen = given.source_mask.bool(), given.target_mask.bool()
    assert len(own) == len(expected) == len(ours.encoder.blocks) + len(ours.decoder.blocks)
    for number, (mine, other) in enumerate(zip(own, expected, strict=True)):
        place = seen_source if number < len(ours.encoder.blocks) else seen
        assert_close(mine[place], other[place], f"block {number}")
    assert_close(logits[seen], reference[seen], "logits")
    assert_gradients(
        ours,
        None,
        theirs,
        "text-to-text",
        logits[seen].logsumexp(-1).sum(),
        reference[seen].logsumexp(-1).sum(),
    )


def assert_head_equal(theirs: PreTrainedModel, family: str, head: str, given: Pair, start: int) -> None:
    """Scores of classes or of spans, and gradients; the decoder reads the source, begun with `start`."""
    ours, own_head = ours_from(theirs, family, head)
    assert isinstance(own_head, Head)
    assert_weights_go_back(ours, own_head, theirs, head)
    ids, mask = given.source.clone(), given.source_mask
    ids[~mask.bool()] = PAD
    last = mask.sum(1) - 1
    ids[torch.arange(2), last] = END
    reference = theirs(input_ids=ids, attention_mask=mask)
    shifted = torch.cat((torch.full((2, 1), start), ids[:, :-1]), 1)
    hidden = states(ours, Pair(ids, mask, shifted, mask))
    if head == "classification":
        assert own_head.shape.reads == "end"
        scores, expected = own_head(ours, hidden[torch.arange(2), last]), reference.logits
    else:
        seen = mask.bool()
        both = torch.stack((reference.start_logits, reference.end_logits), -1)
        scores, expected = own_head(ours, hidden)[seen], both[seen]
    assert_close(scores, expected, head)
    assert_gradients(ours, own_head, theirs, head, scores.square().sum(), expected.square().sum())


def in_transformers(auto: type, folder: Path) -> PreTrainedModel:
    """A folder as transformers loads it; nothing may be missing, left over or of another shape."""
    theirs, report = auto.from_pretrained(folder, output_loading_info=True)
    for complaint in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[complaint], (complaint, report[complaint])
    assert type(theirs).__name__ == json.loads((folder / "config.json").read_text())["architectures"][0]
    return theirs.eval()
