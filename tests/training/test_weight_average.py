"""The average of the weights: its formula, that it can be put on and taken off, that it goes on exactly."""

import pytest
import torch
from torch import nn

from headstart.training.weight_average import Average


def test_it_is_the_weighted_mean_of_what_was_seen() -> None:
    """Written out as a sum; the start weighs next to nothing once there is something better."""
    model, decay = nn.Linear(3, 2, bias=False), 0.9
    start = model.weight.detach().double().clone()
    average = Average(model, decay)
    seen = []
    random = torch.Generator().manual_seed(0)
    for _ in range(200):
        with torch.no_grad():
            model.weight.add_(torch.randn(model.weight.shape, generator=random))
        seen.append(model.weight.detach().double().clone())
        average.update()
    decays = [min(decay, number / (number + 9)) for number in range(1, 201)]
    expected = start * torch.tensor(decays, dtype=torch.float64).prod()
    for number, weight in enumerate(seen):
        left = torch.tensor(decays[number + 1 :], dtype=torch.float64).prod()
        expected = expected + (1 - decays[number]) * left * weight
    torch.testing.assert_close(average.weights["weight"].double(), expected, rtol=1e-5, atol=1e-5)


def test_early_on_the_start_is_soon_forgotten() -> None:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1000.0)
    average = Average(model, 0.9999)
    with torch.no_grad():
        model.weight.fill_(0.0)
    for _ in range(20):
        average.update()
    assert abs(float(average.weights["weight"])) < 1e-3


def test_applied_and_taken_off_again() -> None:
    model = nn.Linear(3, 2)
    average = Average(model, 0.5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    average.update()
    mine = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    averaged = {name: tensor.clone() for name, tensor in average.weights.items()}
    places = [parameter.data_ptr() for parameter in model.parameters()]
    with average.applied():
        assert all(torch.equal(tensor, averaged[name]) for name, tensor in model.state_dict().items())
    with pytest.raises(KeyError), average.applied():
        raise KeyError
    assert all(torch.equal(tensor, mine[name]) for name, tensor in model.state_dict().items())
    assert all(torch.equal(tensor, averaged[name]) for name, tensor in average.weights.items())
    assert [parameter.data_ptr() for parameter in model.parameters()] == places, (
        "the optimiser still holds them"
    )


def test_it_goes_on_exactly() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2, bias=False)
    straight, first = Average(model, 0.95), Average(model, 0.95)
    random = torch.Generator().manual_seed(1)
    second = None
    for number in range(30):
        with torch.no_grad():
            model.weight.add_(torch.randn(model.weight.shape, generator=random))
        straight.update()
        if number == 12:
            second = Average(nn.Linear(3, 2, bias=False), 0.95)
            saved = {name: tensor.clone() for name, tensor in first.state().items()}
            second.load_state(lambda name, extent, saved=saved: saved[name])
            second.model = model
        (second or first).update()
    assert second is not None
    assert torch.equal(second.weights["weight"], straight.weights["weight"])
    assert second.updates == straight.updates == 30
