"""GPT-1 computes what transformers' OpenAI GPT computes, with the same weights, under every head."""

import pytest
import transformers
from decoders import (
    ROWS,
    VOCABULARY,
    assert_folder,
    assert_reading_changes_nothing,
    compare_causal,
    compare_head,
    model_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import stir

from headstart.errors import HeadstartError
from headstart.models.families.gpt1 import GPT1
from headstart.models.registry import make_config

SHAPES = st.fixed_dictionaries(
    {
        "n_layer": st.integers(1, 3),
        "n_head": st.sampled_from([1, 3, 4]),
        "head_width": st.sampled_from([8, 11, 16]),
        "afn": st.sampled_from(["gelu", "relu"]),
        "tie_word_embeddings": st.booleans(),
    }
)
HEADS = {
    "features": transformers.OpenAIGPTModel,
    "classification": transformers.OpenAIGPTForSequenceClassification,
}


def theirs_of(kind: type, shape: dict) -> transformers.PreTrainedModel:
    shape = dict(shape)
    width = shape.pop("head_width") * shape["n_head"]
    config = transformers.OpenAIGPTConfig(
        vocab_size=VOCABULARY, n_embd=width, n_positions=40, num_labels=3, pad_token_id=0, **shape
    )
    return stir(kind(config))


@settings(max_examples=10)
@given(shape=SHAPES, rows=ROWS)
def test_logits_states_and_gradients(shape, rows) -> None:
    compare_causal(theirs_of(transformers.OpenAIGPTLMHeadModel, shape), "gpt1", **rows)


@settings(max_examples=6)
@given(shape=SHAPES, head=st.sampled_from(sorted(HEADS)), rows=ROWS)
def test_heads(shape, head, rows) -> None:
    compare_head(theirs_of(HEADS[head], shape), "gpt1", head, **rows)


def test_reading_in_pieces_padded_and_packed() -> None:
    assert_reading_changes_nothing(model_of("gpt1"))


@pytest.mark.parametrize(
    ("head", "auto"),
    [
        ("causal", transformers.AutoModelForCausalLM),
        ("features", transformers.AutoModel),
        ("classification", transformers.AutoModelForSequenceClassification),
    ],
)
def test_folder(head, auto, tokenizer, tmp_path) -> None:
    model = model_of("gpt1", vocab_size=600)
    assert_folder(tmp_path / "m", model, tokenizer, head, auto)


def test_there_is_no_norm_at_the_end() -> None:
    assert not list(model_of("gpt1").decoder.final_norm.parameters())


@pytest.mark.parametrize("sizes", [{"feedforward_width": 90}, {"head_width": 12}])
def test_sizes_that_its_folders_cannot_hold_are_refused(sizes) -> None:
    usual = {"vocab_size": 97, "layers": 1, "width": 24, "heads": 3, "feedforward_width": 96}
    with pytest.raises(HeadstartError, match="to other families"):
        make_config("gpt1", usual | sizes)


def test_an_activation_that_is_not_computed_is_named() -> None:
    fields = GPT1.to_hf(model_of("gpt1").config) | {"afn": "swish"}
    with pytest.raises(ValueError, match="afn 'swish'"):
        GPT1.from_hf(fields)
