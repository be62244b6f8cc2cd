"""Who moves which weight, how far, and that the optimiser's state can be put away."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from headstart.training.muon import Muon, orthogonal
from headstart.training.optimiser import Optimiser, is_matrix
from headstart.training.recipe import OptimiserRecipe

KINDS = ("muon", "adamw")


def trained(model, optimiser: Optimiser, steps: int) -> None:
    ids = torch.randint(4, 600, (2, 16), generator=torch.Generator().manual_seed(0))
    for _ in range(steps):
        model.logits(model(ids)).logsumexp(-1).mean().backward()
        assert optimiser.step(0.5) > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["headstart-encoder", "headstart-decoder"])
def test_state_goes_on_exactly(tiny, family, kind) -> None:
    recipe = OptimiserRecipe(kind=kind)
    straight, first, second = tiny(family), tiny(family), tiny(family, seed=5)
    trained(straight, Optimiser(straight, recipe), 5)
    optimiser = Optimiser(first, recipe)
    trained(first, optimiser, 2)
    second.load_state_dict(first.state_dict())
    continued = Optimiser(second, recipe)
    saved = {name: tensor.clone() for name, tensor in optimiser.state().items()}
    continued.load_state(saved, lambda name, extent: saved[name])
    trained(second, continued, 3)
    for name, tensor in straight.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_has_one_optimiser_and_moves(tiny, kind) -> None:
    model = tiny("headstart-encoder")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimiser = Optimiser(model, OptimiserRecipe(kind=kind))
    groups = [group for part in optimiser.optimisers.values() for group in part.param_groups]
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in model.parameters())
    trained(model, optimiser, 1)
    assert all(parameter.grad is None for parameter in model.parameters())
    for name, tensor in model.state_dict().items():
        assert not torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_decay_is_on_matrices_and_tables_alone(tiny, kind) -> None:
    """Without gradients to follow, decay alone moves weights: by its share of the rate."""
    model = tiny("bert", pooler=True)
    for parameter in model.parameters():
        with torch.no_grad():
            parameter.add_(1.0)
        parameter.grad = torch.zeros_like(parameter)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    recipe = OptimiserRecipe(kind=kind, weight_decay=0.5, matrix_rate=0.02, vector_rate=0.01)
    Optimiser(model, recipe).step(0.5)
    names = set()
    for name, parameter in model.named_parameters():
        rate = 0.01 if is_matrix(name, parameter) else 0.005
        left = 1.0 if parameter.dim() < 2 else 1.0 - 0.5 * rate
        torch.testing.assert_close(parameter.detach(), left * before[name], msg=name)
        names |= {name} if is_matrix(name, parameter) else set()
    assert "pooler.weight" in names
    assert not any("embedding" in name or "positions" in name or "output" in name for name in names)


def test_adamw_is_that_of_the_paper(tiny) -> None:
    """Loshchilov & Hutter 2017, algorithm 2, written out in float64."""
    model = tiny("headstart-decoder")
    recipe = OptimiserRecipe(kind="adamw", matrix_rate=0.003, vector_rate=0.001, weight_decay=0.1, clip=1e9)
    optimiser = Optimiser(model, recipe)
    weights = {name: p.detach().double().clone() for name, p in model.named_parameters()}
    first = {name: torch.zeros_like(w) for name, w in weights.items()}
    second = {name: torch.zeros_like(w) for name, w in weights.items()}
    random = torch.Generator().manual_seed(0)
    for step in range(1, 6):
        for name, parameter in model.named_parameters():
            parameter.grad = torch.randn(parameter.shape, generator=random)
            g = parameter.grad.double()
            rate = 0.7 * (0.003 if is_matrix(name, parameter) else 0.001)
            first[name] = 0.9 * first[name] + 0.1 * g
            second[name] = 0.95 * second[name] + 0.05 * g * g
            mean, square = first[name] / (1 - 0.9**step), second[name] / (1 - 0.95**step)
            decay = 0.1 if parameter.dim() >= 2 else 0.0
            weights[name] = weights[name] - rate * (mean / (square.sqrt() + 1e-8) + decay * weights[name])
        optimiser.step(0.7)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach().double(), weights[name], rtol=1e-5, atol=1e-6, msg=name)


def test_muon_makes_updates_of_the_size_that_adamw_makes(tiny) -> None:
    """The root mean square of a matrix's update is about 0.2 of the rate, whatever its shape."""
    model = tiny("headstart-decoder", width=64, feedforward_width=176)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = Optimiser(model, OptimiserRecipe(weight_decay=0.0, matrix_rate=0.01))
    random = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=random)
    optimiser.step(1.0)
    for name, parameter in model.named_parameters():
        if is_matrix(name, parameter):
            size = float((parameter.detach() - before[name]).square().mean().sqrt())
            assert size == pytest.approx(0.2 * 0.01, rel=0.35), name


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_clipped_and_a_rate_of_zero_moves_nothing(tiny, kind) -> None:
    model, twin = tiny("headstart-decoder"), tiny("headstart-decoder")
    optimiser = Optimiser(model, OptimiserRecipe(kind=kind, clip=0.5))
    (model.logits(model(torch.arange(20)[None])).logsumexp(-1).sum() * 1000).backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    norm = optimiser.step(0.0)
    assert norm == pytest.approx(float(torch.cat([g.flatten() for g in gradients.values()]).norm()))
    assert norm > 0.5, "the norm before clipping is told"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    # What the momentum kept is the clipped gradient.
    other = Optimiser(twin, OptimiserRecipe(kind=kind, clip=1e9))
    for name, parameter in twin.named_parameters():
        parameter.grad = gradients[name] * (0.5 / norm)
    other.step(0.0)
    for name, tensor in optimiser.state().items():
        torch.testing.assert_close(tensor, other.state()[name], rtol=1e-4, atol=1e-9, msg=name)


def test_a_norm_from_outside_decides_where_processes_share_a_gradient() -> None:
    model = nn.Linear(3, 2)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser = Optimiser(model, OptimiserRecipe(kind="adamw", clip=1.0))
    assert optimiser.step(0.0, norm=100.0) == 100.0
    first = optimiser.state()["adam.weight.exp_avg"]
    torch.testing.assert_close(first, torch.full((2, 3), 0.1 / 100))


def test_a_weight_without_a_gradient_stays_and_is_no_trouble(tiny) -> None:
    """As the pooler of a model that learns by masked tokens alone."""
    model = tiny("headstart-encoder")
    last = list(model.named_parameters())[-1][0]
    optimiser = Optimiser(model, OptimiserRecipe())
    for name, parameter in model.named_parameters():
        parameter.grad = None if name == last else torch.ones_like(parameter)
    before = model.state_dict()[last].clone()
    optimiser.step(1.0)
    assert torch.equal(model.state_dict()[last], before)
    again = Optimiser(model, OptimiserRecipe())
    saved = optimiser.state()
    again.load_state(saved, lambda name, extent: saved[name])
    assert again.state().keys() == optimiser.state().keys()


def test_muon_steps_as_the_reference_does() -> None:
    """Matrices of several shapes, tall and wide, over several steps; only bfloat16's rounding differs."""
    shapes = [(24, 24), (24, 24), (48, 24), (24, 48), (24, 48)]
    torch.manual_seed(0)
    start = [torch.randn(shape) for shape in shapes]
    ours, theirs = ([torch.nn.Parameter(x.clone()) for x in start] for _ in range(2))
    mine = Muon([{"params": ours}], 0.01, 0.9, 0.1)
    reference = torch.optim.Muon(theirs, 0.01, 0.1, 0.9, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        mine.step()
        reference.step()
    for one, other, begun in zip(ours, theirs, start, strict=True):
        moved = (other - begun).norm()
        assert (one - other).norm() < 0.02 * moved
        torch.testing.assert_close(
            mine.state[one]["momentum_buffer"], reference.state[other]["momentum_buffer"]
        )


@given(st.integers(1, 3), st.integers(2, 20), st.integers(2, 20), st.integers(0, 99))
def test_orthogonal_matrices_have_singular_values_near_one(count, rows, columns, seed) -> None:
    x = torch.randn(count, rows, columns, generator=torch.Generator().manual_seed(seed))
    values = torch.linalg.svdvals(x)
    assume(float(values[:, -1].min()) > 0.05 * float(values[:, 0].max()))
    found = torch.linalg.svdvals(orthogonal(x).float())
    assert float(found.min()) > 0.6
    assert float(found.max()) < 1.3
