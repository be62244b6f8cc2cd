"""What a forward pass computes on its way, kept for somebody who wants to look.

A `Watch` travels with one forward pass as an argument. Nothing is kept in the model or the process, so that
threads that look at the same model do not see each other's tokens.
"""

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

Part = Literal["self", "cross", "feedforward"]


@dataclass(frozen=True)
class Attended:
    """What one attention was given: all that its weights follow from. Tensors as `attend` takes them."""

    query: Tensor
    """`[B, H, T, C]`, turned by its positions."""
    key: Tensor
    """`[B, K, S, C]`"""
    value: Tensor
    """`[B, K, S, C]`"""
    mask: Tensor | None
    bias: Tensor | None
    causal: bool
    scale: float
    cap: float


@dataclass
class StackWatch:
    """What is seen in one stack; layers count from 0."""

    attended: dict[tuple[int, Part], Attended] = field(default_factory=dict)
    """By layer and kind (`self`, `cross`)."""
    states: list[Tensor] = field(default_factory=list)
    """The stream `[B, T, D]` as the first block reads it, then behind each block."""
    read: dict[int, Tensor] = field(default_factory=dict)
    """What the feed-forward part of each layer reads, `[B, T, D]`."""
    given: dict[tuple[int, Part], Tensor] = field(default_factory=dict)
    """What each part gives, `[B, T, D]`, before a norm on its output."""


@dataclass
class Watch:
    """What is seen in the stacks of a model, by their names: `encoder`, `decoder`."""

    stacks: dict[str, StackWatch] = field(default_factory=dict)

    def stack(self, name: str) -> StackWatch:
        """What is seen in one stack."""
        return self.stacks.setdefault(name, StackWatch())
