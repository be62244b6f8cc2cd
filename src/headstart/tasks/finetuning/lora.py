"""LoRA: matrices stay as they are, and learn a change of low rank beside them (Hu et al. 2021, section 4.1).

After training the changes are added to the matrices, so that the model folder is one like any other; what was
learned can be written by itself too, as PEFT does (`interchange.peft_adapter`).
"""

from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.interchange.peft_adapter import LowRank
from headstart.models.parts.linear import Linear
from headstart.models.transformer import Transformer


class LowRankLinear(Linear):
    """A linear layer that stays, plus `alpha / rank` times the product of two narrow matrices."""

    def __init__(
        self, base: Linear, rank: int, alpha: float, dropout: float, generator: torch.Generator
    ) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight, self.bias = base.weight, base.bias
        bound = base.in_features**-0.5
        self.narrow = nn.Parameter(
            torch.empty(rank, base.in_features).uniform_(-bound, bound, generator=generator)
        )
        self.widen = nn.Parameter(torch.zeros(base.out_features, rank))  # so the model begins as it was
        self.scale = alpha / rank
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        narrow = F.linear(self.dropout(x), self.narrow.to(x.dtype))  # [..., rank]
        return super().forward(x) + F.linear(narrow, self.widen.to(x.dtype)) * self.scale

    @torch.no_grad()
    def merged(self) -> Linear:
        """The same as one plain layer; the matrix itself is changed."""
        plain = Linear(self.in_features, self.out_features, self.bias is not None)
        plain.weight, plain.bias = self.weight, self.bias
        plain.weight += self.widen @ self.narrow * self.scale
        return plain


def add_low_rank(
    body: Transformer, targets: Collection[str], rank: int, alpha: float, dropout: float, seed: int
) -> None:
    """Give every matrix of the blocks that is named like one of `targets` a change that can learn.

    Raises:
        HeadstartError: the model has no such matrix.
    """
    generator = torch.Generator().manual_seed(seed)
    found = [
        name
        for name, module in body.named_modules()
        if ".blocks." in name and isinstance(module, Linear) and name.rpartition(".")[2] in targets
    ]
    if not found:
        raise HeadstartError(
            f"a {body.config.family} model has no matrix named {', '.join(targets)}, as lora_targets asks"
        )
    for name in found:
        base = body.get_submodule(name)
        assert isinstance(base, Linear)
        body.set_submodule(name, LowRankLinear(base, rank, alpha, dropout, generator))


def merge_low_rank(body: Transformer) -> dict[str, LowRank]:
    """Add the changes to their matrices, and give them back by the names of these."""
    changes = {}
    for name, layer in list(body.named_modules()):
        if isinstance(layer, LowRankLinear):
            changes[name] = LowRank(layer.narrow.detach(), layer.widen.detach(), layer.scale)
            body.set_submodule(name, layer.merged())
    return changes
