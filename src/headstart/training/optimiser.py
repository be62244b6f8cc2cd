"""Muon for matrices, AdamW for the rest, and the schedule of their rates."""

import math

import torch
from torch import Tensor, nn

from headstart.training.recipe import OptimiserRecipe

# Where the matrices of the model's inside are; others are tables, looked up or written to by token.
MATRICES = ("encoder.blocks.", "decoder.blocks.", "prediction_head.", "pooler.")


class Optimiser:
    """Two optimisers that step together.

    Muon (Jordan 2024) replaces a matrix's momentum by the nearest orthogonal matrix; it takes the
    matrices of the blocks. AdamW (Loshchilov & Hutter 2017) takes embeddings, an untied
    output, norms and biases, with weight decay on the two first alone.
    """

    def __init__(self, model: nn.Module, recipe: OptimiserRecipe) -> None:
        self.recipe = recipe
        named = list(model.named_parameters())
        self.parameters = [parameter for _, parameter in named]
        matrices = [p for name, p in named if p.dim() == 2 and name.startswith(MATRICES)]
        tables = [p for name, p in named if p.dim() == 2 and not name.startswith(MATRICES)]
        vectors = [p for _, p in named if p.dim() < 2]
        self.muon = torch.optim.Muon(
            matrices,
            lr=recipe.matrix_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )
        self.adam = torch.optim.AdamW(
            [
                {"params": tables, "weight_decay": recipe.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=recipe.vector_rate,
            betas=recipe.betas,
            fused=True,
        )

    def step(self, scale: float) -> float:
        """Clip, update with rates of `scale` times their peaks, clear; returns the gradient norm."""
        norm = float(nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip))
        for optimiser, peak in ((self.muon, self.recipe.matrix_rate), (self.adam, self.recipe.vector_rate)):
            for group in optimiser.param_groups:
                group["lr"] = peak * scale
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        return norm

    def state(self) -> dict[str, Tensor]:
        """Everything to go on from, as flat tensors."""
        return {
            f"{kind}.{index}.{name}": tensor
            for kind, optimiser in (("muon", self.muon), ("adam", self.adam))
            for index, values in optimiser.state_dict()["state"].items()
            for name, tensor in values.items()
        }

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `state` gave."""
        for kind, optimiser in (("muon", self.muon), ("adam", self.adam)):
            whole = optimiser.state_dict()
            for key, tensor in tensors.items():
                owner, index, name = key.split(".", 2)
                if owner == kind:
                    whole["state"].setdefault(int(index), {})[name] = tensor
            optimiser.load_state_dict(whole)


def rate_at(step: int, steps: int, recipe: OptimiserRecipe) -> float:
    """The share of the peak rate at a step counted from 0: linear rise, flat top, linear fall.

    The first update is not zero, and the last is `final_share`.
    """
    warmup = math.ceil(recipe.warmup_share * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    decay = math.ceil(recipe.decay_share * steps)
    left = steps - 1 - step
    if left >= decay:
        return 1.0
    return recipe.final_share + (1.0 - recipe.final_share) * left / decay
