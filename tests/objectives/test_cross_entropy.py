"""The chunked loss is the plain one, in value and in gradients, and never makes the whole table of scores."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from headstart.objectives import cross_entropy
from headstart.objectives.cross_entropy import cross_entropy_sum

N, V, D = 101, 57, 16


@pytest.fixture
def chunked(monkeypatch) -> None:
    """Always in chunks, of 7 rows, which do not divide N."""
    monkeypatch.setattr(cross_entropy, "LARGE", 0)
    monkeypatch.setattr(cross_entropy, "CHUNK", 7 * V + 3)


def inputs(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    hidden = torch.randn(N, D, generator=random).to(dtype)
    weight, bias = torch.randn(V, D, generator=random), torch.randn(V, generator=random)
    return hidden, weight, bias, torch.randint(V, (N,), generator=random)


def plain(hidden, weight, bias, targets, z_loss=0.0, label_smoothing=0.0, cap=0.0) -> torch.Tensor:
    """In float64, from what the scores are computed of."""
    bias = None if bias is None else bias.to(hidden.dtype).double()
    logits = F.linear(hidden.double(), weight.to(hidden.dtype).double(), bias)
    logits = cap * torch.tanh(logits / cap) if cap else logits
    drift = (logits.exp().sum(1).log() ** 2).sum()
    return F.cross_entropy(logits, targets, reduction="sum", label_smoothing=label_smoothing) + z_loss * drift


@pytest.mark.parametrize("way", ["plain", "chunked"])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("cap", [0.0, 3.0])
@pytest.mark.parametrize("added", [(0.0, 0.0), (0.01, 0.0), (0.0, 0.1), (0.01, 0.1)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_value_and_gradients(request, way, dtype, tolerance, added, cap, with_bias) -> None:
    """`added`: the weight of the z-loss, and the label smoothing."""
    if way == "chunked":
        request.getfixturevalue("chunked")
    *tensors, targets = inputs(dtype)
    if not with_bias:
        tensors[2] = None
    found, expected = [], []
    for way, grads in ((cross_entropy_sum, found), (plain, expected)):
        leaves = [None if tensor is None else tensor.clone().requires_grad_() for tensor in tensors]
        loss = way(*leaves, targets, *added, cap=cap)
        (loss / 3).backward()
        grads += [loss.detach(), *(leaf.grad for leaf in leaves if leaf is not None)]
    for ours, theirs in zip(found, expected, strict=True):
        largest = float(theirs.abs().max())
        torch.testing.assert_close(ours.double(), theirs.double(), rtol=tolerance, atol=tolerance * largest)
    assert found[2].dtype == torch.float32, "the weights' gradient is added up in float32"


def test_a_weight_that_is_used_twice_gets_both_gradients(chunked) -> None:
    _, weight, bias, targets = inputs(torch.float32)
    found = []
    for way in (cross_entropy_sum, plain):
        table = weight.clone().requires_grad_()
        way(torch.tanh(table[targets.flip(0)]), table, bias, targets).backward()
        found.append(table.grad)
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("trained", [(True, False, False), (False, True, False), (False, False, True)])
def test_only_what_learns_gets_a_gradient(chunked, trained) -> None:
    *tensors, targets = inputs(torch.float32)
    leaves = [tensor.clone().requires_grad_(on) for tensor, on in zip(tensors, trained, strict=True)]
    cross_entropy_sum(*leaves, targets).backward()
    assert [leaf.grad is not None for leaf in leaves] == list(trained)


class _Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor holds that any operation makes."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return made


@pytest.mark.parametrize("learning", [True, False])
def test_the_table_of_scores_is_never_whole(chunked, learning) -> None:
    *tensors, targets = inputs(torch.float32)
    leaves = [tensor.requires_grad_() for tensor in tensors]
    with _Largest() as largest, torch.set_grad_enabled(learning):
        loss = cross_entropy_sum(*leaves, targets)
        if learning:
            loss.backward()
    assert largest.numbers <= max(7 * V, N * D, V * D)
    assert loss.requires_grad == learning
    torch.testing.assert_close(loss.detach().double(), plain(*leaves, targets).detach(), rtol=1e-6, atol=0)


def test_a_small_table_goes_the_plain_way_bit_for_bit() -> None:
    hidden, weight, bias, targets = inputs(torch.float32)
    expected = F.cross_entropy(F.linear(hidden, weight, bias), targets, reduction="sum")
    assert torch.equal(cross_entropy_sum(hidden, weight, bias, targets), expected)


def test_no_targets(chunked) -> None:
    hidden, weight, bias, targets = inputs(torch.float32)
    weight.requires_grad_()
    loss = cross_entropy_sum(hidden[:0], weight, bias, targets[:0])
    loss.backward()
    assert float(loss.detach()) == 0
    assert not weight.grad.any()
