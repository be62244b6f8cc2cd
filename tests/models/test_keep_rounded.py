"""Matrices kept in bfloat16 give what matrices give that every forward pass rounds to it."""

import pytest
import torch

import headstart as hs
from headstart.interchange.model_folder import LoadedModel, save_model
from headstart.models.registry import FAMILIES, make_config
from headstart.models.transformer import Transformer, build

SIZES = {"vocab_size": 600, "layers": 2, "width": 32, "heads": 4, "feedforward_width": 128, "context": 64}


def small(family: str) -> Transformer:
    config = make_config(family, dict(SIZES))
    model = build(config, 0, torch.bfloat16).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.1
            )
    return model


@torch.no_grad()
def states(model: Transformer) -> list[torch.Tensor]:
    ids = torch.randint(600, (2, 20), generator=torch.Generator().manual_seed(2))
    if model.config.architecture == "encoder-decoder":
        found = [model.encode(ids)]
        found.append(model(ids[:, :7], encoder_states=found[0]))
    else:
        found = [model(ids)]
    if model.pooler is not None:
        found.append(model.pooled(found[-1][:, 0]))
    return [*found, model.logits(found[-1] if model.pooler is None else found[0])]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_bits_in_half_the_room(family) -> None:
    model = small(family)
    before = states(model)
    whole = sum(parameter.nbytes for parameter in model.parameters())
    model.keep_rounded()
    assert all(torch.equal(one, other) for one, other in zip(before, states(model), strict=True))
    room = 0.65 if family == "deberta-v3" else 0.55  # its table of relative places stays as it is
    assert sum(parameter.nbytes for parameter in model.parameters()) < room * whole


def test_what_goes_on_from_a_model_has_all_its_bits(tokenizer, tmp_path) -> None:
    model = small("gpt2")
    save_model(tmp_path / "model", LoadedModel(model, tokenizer, "causal"), "")
    loaded = hs.load(tmp_path / "model", "bfloat16")
    assert loaded.loaded.model.embedding.weight.dtype == torch.bfloat16
    loaded.save(tmp_path / "again")
    again = hs.load(tmp_path / "again").loaded.model.state_dict()
    for name, parameter in model.state_dict().items():
        assert torch.equal(again[name], parameter)
