"""How large gradients, weights and updates are, tensor by tensor."""

from collections.abc import Iterable

from torch import Tensor

from headstart.training.distributed.tensors import full
from headstart.training.events import TensorFigures


class Statistics:
    """Takes the measure of one step: made before the update, asked after it.

    Keeps a copy of the weights in between, so it is for a step now and then.

    Args:
        named: the weights that the optimiser moves, with their gradients.
    """

    def __init__(self, named: Iterable[tuple[str, Tensor]]) -> None:
        self._before = [(name, tensor, tensor.detach().clone()) for name, tensor in named]
        self._gradients = {
            name: _norm(tensor.grad) for name, tensor, _ in self._before if tensor.grad is not None
        }

    def after(self) -> dict[str, TensorFigures]:
        """For each tensor: norm of its gradient and of its weights, and the update's norm over the weights'.

        Healthy updates are about a thousandth of the weights (Karpathy 2022).
        """
        found = {}
        for name, tensor, before in self._before:
            weight = _norm(before)
            found[name] = TensorFigures(
                gradient=self._gradients.get(name, 0.0),
                weight=weight,
                update=_norm(tensor.detach() - before) / max(weight, 1e-12),
            )
        return found


def _norm(tensor: Tensor) -> float:
    return float(full(tensor.detach().float().square().sum()).sqrt())
