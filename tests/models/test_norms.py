"""Norms: values of torch's own to the bit, and gradients that hold over any number of tokens."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.models.parts.norms import LayerNorm, RMSNorm

WIDTH = 24
KINDS = {
    "layernorm": lambda: LayerNorm(WIDTH, 1e-5, bias=True),
    "layernorm without shift": lambda: LayerNorm(WIDTH, 1e-5, bias=False),
    "rmsnorm": lambda: RMSNorm(WIDTH, 1e-5),
    "rmsnorm plus one": lambda: RMSNorm(WIDTH, 1e-5, plus_one=True),
}


def a_norm(kind: str) -> nn.Module:
    """With weights at random, and a seed that is set behind it."""
    torch.manual_seed(0)
    norm = KINDS[kind]()
    for weight in norm.parameters():
        nn.init.normal_(weight)
    return norm


def by_hand(norm: nn.Module, x: Tensor) -> Tensor:
    """From the definitions."""
    if isinstance(norm, LayerNorm):
        x = x - x.mean(-1, keepdim=True)
    normed = x / (x.square().mean(-1, keepdim=True) + norm.epsilon).sqrt()
    if isinstance(norm, RMSNorm):
        return normed * (norm.weight + norm.plus_one)
    return normed * norm.weight + (0 if norm.bias is None else norm.bias)


@pytest.mark.parametrize("precision", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_values_are_the_same_with_and_without_gradients(kind: str, precision: torch.dtype) -> None:
    norm = a_norm(kind)
    x = torch.randn(3, 5, WIDTH, dtype=torch.float64).to(precision)
    if precision == torch.float64:
        norm.double()
    learned = norm(x)
    with torch.no_grad():
        assert torch.equal(norm(x), learned)
    assert learned.dtype == precision


@pytest.mark.parametrize("turned", [False, True], ids=["in order", "turned"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_definition(kind: str, turned: bool) -> None:
    """Also of heads that lie in memory position by position."""
    norm = a_norm(kind).double()
    x = (3 * torch.randn(2, 4, 3, WIDTH, dtype=torch.float64) + 1).requires_grad_()
    given = x.transpose(1, 2) if turned else x
    dy = torch.randn(given.shape, dtype=torch.float64)
    wanted = torch.autograd.grad(by_hand(norm, given), [x, *norm.parameters()], dy, retain_graph=True)
    found = torch.autograd.grad(norm(given), [x, *norm.parameters()], dy)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_no_gradient_of_bfloat16_is_lost_over_many_tokens(kind: str, weights: torch.dtype) -> None:
    """Sums in bfloat16 stall where a term is less than half a unit of their last place."""
    norm, tokens = a_norm(kind).to(weights), 8192
    x = torch.randn(tokens, WIDTH).bfloat16().requires_grad_()
    dy = (torch.randn(tokens, WIDTH) + 0.3 + F.layer_norm(x.detach().float(), (WIDTH,))).bfloat16()
    exact = KINDS[kind]().double()
    exact.load_state_dict(norm.state_dict())
    y = x.detach().double().requires_grad_()
    wanted = torch.autograd.grad(by_hand(exact, y), [y, *exact.parameters()], dy.double())
    found = torch.autograd.grad(norm(x), [x, *norm.parameters()], dy)
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours - theirs).norm() < 0.005 * theirs.norm()


def test_a_frozen_norm_passes_gradients_on() -> None:
    for kind in KINDS:
        norm = a_norm(kind).requires_grad_(False)
        x = torch.randn(4, WIDTH).bfloat16().requires_grad_()
        norm(x).float().square().sum().backward()
        assert x.grad is not None
        assert x.grad.abs().sum() > 0
