"""Comparing a model of ours with transformers' model of the same family: weights, states, gradients."""

from collections.abc import Container
from copy import deepcopy
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from headstart.interchange.weights import fit, to_hf
from headstart.models.heads import Head
from headstart.models.registry import family_named, make_config
from headstart.models.transformer import Transformer

TOLERANCE = 1e-5

M = TypeVar("M", bound=torch.nn.Module)
V = TypeVar("V")


def stir(theirs: PreTrainedModel, seed: int = 0) -> PreTrainedModel:
    """Every weight moved, so that no norm is all ones and no bias all zeros."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in filter(lambda parameter: parameter.requires_grad, theirs.parameters()):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))
    return theirs.eval()


def ours_from(theirs: PreTrainedModel, family: str, head: str) -> tuple[Transformer, Head | None]:
    """Our model with their weights, through `config.json`'s fields and the names of a folder's weights.

    Where a ReLU lets a number through or not, two orders of a sum must not decide: both compute in double.
    """
    module = family_named(family)
    fields = theirs.config.to_diff_dict() | theirs.config.to_dict()
    if "relu" in fields.values():
        theirs.double()
    config = make_config(family, module.from_hf(fields))
    fitted = fit(
        iter(in_files(theirs.state_dict(), family).items()),
        config,
        module,
        head,
        theirs.dtype,
        Path("theirs"),
    )
    own_head = None
    if fitted.classifier:
        own_head = Head(config.width, module.heads[head], len(fitted.classifier["weight"]))
        own_head.load(fitted.classifier)
        own_head.eval()
    return fitted.model.eval(), own_head


def in_files(state: dict[str, V], family: str) -> dict[str, V]:
    """Weights by their names in the files that transformers writes: GPT-NeoX's output has another here."""
    if family != "gpt-neox":
        return state
    return {name.replace("lm_head.", "embed_out."): value for name, value in state.items()}


def trained(theirs: PreTrainedModel, family: str, written: Container[str]) -> dict[str, Tensor]:
    """Their weights that learn, each once: of several names of one weight that which is written."""
    found: dict[int, tuple[str, Tensor]] = {}
    for name, parameter in in_files(dict(theirs.named_parameters(remove_duplicate=False)), family).items():
        if parameter.requires_grad and (id(parameter) not in found or name in written):
            found[id(parameter)] = name, parameter
    return dict(found.values())


def assert_close(ours: Tensor, theirs: Tensor, what: str = "", tolerance: float = TOLERANCE) -> None:
    """Equal within `tolerance` of the largest value."""
    assert ours.shape == theirs.shape, (what, ours.shape, theirs.shape)
    ours, theirs = ours.detach(), theirs.detach()
    difference = float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-30))
    assert difference < tolerance, (what, difference)


def assert_weights_go_back(
    ours: Transformer, own_head: Head | None, theirs: PreTrainedModel, head: str
) -> None:
    """What we would write is, name for name and bit for bit, what they have (tied weights once).

    What they never train, sinusoids, is computed and not written.
    """
    module = family_named(ours.config.family)
    written = to_hf(ours, module, head, own_head.weights() if own_head else None)
    state = in_files(theirs.state_dict(), ours.config.family)
    parameters = set(trained(theirs, ours.config.family, written))
    assert set(written) <= set(state), sorted(set(written) - set(state))
    assert parameters <= set(written), sorted(parameters - set(written))
    for name, tensor in written.items():
        assert torch.equal(tensor, state[name]), name


def assert_gradients(
    ours: Transformer, own_head: Head | None, theirs: PreTrainedModel, head: str, loss: Tensor, other: Tensor
) -> None:
    """The gradients of two equal losses, ours first, by their names in a folder.

    Equal within 1e-4 of a weight's largest; where that is next to nothing beside the other weights'
    (a bias of keys moves no softmax), within 1e-6 of theirs.
    """
    loss.backward()
    other.backward()
    written = to_hf(_gradients(ours), family_named(ours.config.family), head, None)
    if own_head is not None:
        grown = _gradients(own_head).weights()
        written |= {name: grown[part] for name, part in own_head.shape.weights.items()}
    gradients = {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in trained(theirs, ours.config.family, written).items()
    }
    assert gradients.keys() <= written.keys()
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    for name, gradient in gradients.items():
        difference = float((written[name] - gradient).abs().max())
        allowed = max(1e-4 * float(gradient.abs().max()), 1e-6 * largest)
        assert difference < allowed, (name, difference, allowed)


def _gradients(module: M) -> M:
    """A copy whose weights are the module's gradients."""
    copied = deepcopy(module)
    with torch.no_grad():
        for parameter, own in zip(copied.parameters(), module.parameters(), strict=True):
            parameter.copy_(torch.zeros_like(own) if own.grad is None else own.grad)
    return copied
