"""What a task puts on top of a Transformer's states."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.models.family import HeadShape
from headstart.models.parts.linear import Linear
from headstart.models.transformer import Transformer

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": F.relu, "gelu": F.gelu}


class Head(nn.Module):
    """Scores of labels from hidden states, in the shape that transformers gives to a family's head.

    Which states it reads (every token's, the first, the last, a mean) stands in `shape.reads` and is
    the caller's to pick; what they pass on the way to the output is done here.
    """

    def __init__(self, width: int, shape: HeadShape, labels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.dense = Linear(width, width, bias=True) if shape.through == "dense" else None
        self.output = Linear(width, labels, shape.bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, model: Transformer, states: Tensor) -> Tensor:
        """`[..., D]` to `[..., labels]`; the model lends its pooler or prediction head."""
        scores: Tensor = self.output(self.dropout(self.inner(model, states)))
        return scores

    def inner(self, model: Transformer, states: Tensor) -> Tensor:
        """What the output reads of states `[..., D]`."""
        if self.shape.through == "pooler":
            return model.pooled(states)
        if self.shape.through == "prediction head":
            through: Tensor = model.prediction_head(states)
            return through
        if self.dense is not None:
            return ACTIVATIONS[self.shape.activation](self.dense(self.dropout(states)))
        return states

    def weights(self) -> dict[str, Tensor]:
        """Its weights as a model folder keeps them: "weight", "bias", "dense.weight", "dense.bias"."""
        return {name.removeprefix("output."): tensor for name, tensor in self.state_dict().items()}

    def load(self, weights: dict[str, Tensor]) -> None:
        """Take up what `weights` gave."""
        self.load_state_dict({k if "." in k else f"output.{k}": v for k, v in weights.items()})
