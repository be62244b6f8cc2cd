"""Comparing a model of ours with transformers' model of the same family: weights, states, gradients."""

from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from headstart.interchange.weights import fit, to_hf
from headstart.models.heads import Head
from headstart.models.registry import family_named, make_config
from headstart.models.transformer import Transformer

TOLERANCE = 1e-5


def stir(theirs: PreTrainedModel, seed: int = 0) -> PreTrainedModel:
    """Every weight moved, so that no norm is all ones and no bias all zeros."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))
    return theirs.eval()


def ours_from(theirs: PreTrainedModel, family: str, head: str) -> tuple[Transformer, Head | None]:
    """Our model with their weights, through `config.json`'s fields and the names of a folder's weights."""
    module = family_named(family)
    fields = theirs.config.to_diff_dict() | theirs.config.to_dict()
    config = make_config(family, module.from_hf(fields))
    fitted = fit(iter(theirs.state_dict().items()), config, module, head, torch.float32, Path("theirs"))
    own_head = None
    if fitted.classifier:
        own_head = Head(config.width, module.HEADS[head], len(fitted.classifier["weight"]))
        own_head.load(fitted.classifier)
        own_head.eval()
    return fitted.model.eval(), own_head


def assert_close(ours: Tensor, theirs: Tensor, what: str = "", tolerance: float = TOLERANCE) -> None:
    """Equal within `tolerance` of the largest value."""
    assert ours.shape == theirs.shape, (what, ours.shape, theirs.shape)
    ours, theirs = ours.detach(), theirs.detach()
    difference = float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-30))
    assert difference < tolerance, (what, difference)


def assert_weights_go_back(
    ours: Transformer, own_head: Head | None, theirs: PreTrainedModel, head: str
) -> None:
    """What we would write is, name for name and bit for bit, what they have (tied weights once)."""
    module = family_named(ours.config.family)
    written = to_hf(ours, module, head, own_head.weights() if own_head else None)
    state = theirs.state_dict()
    parameters = {name for name, _ in theirs.named_parameters()}
    assert set(written) <= set(state), sorted(set(written) - set(state))
    assert parameters <= set(written), sorted(parameters - set(written))
    for name, tensor in written.items():
        assert torch.equal(tensor, state[name]), name


def assert_gradients(
    ours: Transformer, own_head: Head | None, theirs: PreTrainedModel, head: str, loss: Tensor, other: Tensor
) -> None:
    """The gradients of two equal losses, ours first, by their names in a folder."""
    loss.backward()
    other.backward()
    gradients = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in ours.named_parameters()}
    module = family_named(ours.config.family)
    for name, stored in module.weights(ours.config).items():
        outside = dict(theirs.named_parameters()).get(name)
        if outside is None or not all(part in gradients for part in stored):
            continue
        own = torch.cat([gradients[part] for part in stored])
        own = own.T if stored.transposed else own
        reference = torch.zeros_like(own) if outside.grad is None else outside.grad
        if float(reference.abs().max()) < 1e-7:  # a bias of keys moves no softmax
            assert float(own.abs().max()) < 1e-6, name
        else:
            assert_close(own, reference, name, tolerance=1e-4)
    if own_head is not None:
        shape = module.HEADS[head]
        for name, part in shape.weights.items():
            own_name = part if "." in part else f"output.{part}"
            outside = dict(theirs.named_parameters())[name]
            assert_close(dict(own_head.named_parameters())[own_name].grad, outside.grad, name, 1e-4)
