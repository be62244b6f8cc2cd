"""Cross-entropy over a large vocabulary, without its table of scores.

For N targets and a vocabulary of V the plain way keeps three tables `[N, V]` in float32: the scores,
their log-softmax and their gradients. Here each chunk of targets gets scores, loss and gradients at
once, and only the gradients of states and weights outlive it; the backward pass just scales them.
"""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from headstart.objectives.score_chunks import CHUNK, GPU_CHUNK, LARGE


def cross_entropy_sum(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
    compiled: bool = False,
    cap: float = 0.0,
) -> Tensor:
    """Summed cross-entropy, in nats, of `targets` under the scores `hidden @ weight.T + bias`.

    Args:
        hidden: states `[N, D]`, in the dtype in which the scores are computed.
        weight: `[V, D]`, bias: `[V]`; float32, cast to the states' dtype.
        targets: `[N]` ids.
        z_loss: adds this times the squared log of the sum of exponentiated scores, so that scores do not
            drift (Chowdhery et al. 2022, section 5).
        label_smoothing: share of each target that is spread evenly over the vocabulary (Szegedy et al.
            2016, section 7).
        compiled: pass over the scores in one compiled kernel.
        cap: scores s become cap * tanh(s / cap); 0: they stay.
    """
    if not compiled and targets.numel() * len(weight) <= LARGE:
        logits = F.linear(hidden, weight.to(hidden.dtype), None if bias is None else bias.to(hidden.dtype))
        logits = logits.float()
        logits = cap * torch.tanh(logits / cap) if cap else logits
        loss = F.cross_entropy(logits, targets, reduction="sum", label_smoothing=label_smoothing)
        return loss + z_loss * logits.logsumexp(1).square().sum() if z_loss else loss
    learning = torch.is_grad_enabled()
    total: Tensor = _Chunked.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, targets, z_loss, label_smoothing, compiled, learning, cap
    )
    return total


def _losses(
    scores: Tensor, answers: Tensor, z_loss: float, smoothing: float, cap: float = 0.0
) -> tuple[Tensor, Tensor]:
    """The summed loss of a chunk, and its gradient for the scores, in their dtype and maybe their place.

    Args:
        scores: `[n, V]`; answers: `[n, 1]`.
    """
    kind, scores = scores.dtype, scores.float()
    scores = cap * torch.tanh(scores / cap) if cap else scores
    slope_of_cap = 1.0 - (scores / cap).square() if cap else None
    score = scores.gather(1, answers)  # [n, 1]
    right = (1.0 - smoothing) * score + smoothing * scores.mean(1, keepdim=True) if smoothing else score
    highest = scores.amax(1, keepdim=True)
    shares = scores.sub_(highest).exp_()
    sums = shares.sum(1, keepdim=True)
    log_sum = sums.log() + highest
    loss = (log_sum - right + z_loss * log_sum.square()).sum()
    # d loss / d scores = softmax (1 + 2 z log_sum) - the smoothed one-hot.
    slope = (1.0 + 2.0 * z_loss * log_sum) / sums
    gradient = shares.mul_(slope)
    if smoothing:
        gradient.sub_(smoothing / scores.shape[1])
    at_answer = (score - highest).exp() * slope - smoothing / scores.shape[1] - (1.0 - smoothing)
    gradient = gradient.to(kind)
    gradient = gradient.scatter_(1, answers, at_answer.to(kind))
    return loss, gradient if slope_of_cap is None else gradient.mul_(slope_of_cap)


@cache
def _compiled_losses() -> Any:
    return torch.compile(_losses)


class _Chunked(torch.autograd.Function):
    """Loss and gradients chunk by chunk, both in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        z_loss: float,
        smoothing: float,
        compiled: bool,
        learning: bool,
        cap: float,
    ) -> Tensor:
        wanted = [learning and needed for needed in ctx.needs_input_grad[:3]]
        cast_weight = weight.to(hidden.dtype)
        cast_bias = None if bias is None else bias.to(hidden.dtype)
        hidden_gradient = torch.empty_like(hidden) if wanted[0] else None
        # The first chunk overwrites it; a batch without targets has none.
        make = torch.empty_like if len(hidden) else torch.zeros_like
        weight_gradient = make(weight) if wanted[1] else None
        bias_gradient = torch.zeros_like(bias) if bias is not None and wanted[2] else None
        total = hidden.new_zeros((), dtype=torch.float32)
        rows = max(1, (GPU_CHUNK if hidden.is_cuda else CHUNK) // len(weight))
        for first in range(0, len(hidden), rows):
            states = hidden[first : first + rows]  # [n, D]
            answers = targets[first : first + rows, None]  # [n, 1]
            scores = F.linear(states, cast_weight, cast_bias)  # [n, V]
            losses = _compiled_losses() if compiled else _losses
            loss, gradient = losses(scores, answers, z_loss, smoothing, cap)
            total += loss
            if not any(wanted):
                continue
            if hidden_gradient is not None:
                torch.mm(gradient, cast_weight, out=hidden_gradient[first : first + rows])
            if weight_gradient is not None:
                if weight.dtype == hidden.dtype:
                    weight_gradient.addmm_(gradient.T, states, beta=min(first, 1))
                elif first:
                    weight_gradient += gradient.T @ states
                else:
                    weight_gradient.copy_(gradient.T @ states)
            if bias_gradient is not None:
                bias_gradient += gradient.float().sum(0)
        ctx.gradients = (hidden_gradient, weight_gradient, bias_gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = outputs
        gradients, ctx.gradients = ctx.gradients, None
        scaled = [None if gradient is None else gradient.mul_(scale) for gradient in gradients]
        return (*scaled, None, None, None, None, None, None)
