"""An exponential average of the weights, often better than the last ones (Polyak & Juditsky 1992)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from headstart.training.distributed.tensors import Extent, extent, local


class Average:
    """The running average of a model's weights.

    Early on it is the mean of what there was, so that the random start is soon forgotten: the decay at
    update n is at most n / (n + 9).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.updates = 0
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, left_out: Tensor | None = None) -> None:
        """Take the weights as they are now into the average.

        Args:
            left_out: 1 on the device where the step moved nothing, else 0; None: it counts.
        """
        self.updates += 1
        share = 1.0 - min(self.decay, self.updates / (self.updates + 9))
        weight = share if left_out is None else share * (1.0 - left_out)
        for name, parameter in self.model.named_parameters():
            local(self.weights[name]).lerp_(local(parameter), weight)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model with the average as its weights."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the model's weights and their average."""
        for name, parameter in self.model.named_parameters():
            mine = self.weights[name].clone()
            self.weights[name].copy_(parameter)
            parameter.copy_(mine)

    def state(self) -> dict[str, Tensor]:
        """Everything to go on from."""
        return self.weights | {"updates": torch.tensor(self.updates)}

    @torch.no_grad()
    def load_state(self, read: Callable[[str, Extent | None], Tensor]) -> None:
        """Take up what `state` gave; `read` gives a block of a tensor, or all of it."""
        self.updates = int(read("updates", None))
        for name, weight in self.weights.items():
            local(weight).copy_(read(name, extent(weight)))
