"""GPT-2 computes what transformers' GPT-2 computes, with the same weights, under every head."""

import pytest
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
    rows,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import assert_close, ours_from, stir

from headstart.errors import HeadstartError
from headstart.models.families.gpt2 import GPT2
from headstart.models.registry import make_config

SHAPES = st.fixed_dictionaries(
    {
        "n_layer": st.integers(1, 3),
        "n_head": st.sampled_from([1, 3, 4]),
        "head_width": st.sampled_from([8, 11, 16]),
        "n_inner": st.sampled_from([None, 5, 70]),
        "activation_function": st.sampled_from(["gelu_new", "gelu", "relu"]),
        "scale_attn_weights": st.booleans(),
        "tie_word_embeddings": st.booleans(),
    }
)
HEADS = {
    "features": transformers.GPT2Model,
    "classification": transformers.GPT2ForSequenceClassification,
    "tagging": transformers.GPT2ForTokenClassification,
    "spans": transformers.GPT2ForQuestionAnswering,
}


def theirs_of(kind: type, shape: dict) -> transformers.PreTrainedModel:
    shape = dict(shape)
    width = shape.pop("head_width") * shape["n_head"]
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY, n_embd=width, n_positions=40, num_labels=3, pad_token_id=0, **shape
    )
    return stir(kind(config))


@settings(max_examples=12)
@given(shape=SHAPES, row=ROWS)
def test_logits_states_and_gradients(shape, row) -> None:
    ours = compare_causal(theirs_of(transformers.GPT2LMHeadModel, shape), "gpt2", **row)
    every_weight_has_a_name(ours)


@settings(max_examples=8)
@given(shape=SHAPES, head=st.sampled_from(sorted(HEADS)), row=ROWS)
def test_heads(shape, head, row) -> None:
    compare_head(theirs_of(HEADS[head], shape), "gpt2", head, **row)


def test_reading_in_pieces_padded_and_packed() -> None:
    assert_reading_changes_nothing(model_of("gpt2"))


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
    model = model_of("gpt2", vocab_size=600, tied=head != "causal")
    assert_folder(tmp_path / "m", model, tokenizer, head, auto)


def test_folders_of_older_transformers_are_read() -> None:
    """No prefix, and the causal mask among the weights, as in the folders that OpenAI's weights came in."""
    shape = {"n_layer": 2, "n_head": 2, "head_width": 8}
    theirs = theirs_of(transformers.GPT2LMHeadModel, shape)
    state = theirs.state_dict()
    mask = state["transformer.wte.weight"].new_ones(1, 1, 40, 40)
    old = {
        name.removeprefix("transformer."): tensor
        for name, tensor in state.items()
        if name != "lm_head.weight"
    }
    old |= {f"h.{layer}.attn.{name}": mask for layer in range(2) for name in ("bias", "masked_bias")}
    theirs.state_dict = lambda: old
    ours, _ = ours_from(theirs, "gpt2", "causal")
    assert ours.config.tied
    ids, mask, _ = rows(30, 4, False, 0)
    reference = theirs(input_ids=ids, attention_mask=mask).logits
    assert_close(ours.logits(ours(ids, mask - 1))[mask.bool()], reference[mask.bool()])


def test_heads_that_do_not_share_the_width_are_refused() -> None:
    sizes = {"vocab_size": 97, "layers": 1, "width": 24, "heads": 3, "feedforward_width": 96, "head_width": 9}
    with pytest.raises(HeadstartError, match="3 heads of 9 do not fill 24"):
        make_config("gpt2", sizes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"activation_function": "silu"}, "'silu'"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        ({"add_cross_attention": True}, "add_cross_attention"),
    ],
)
def test_what_is_not_computed_is_named(change, words) -> None:
    fields = GPT2.to_hf(model_of("gpt2").config)
    GPT2.from_hf(fields)
    with pytest.raises(ValueError, match=words):
        GPT2.from_hf(fields | change)
