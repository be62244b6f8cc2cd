"""The parts of a Transformer in the order in which a token meets them: shapes, weights, operations, bytes.

From the configuration alone, so that a model of any size has its diagram. What the parts add up to is what
`models.parameters` and `models.flops` say of the whole.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from headstart.models.config import TransformerConfig
from headstart.models.parameters import stacks

Kind = Literal[
    "embedding", "positions", "norm", "query", "key", "value", "scores", "mix", "out", "add",
    "gate", "up", "down", "head", "output",
]  # fmt: skip


@dataclass(frozen=True)
class DiagramPart:
    """One box of the diagram."""

    name: str
    kind: Kind
    branch: str
    """Which way off the stream it lies on: `self`, `cross`, `feedforward`; empty: on the stream itself."""
    shape: tuple[int | str, ...]
    """Of what it gives, with `B` and `T` (or `S`) for rows and tokens."""
    weights: tuple[tuple[str, tuple[int, ...]], ...]
    """Names of its weights in a layer, with their shapes; `{}` stands for the layer's number."""
    parameters: int
    """Of one layer."""
    flops: int
    """Of one layer's forward pass over the rows."""
    size: int
    """Numbers that it gives, of one layer."""


@dataclass(frozen=True)
class DiagramStack:
    """One stack of blocks."""

    name: Literal["encoder", "decoder"]
    layers: int
    causal: bool
    before: tuple[DiagramPart, ...]
    block: tuple[DiagramPart, ...]
    after: tuple[DiagramPart, ...]
    missing: int
    """Parameters that the first block lacks: of a norm that the embedding's norm stands for."""


@dataclass(frozen=True)
class Diagram:
    """A whole model."""

    embedding: DiagramPart
    stacks: tuple[DiagramStack, ...]
    output: tuple[DiagramPart, ...]

    @property
    def parameters(self) -> int:
        """Of the whole model."""
        total = self.embedding.parameters + sum(part.parameters for part in self.output)
        for stack in self.stacks:
            total += sum(part.parameters for part in (*stack.before, *stack.after)) - stack.missing
            total += stack.layers * sum(part.parameters for part in stack.block)
        return total

    @property
    def flops(self) -> int:
        """Of the whole forward pass."""
        total = sum(part.flops for part in self.output)
        for stack in self.stacks:
            total += sum(part.flops for part in (*stack.before, *stack.after))
            total += stack.layers * sum(part.flops for part in stack.block)
        return total


def diagram(config: TransformerConfig, rows: int, row: int) -> Diagram:
    """The diagram of a configuration, over `rows` texts of `row` tokens (encoder and decoder alike)."""
    made = _Maker(config, rows, row)
    return Diagram(made.embedding(), tuple(made.stack(*one) for one in stacks(config)), made.output())


class _Maker:
    def __init__(self, config: TransformerConfig, rows: int, row: int) -> None:
        self.config, self.rows, self.row = config, rows, row
        self.tokens = rows * row
        self.norm_size = config.width * (2 if config.norm == "layernorm" and config.norm_bias else 1)

    def embedding(self) -> DiagramPart:
        config = self.config
        shape = (config.vocab_size, config.width)
        return self._part("embedding", "embedding", "", config.width, [("embedding.weight", shape)])

    def stack(self, layers: int, cross: bool) -> DiagramStack:
        config = self.config
        name: Literal["encoder", "decoder"] = "encoder" if self._encodes(cross) else "decoder"
        prefix = f"{name}.blocks.{{}}"
        block = self._attention(prefix, cross=False)
        if cross:
            block += self._attention(prefix, cross=True)
        block += self._feed_forward(prefix)
        pre = config.norm_place == "pre"
        return DiagramStack(
            name, layers, name == "decoder", tuple(self._before(name)), tuple(block),
            tuple(self._after(name)), self.norm_size if pre and config.embedding_norm else 0,
        )  # fmt: skip

    def output(self) -> tuple[DiagramPart, ...]:
        config, parts = self.config, []
        D, V = config.width, config.vocab_size
        if config.prediction_head:
            extra = D * config.feedforward_bias + self.norm_size
            weights = [("prediction_head.dense.weight", (D, D))]
            parts.append(self._part("prediction head", "head", "", D, weights, 2 * D * D, extra))
        weights = [("embedding.weight" if config.tied else "output.weight", (V, D))]
        extra = V * config.output_bias - V * D * config.tied
        extra += (D * D + D) * config.pooler + (2 * D + 2) * config.next_sentence
        parts.append(self._part("output", "output", "", V, weights, 2 * D * V, extra))
        return tuple(parts)

    def _encodes(self, cross: bool) -> bool:
        architecture = self.config.architecture
        return architecture == "encoder" or (architecture == "encoder-decoder" and not cross)

    def _before(self, name: str) -> list[DiagramPart]:
        config, D, parts = self.config, self.config.width, []
        weights: list[tuple[str, tuple[int, ...]]] = []
        extra = 0
        if config.position == "learned":
            weights.append((f"{name}.positions.weight", (config.context + config.position_offset, D)))
        if config.position == "relative":
            weights.append((f"{name}.relative_bias.weight", (config.relative_buckets, config.heads)))
        if config.position == "disentangled":
            weights.append((f"{name}.relative_places.weight", (2 * config.relative_buckets, D)))
            extra = self.norm_size
        if config.token_types:
            weights.append((f"{name}.token_types.weight", (config.token_types, D)))
        if weights or config.position == "sinusoidal":
            parts.append(self._part("positions", "positions", "", D, weights, 0, extra))
        if config.embedding_norm:
            parts.append(self._norm("embedding norm", "", f"{name}.embedding_norm.weight"))
        return parts

    def _after(self, name: str) -> list[DiagramPart]:
        if not self.config.final_norm:
            return []
        return [self._norm("final norm", "", f"{name}.final_norm.weight")]

    def _norm(self, name: str, branch: str, weight: str) -> DiagramPart:
        D = self.config.width
        return self._part(name, "norm", branch, D, [(weight, (D,))], 0, self.norm_size - D)

    def _attention(self, prefix: str, cross: bool) -> list[DiagramPart]:
        config, branch = self.config, "cross" if cross else "self"
        D, C, H, K = config.width, config.head_width, config.heads, config.kv_heads
        name = f"{prefix}.{'cross_attention' if cross else 'attention'}"
        norm = self._norm("norm", branch, f"{prefix}.{'cross' if cross else 'attention'}_norm.weight")
        widths = {"none": (0, 0), "head": (C, C), "width": (H * C, K * C)}[config.query_key_norm]
        projections: tuple[tuple[Kind, int, int], ...] = (
            ("query", H, widths[0]), ("key", K, widths[1]), ("value", K, 0),
        )  # fmt: skip
        parts = [
            self._part(
                kind, kind, branch, heads * C, [(f"{name}.{kind}.weight", (heads * C, D))],
                2 * D * heads * C, heads * C * config.qkv_bias + extra, split=(heads, C),
            )
            for kind, heads, extra in projections
        ]  # fmt: skip
        relative = config.position == "relative-xl" and not cross
        weights = [(f"{name}.relative.key.weight", (H * C, D))] if relative else []
        seen = 2 * self.row * H * C
        extra = 2 * H * C * relative
        scores = self._part("scores", "scores", branch, H * self.row, weights, seen, extra, (H, self.row))
        parts += [
            replace(scores, flops=scores.flops + self._positions_flops(cross)),
            self._part("mix", "mix", branch, H * C, [], seen, split=(H, C)),
            self._part(
                "out", "out", branch, D, [(f"{name}.out.weight", (D, H * C))],
                2 * D * H * C, D * config.out_bias,
            ),
        ]  # fmt: skip
        return self._placed(norm, parts, prefix, branch)

    def _positions_flops(self, cross: bool) -> int:
        """Operations of positions that have keys of their own, in a layer."""
        config, width = self.config, self.config.heads * self.config.head_width
        if config.position == "relative-xl" and not cross:  # the keys of distances are read once a batch
            return 2 * self.row * width * (self.tokens + config.width)
        if config.position == "disentangled":
            return 2 * 2 * 2 * config.relative_buckets * (config.width + self.tokens) * width
        return 0

    def _feed_forward(self, prefix: str) -> list[DiagramPart]:
        config, D, F = self.config, self.config.width, self.config.feedforward_width
        name, bias = f"{prefix}.feedforward", self.config.feedforward_bias
        norm = self._norm("norm", "feedforward", f"{prefix}.feedforward_norm.weight")
        kinds: tuple[Kind, ...] = ("gate", "up") if config.gated else ("up",)
        parts = [
            self._part(
                kind, kind, "feedforward", F, [(f"{name}.{kind}.weight", (F, D))], 2 * D * F, F * bias
            )
            for kind in kinds
        ]  # fmt: skip
        down = [(f"{name}.down.weight", (D, F))]
        parts.append(self._part("down", "down", "feedforward", D, down, 2 * D * F, D * bias))
        return self._placed(norm, parts, prefix, "feedforward")

    def _placed(
        self, norm: DiagramPart, parts: list[DiagramPart], prefix: str, branch: str
    ) -> list[DiagramPart]:
        """A branch with its norms where the configuration has them, back on the stream at its end."""
        place = self.config.norm_place
        add = self._part("add", "add", branch, self.config.width, [])
        if place == "post":
            return [*parts, add, norm]
        if place == "output":
            return [*parts, norm, add]
        if place == "sandwich" and branch != "cross":
            start = "attention" if branch == "self" else "feedforward"
            second = self._norm("norm of what it gives", branch, f"{prefix}.{start}_out_norm.weight")
            return [norm, *parts, second, add]
        return [norm, *parts, add]

    def _part(
        self,
        name: str,
        kind: Kind,
        branch: str,
        width: int,
        weights: Sequence[tuple[str, tuple[int, ...]]],
        flops: int = 0,
        extra: int = 0,
        split: tuple[int, ...] = (),
    ) -> DiagramPart:
        count = extra + sum(math.prod(sides) for _, sides in weights)
        theirs = branch == "cross" and kind in ("key", "value")  # of the encoder's tokens
        shape: tuple[int | str, ...] = ("B", "S" if theirs else "T", *(split or (width,)))
        return DiagramPart(
            name, kind, branch, shape, tuple(weights), count, flops * self.tokens, width * self.tokens
        )  # fmt: skip
