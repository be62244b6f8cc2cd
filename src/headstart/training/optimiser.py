"""Who moves the weights: Muon for the blocks' matrices and AdamW for the rest, or AdamW for all."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from headstart.training.distributed.tensors import Extent, extent, like_part, local, mesh_of
from headstart.training.muon import Muon
from headstart.training.recipe import OptimiserRecipe

# Where the matrices of the model's inside are; others are tables, looked up or written to by token.
MATRICES = ("encoder.blocks.", "decoder.blocks.", "prediction_head.", "pooler.")
# What an optimiser keeps of a parameter that has not its shape.
SCALARS = ("step",)


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Whether a weight is a matrix of the blocks or of a head, and no table of tokens."""
    return parameter.dim() == 2 and name.startswith(MATRICES)


class Optimiser:
    """One or two optimisers that step together.

    Muon (Jordan 2024) replaces a matrix's momentum by the nearest orthogonal matrix; it takes the
    matrices of the blocks. AdamW (Loshchilov & Hutter 2017) takes embeddings, an untied output, norms
    and biases; with `kind: adamw` the matrices too. Weight decay is on matrices and tables alone.
    """

    def __init__(self, model: nn.Module, recipe: OptimiserRecipe) -> None:
        self.recipe = recipe
        named = list(model.named_parameters())
        self._names: dict[Tensor, str] = {parameter: name for name, parameter in named}
        self.parameters = [parameter for _, parameter in named]
        matrices = [p for name, p in named if is_matrix(name, p)]
        tables = [p for name, p in named if p.dim() == 2 and not is_matrix(name, p)]
        vectors = [p for _, p in named if p.dim() < 2]
        decay = recipe.weight_decay
        adam = [(tables, recipe.vector_rate, decay), (vectors, recipe.vector_rate, 0.0)]
        if recipe.kind == "adamw":
            adam.insert(0, (matrices, recipe.matrix_rate, decay))
        groups = [
            {"params": alike, "lr": rate, "peak": rate, "weight_decay": share}
            for parameters, rate, share in adam
            for alike in _by_kind(parameters)
        ]
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "adam": torch.optim.AdamW(groups, betas=recipe.betas, fused=True)
        }
        if recipe.kind == "muon":
            groups = [{"params": matrices, "peak": recipe.matrix_rate}]
            self.optimisers["muon"] = Muon(groups, recipe.matrix_rate, recipe.momentum, decay)

    def step(
        self, scale: float, norm: float | Tensor | None = None, left_out: Tensor | None = None
    ) -> float | Tensor:
        """Clip, update with rates of `scale` times their peaks, clear.

        Args:
            norm: of the whole gradient, where other processes hold parts of it or it is still on the device;
                None: this process has all of the gradient.
            left_out: 1 on the device where nothing shall move, else 0; None: everything moves.

        Returns:
            The norm of the gradient before it was clipped.
        """
        gradients = self.gradients()
        if norm is None:
            norm = float(nn.utils.get_total_norm(gradients))
        factor = self.recipe.clip / (norm + 1e-6)
        parts = [local(gradient) for gradient in gradients]
        if isinstance(factor, Tensor):
            torch._foreach_mul_(parts, factor.clamp(max=1.0))
        elif factor < 1.0:
            torch._foreach_mul_(parts, factor)
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * scale
            # Fused AdamW looks for this attribute, as a gradient scaler sets it; so does Muon here.
            optimiser.found_inf = left_out  # type: ignore[attr-defined]
            optimiser.step()
        self.clear()
        return norm

    def gradients(self) -> list[Tensor]:
        """Those that there are."""
        return [parameter.grad for parameter in self.parameters if parameter.grad is not None]

    def clear(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """Everything to go on from, as flat tensors: `adam.decoder.final_norm.weight.exp_avg`."""
        return {
            f"{kind}.{self._names[parameter]}.{field}": tensor
            for kind, optimiser in self.optimisers.items()
            for parameter, fields in optimiser.state.items()
            for field, tensor in fields.items()
        }

    def load_state(self, names: Iterable[str], read: Callable[[str, Extent | None], Tensor]) -> None:
        """Take up what `state` gave.

        Args:
            names: of its tensors; those of another process's parameters among them are left.
            read: gives a block of a tensor, or all of it.
        """
        parameters = {name: parameter for parameter, name in self._names.items()}
        for optimiser in self.optimisers.values():
            optimiser.state.clear()
        for key in names:
            kind, _, rest = key.partition(".")
            name, _, field = rest.rpartition(".")
            if name not in parameters:
                continue
            parameter = parameters[name]
            if field in SCALARS:
                value = read(key, None).to(parameter.device)
            else:
                value = like_part(parameter, read(key, extent(parameter)).to(parameter.device))
            self.optimisers[kind].state[parameter][field] = value


def _by_kind(parameters: Iterable[nn.Parameter]) -> list[list[nn.Parameter]]:
    """What one fused step can take together: whole parameters, and those split over the same processes."""
    kinds: dict[object, list[nn.Parameter]] = {}
    for parameter in parameters:
        kinds.setdefault(mesh_of(parameter), []).append(parameter)
    return list(kinds.values())
