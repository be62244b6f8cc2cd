"""Looking into a Transformer: where each head looks, how the stream grows, what each layer would say.

    seen = observe(model, ids)
    seen.attention["decoder.3.self"]   # [B, H, T, S]
    seen.norms["decoder.embedding"]    # [B, T]

What is seen is of the very forward pass that gives `hidden`; nothing in the model is changed for it, and
several threads may look at one model at once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.models.parts.attention import attend
from headstart.models.parts.watch import Attended, Watch
from headstart.models.transformer import Block, Stack, Transformer

Want = Literal["attention", "states", "norms", "gates", "lens"]


@dataclass(frozen=True)
class Observation:
    """What one forward pass computed. Names are `STACK.LAYER`, with layers from 0; `STACK.embedding` is the
    stream as the first block reads it. What was not wanted is empty."""

    hidden: Tensor
    """`[B, T, D]`, as the model gives them."""
    attention: dict[str, Tensor]
    """Weights `[B, H, T, S]` of `STACK.LAYER.self` and `STACK.LAYER.cross`."""
    states: dict[str, Tensor]
    """The residual stream `[B, T, D]` behind each block."""
    norms: dict[str, Tensor]
    """Euclidean norms `[B, T]` of the stream, and of what each part writes into it: `STACK.LAYER.self`,
    `.cross`, `.feedforward` (before a norm on its output)."""
    gates: dict[str, Tensor]
    """Of gated feed-forward parts: the activations of the gate, `[B, T, F]`."""
    lens: dict[str, Tensor]
    """Logits `[B, P, V]` that the output would make of each state at the places asked for
    (nostalgebraist 2020: the logit lens)."""
    watch: Watch
    """The tensors themselves."""

    def row(self, name: str, head: int, place: int) -> "AttentionRow":
        """How the weights of one query came about, in the first text.

        Raises:
            HeadstartError: there is no such attention, head or place.
        """
        stack, _, rest = name.partition(".")
        seen = self.watch.stacks.get(stack)
        attended = {} if seen is None else {f"{n}.{kind}": one for (n, kind), one in seen.attended.items()}
        found = attended.get(rest)
        if found is None:
            raise HeadstartError(f"there is no attention {name!r} in this model")
        if not 0 <= head < found.query.shape[1] or not 0 <= place < found.query.shape[2]:
            raise HeadstartError(
                f"{name} has {found.query.shape[1]} heads and {found.query.shape[2]} places, from 0; "
                f"there is no head {head} with place {place}"
            )
        return AttentionRow(found, head, place)


@dataclass(frozen=True)
class AttentionRow:
    """One head, one query: the query, all keys, scores, mask, weights, values, and what comes out.

    C head width, S keys; of the first text of a batch.
    """

    seen: Attended
    head: int
    place: int

    @cached_property
    def query(self) -> Tensor:
        """`[C]`, turned by its position where positions turn."""
        return self.seen.query[0, self.head, self.place].float()

    @cached_property
    def keys(self) -> Tensor:
        """`[S, C]`; query heads of a group share them."""
        return self.seen.key[0, self._shared].float()

    @cached_property
    def values(self) -> Tensor:
        """`[S, C]`"""
        return self.seen.value[0, self._shared].float()

    @cached_property
    def products(self) -> Tensor:
        """Query times keys, `[S]`."""
        return self.keys @ self.query

    @cached_property
    def scores(self) -> Tensor:
        """What softmax reads, without the mask, `[S]`: scaled products, with what positions add, capped."""
        scores = self.products * self.seen.scale
        if self.seen.cap:
            scores = self.seen.cap * torch.tanh(scores / self.seen.cap)
        return scores if self.seen.bias is None else scores + self._at(self.seen.bias).float()

    @cached_property
    def visible(self) -> Tensor:
        """Which keys the query may look at, `[S]`."""
        places = torch.arange(len(self.keys), device=self.keys.device)
        if self.seen.mask is not None:
            return self._at(self.seen.mask)
        return places <= self.place if self.seen.causal else torch.ones_like(places, dtype=torch.bool)

    @cached_property
    def weights(self) -> Tensor:
        """`[S]`, summing to 1."""
        return self.scores.masked_fill(~self.visible, float("-inf")).softmax(-1)

    @cached_property
    def mixed(self) -> Tensor:
        """The values by their weights, `[C]`: what the head hands on."""
        return self.weights @ self.values

    @property
    def _shared(self) -> int:
        """The key-value head of this query head."""
        return self.head * self.seen.key.shape[1] // self.seen.query.shape[1]

    def _at(self, table: Tensor) -> Tensor:
        """The row `[S]` of a table that is broadcastable to `[B, H, T, S]`."""
        batch, heads, queries, keys = self.seen.query.shape[:3] + self.seen.key.shape[2:3]
        return table.expand(batch, heads, queries, keys)[0, self.head, self.place]


@torch.no_grad()
def observe(
    model: Transformer,
    ids: Tensor,
    source: Tensor | None = None,
    want: Iterable[Want] = ("attention", "norms"),
    places: Sequence[int] = (-1,),
) -> Observation:
    """Run a model over ids `[B, T]` and keep what is wanted of the way.

    Args:
        source: what an encoder-decoder reads, `[B, S]`.
        want: of "attention", "states", "norms", "gates", "lens".
        places: where the lens looks; negative ones count from the end.

    Raises:
        HeadstartError: an unknown thing is wanted, an encoder-decoder has no source, or a text is too long.
    """
    if unknown := set(want) - set(get_args(Want)):
        raise HeadstartError(f"nothing called {', '.join(sorted(unknown))} can be observed")
    watch, training = Watch(), model.training
    if training:
        model.eval()
    try:
        states = None if source is None else model.encode(source, watch=watch)
        hidden = model(ids, encoder_states=states, watch=watch)
    finally:
        if training:
            model.train()
    return observed(model, hidden, watch, want, places)


@torch.no_grad()
def observed(
    model: Transformer, hidden: Tensor, watch: Watch, want: Iterable[Want], places: Sequence[int] = (-1,)
) -> Observation:
    """What a watch of a forward pass has seen, worked out; arguments as in `observe`."""
    want = set(want)
    maps: dict[str, Tensor] = {}
    states: dict[str, Tensor] = {}
    norms: dict[str, Tensor] = {}
    gates: dict[str, Tensor] = {}
    lens: dict[str, Tensor] = {}
    for name, seen in watch.stacks.items():
        stack = model.encoder if name == "encoder" else model.decoder
        assert stack is not None
        if "attention" in want:
            maps |= {f"{name}.{n}.{kind}": attention_weights(one) for (n, kind), one in seen.attended.items()}
        by_name = dict(zip([f"{name}.embedding", *_layers(name, stack)], seen.states, strict=True))
        states |= by_name if "states" in want else {}
        if "norms" in want:
            norms |= {key: state.float().norm(dim=-1) for key, state in by_name.items()}
            norms |= {f"{name}.{n}.{kind}": x.float().norm(dim=-1) for (n, kind), x in seen.given.items()}
        if "gates" in want:
            gates |= {f"{name}.{n}": _gate(stack, n, x) for n, x in seen.read.items() if model.config.gated}
        if "lens" in want and stack is (model.decoder or model.encoder):
            lens |= {
                key: model.logits(stack.final_norm(state[:, list(places)])) for key, state in by_name.items()
            }
    return Observation(hidden, maps, states, norms, gates, lens, watch)


def attention_weights(seen: Attended) -> Tensor:
    """The weights `[B, H, T, S]` of an attention: what `attend` makes of the unit vectors of its keys."""
    batch, heads, length = seen.key.shape[:3]
    unit = torch.eye(length, dtype=seen.value.dtype, device=seen.value.device)
    unit = unit.expand(batch, heads, length, length)
    weights = attend(seen.query, seen.key, unit, seen.mask, seen.bias, seen.causal, seen.scale, cap=seen.cap)
    return weights.float()


def _layers(name: str, stack: Stack) -> list[str]:
    return [f"{name}.{number}" for number in range(len(stack.blocks))]


def _gate(stack: Stack, layer: int, read: Tensor) -> Tensor:
    block = stack.blocks[layer]
    assert isinstance(block, Block)
    assert block.feedforward.gate is not None
    return block.feedforward.activation(block.feedforward.gate(read)).float()
