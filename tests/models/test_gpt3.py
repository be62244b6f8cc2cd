"""GPT-3 computes what transformers' GPT-Neo computes: dense and banded layers in turns."""

import pytest
import torch
import transformers
from decoders import (
    ROWS,
    VOCABULARY,
    assert_folder,
    assert_reading_changes_nothing,
    compare_causal,
    compare_head,
    every_weight_has_a_name,
    model_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import stir

from headstart.models.families.gpt3 import GPT3
from headstart.models.registry import make_config
from headstart.models.transformer import build

SHAPES = st.fixed_dictionaries(
    {
        "num_layers": st.integers(1, 4),
        "num_heads": st.sampled_from([1, 3, 4]),
        "head_width": st.sampled_from([8, 11, 16]),
        "intermediate_size": st.sampled_from([None, 5, 70]),
        "activation_function": st.sampled_from(["gelu_new", "gelu", "relu"]),
        "window_size": st.integers(1, 45),
        "dense": st.booleans(),
        "tie_word_embeddings": st.booleans(),
    }
)
HEADS = {
    "features": transformers.GPTNeoModel,
    "classification": transformers.GPTNeoForSequenceClassification,
    "tagging": transformers.GPTNeoForTokenClassification,
    "spans": transformers.GPTNeoForQuestionAnswering,
}


def theirs_of(kind: type, shape: dict) -> transformers.PreTrainedModel:
    shape = dict(shape)
    layers, heads = shape["num_layers"], shape["num_heads"]
    types = [[["global"], layers]]
    if not shape.pop("dense"):
        types = [[["global", "local"], layers // 2], [["global"], layers % 2]]
    config = transformers.GPTNeoConfig(
        vocab_size=VOCABULARY,
        hidden_size=shape.pop("head_width") * heads,
        max_position_embeddings=40,
        attention_types=types,
        num_labels=3,
        pad_token_id=0,
        **shape,
    )
    return stir(kind(config))


@settings(max_examples=12)
@given(shape=SHAPES, rows=ROWS)
def test_logits_states_and_gradients(shape, rows) -> None:
    ours = compare_causal(theirs_of(transformers.GPTNeoForCausalLM, shape), "gpt3", **rows)
    every_weight_has_a_name(ours)


@settings(max_examples=8)
@given(shape=SHAPES, head=st.sampled_from(sorted(HEADS)), rows=ROWS)
def test_heads(shape, head, rows) -> None:
    compare_head(theirs_of(HEADS[head], shape), "gpt3", head, **rows)


def test_reading_in_pieces_padded_and_packed() -> None:
    assert_reading_changes_nothing(model_of("gpt3", layers=4, window=4))


def test_a_band_is_its_width_its_own_token_among_them() -> None:
    model = model_of("gpt3", layers=3, window=4)
    reach = []

    def note(_: torch.nn.Module, arguments: tuple, output: torch.Tensor) -> None:
        (slope,) = torch.autograd.grad(output[0, -1].square().sum(), arguments[0], retain_graph=True)
        reach.append(slope[0].abs().sum(-1).nonzero().flatten().tolist())

    for block in model.decoder.blocks:
        block.attention.register_forward_hook(note)
    model(torch.randint(1, VOCABULARY, (1, 20), generator=torch.Generator().manual_seed(0)))
    everything = list(range(20))
    assert reach == [everything, [16, 17, 18, 19], everything]


@pytest.mark.parametrize(
    ("head", "auto"),
    [
        ("causal", transformers.AutoModelForCausalLM),
        ("features", transformers.AutoModel),
        ("classification", transformers.AutoModelForSequenceClassification),
        ("tagging", transformers.AutoModelForTokenClassification),
        ("spans", transformers.AutoModelForQuestionAnswering),
    ],
)
def test_folder(head, auto, tokenizer, tmp_path) -> None:
    model = model_of("gpt3", vocab_size=600, window=5)
    assert_folder(tmp_path / "m", model, tokenizer, head, auto)


@pytest.mark.parametrize("layers", [1, 2, 5])
@pytest.mark.parametrize("window", [0, 7])
def test_the_order_of_layers_survives_a_folder(layers, window) -> None:
    config = model_of("gpt3", layers=layers, window=window).config
    again = make_config("gpt3", GPT3.from_hf(GPT3.to_hf(config)))
    windows = [[one.layer(layer).window for layer in range(layers)] for one in (config, again)]
    assert windows[0] == windows[1] == [window if layer % 2 else 0 for layer in range(layers)]


@pytest.mark.parametrize("types", [[[["local"], 3]], [[["local", "global"], 1], [["local"], 1]]])
@settings(max_examples=4)
@given(rows=ROWS)
def test_other_orders_of_layers(types, rows) -> None:
    config = transformers.GPTNeoConfig(
        vocab_size=VOCABULARY, hidden_size=24, num_heads=3, num_layers=3, intermediate_size=96,
        max_position_embeddings=40, attention_types=types, window_size=5,
    )  # fmt: skip
    compare_causal(stir(transformers.GPTNeoForCausalLM(config)), "gpt3", **rows)


@pytest.mark.parametrize(
    "change", [{"attention_types": [[["ring"], 3]]}, {"attention_types": [[["local"], 2]]}]
)
def test_unknown_kinds_of_layers_are_not_computed(change) -> None:
    with pytest.raises(ValueError, match="attention_types"):
        GPT3.from_hf(GPT3.to_hf(model_of("gpt3").config) | change)


def test_queries_start_smaller_as_scores_are_not_scaled() -> None:
    sizes = {"vocab_size": 97, "layers": 2, "width": 256, "heads": 4, "feedforward_width": 64}
    attention = build(make_config("gpt3", sizes), 0).decoder.blocks[1].attention
    ratio = attention.query.weight.std() / attention.key.weight.std()
    torch.testing.assert_close(ratio, torch.tensor(1 / 8), rtol=0.02, atol=0)
