"""An exponential average of the weights, often better than the last ones (Polyak & Juditsky 1992)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from headstart.training.optimiser import like


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
    def update(self) -> None:
        """Take the weights as they are now into the average."""
        self.updates += 1
        share = 1.0 - min(self.decay, self.updates / (self.updates + 9))
        for name, parameter in self.model.named_parameters():
            self.weights[name].lerp_(parameter, share)

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
    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `state` gave."""
        self.updates = int(tensors["updates"])
        for name, weight in self.weights.items():
            weight.copy_(like(weight, tensors[name]))
