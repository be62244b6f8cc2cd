"""The house family: one part changed at a time, the same weights as encoder and decoder, folders that come
back."""

import pytest
import torch

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import load_model, save_model
from headstart.models.parameters import parameters
from headstart.models.registry import make_config
from headstart.models.transformer import build
from headstart.objectives.recipe import Causal, Masked, ObjectiveRecipe
from headstart.objectives.vocabulary import read_vocabulary

SIZES = {"vocab_size": 600, "layers": 2, "width": 32, "heads": 4, "feedforward_width": 48, "context": 32}
LEARNED = [("decoder", "causal"), ("decoder", "masked"), ("encoder", "masked")]
VARIANTS = [
    {},
    {"norm": "layernorm"},
    {"norm_place": "post"},
    {"position": "learned"},
    {"position": "none"},
    {"kv_heads": 1},
    {"feedforward": "gelu", "feedforward_width": 72},
    {"feedforward": "relu"},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize(("architecture", "head"), LEARNED)
def test_a_folder_comes_back_as_it_was(tmp_path, tokenizer, variant, architecture, head) -> None:
    config = make_config("house", {**SIZES, "architecture": architecture, **variant})
    model = build(config, 1).eval()
    save_model(tmp_path / "m", model, tokenizer, head, "")
    again = load_model(tmp_path / "m")
    assert (again.model.config, again.head) == (config, head)
    ids = torch.arange(40).reshape(2, 20)
    with torch.no_grad():
        assert torch.equal(again.model.logits(again.model(ids)), model.logits(model(ids)))


def test_encoder_and_decoder_have_the_same_weights_and_another_sight() -> None:
    configs = [make_config("house", {**SIZES, "architecture": name}) for name in ("encoder", "decoder")]
    models = [build(config, 0) for config in configs]
    weights = [list(model.parameters()) for model in models]
    assert all(torch.equal(one, other) for one, other in zip(*weights, strict=True))
    ids = torch.arange(24).reshape(1, 24)
    with torch.no_grad():
        both, left = (model.eval()(ids) for model in models)
    assert not torch.allclose(both[:, 0], left[:, 0], atol=1e-3), "in one of them the first token sees others"


def test_layers_with_and_without_a_gate_have_as_many_weights() -> None:
    gated = make_config("house", SIZES)
    plain = make_config("house", {**SIZES, "feedforward": "gelu", "feedforward_width": 72})
    assert parameters(gated) == parameters(plain)


def test_other_families_have_the_parts_that_they_have() -> None:
    with pytest.raises(HeadstartError, match="leave it out"):
        make_config("llama", {**SIZES, "norm": "layernorm"})


def test_masked_training_from_the_left(tokenizer) -> None:
    known = read_vocabulary(tokenizer)
    left = make_config("house", {**SIZES, "architecture": "decoder"})
    Masked().check_fit(left, known)
    Causal().check_fit(left, known)
    with pytest.raises(HeadstartError, match="masked is for encoders"):
        Masked().check_fit(make_config("llama", SIZES), known)
    with pytest.raises(HeadstartError, match="causal is for decoders"):
        Causal().check_fit(make_config("house", {**SIZES, "architecture": "encoder"}), known)


def test_fates_add_up_to_one() -> None:
    assert ObjectiveRecipe.checked({"kind": "masked", "fates": [1, 0, 0]}).fates == (1, 0, 0)
    with pytest.raises(HeadstartError, match="add up to 1"):
        ObjectiveRecipe.checked({"kind": "masked", "fates": [0.8, 0.8, 0.1]})
