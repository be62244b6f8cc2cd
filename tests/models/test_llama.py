"""Llama computes what transformers' Llama computes: grouped queries, biases, stretched rotary positions."""

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
from parity import assert_close, ours_from, stir

from headstart.errors import HeadstartError
from headstart.models.config import RotaryScaling
from headstart.models.families.llama import LLAMA
from headstart.models.parts.positions import rotary_table
from headstart.models.registry import make_config, preset_config

# The original context is short, so that rows of 40 tokens go far beyond it.
SCALINGS = st.sampled_from(
    [
        None,
        {
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8,
        },
        {
            "factor": 3.0,
            "low_freq_factor": 0.5,
            "high_freq_factor": 2.0,
            "original_max_position_embeddings": 16,
        },
    ]
)
SHAPES = st.fixed_dictionaries(
    {
        "num_hidden_layers": st.integers(1, 3),
        "heads": st.sampled_from([(1, 1), (3, 1), (3, 3), (4, 2), (6, 2)]),
        "hidden_size": st.sampled_from([12, 24, 36]),
        "head_dim": st.sampled_from([8, 10, 16]),
        "intermediate_size": st.integers(3, 70),
        "attention_bias": st.booleans(),
        "mlp_bias": st.booleans(),
        "tie_word_embeddings": st.booleans(),
        "theta": st.sampled_from([10_000.0, 500_000.0]),
        "scaling": SCALINGS,
    }
)
HEADS = {
    "features": transformers.LlamaModel,
    "classification": transformers.LlamaForSequenceClassification,
    "tagging": transformers.LlamaForTokenClassification,
    "spans": transformers.LlamaForQuestionAnswering,
}


def theirs_of(kind: type, shape: dict) -> transformers.PreTrainedModel:
    shape = dict(shape)
    heads, kv_heads = shape.pop("heads")
    rotary = {"rope_type": "default", "rope_theta": shape.pop("theta")}
    scaling = shape.pop("scaling")
    if scaling is not None:
        rotary |= {"rope_type": "llama3"} | scaling
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=40,
        rms_norm_eps=1e-5,
        rope_parameters=rotary,
        num_labels=3,
        pad_token_id=0,
        **shape,
    )
    return stir(kind(config))


@settings(max_examples=12)
@given(shape=SHAPES, rows=ROWS)
def test_logits_states_and_gradients(shape, rows) -> None:
    ours = compare_causal(theirs_of(transformers.LlamaForCausalLM, shape), "llama", **rows)
    every_weight_has_a_name(ours)


@settings(max_examples=8)
@given(shape=SHAPES, head=st.sampled_from(sorted(HEADS)), rows=ROWS)
def test_heads(shape, head, rows) -> None:
    compare_head(theirs_of(HEADS[head], shape), "llama", head, **rows)


@pytest.mark.parametrize("scaling", [None, RotaryScaling(8.0, 1.0, 4.0, 8)])
def test_reading_in_pieces_padded_and_packed(scaling) -> None:
    model = model_of("llama", kv_heads=1, rotary_scaling=scaling)
    assert_reading_changes_nothing(model)


@pytest.mark.parametrize("preset", ["llama-2-7b", "llama-3-8b", "llama-3.1-8b", "llama-3.2-1b"])
def test_rotary_angles_of_the_presets_over_the_whole_context(preset) -> None:
    config = preset_config(preset)
    theirs = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(
        transformers.LlamaConfig(**LLAMA.to_hf(config))
    )
    places = torch.arange(0, config.context, 997)
    places = torch.cat((places, torch.tensor([config.context - 1])))
    cosine, sine = theirs(torch.zeros(1), places[None])
    own = rotary_table(places, config.rotaries[0], torch.float32)
    assert config.context in (4096, 8192, 131_072)
    # An angle of up to 131,071 radians has a rounding error of 2^-8 in float32, in both.
    torch.testing.assert_close(own[0], cosine[0], rtol=0, atol=1e-2)
    torch.testing.assert_close(own[1], sine[0], rtol=0, atol=1e-2)


@torch.no_grad()
def test_llama_3_1_reads_beyond_its_first_context() -> None:
    """A row of 300 tokens at the released scaling's frequencies, where the first context had 64."""
    shape = {"num_hidden_layers": 2, "heads": (4, 2), "hidden_size": 32, "head_dim": 16, "theta": 500_000.0}
    scaling = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    shape |= {"scaling": scaling | {"original_max_position_embeddings": 64}, "intermediate_size": 48}
    theirs = theirs_of(transformers.LlamaForCausalLM, shape)
    ours, _ = ours_from(theirs, "llama", "causal")
    row = torch.randint(1, VOCABULARY, (1, 300), generator=torch.Generator().manual_seed(0))
    logits = ours.logits(ours(row))
    assert_close(logits, theirs(input_ids=row).logits)
    plain, _ = ours_from(
        theirs_of(transformers.LlamaForCausalLM, shape | {"scaling": None}), "llama", "causal"
    )
    plain.load_state_dict(ours.state_dict())
    assert not torch.allclose(plain.logits(plain(row))[0, 100:], logits[0, 100:], rtol=0.01)


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
    sizes = {"vocab_size": 600, "heads": 6, "kv_heads": 2, "head_width": 8, "tied": head != "causal"}
    model = model_of("llama", rotary_scaling=RotaryScaling(8.0, 1.0, 4.0, 8), **sizes)
    assert_folder(tmp_path / "m", model, tokenizer, head, auto)


def test_folders_before_and_after_the_renaming_of_rotary_fields() -> None:
    config = preset_config("llama-3.1-8b")
    new = LLAMA.to_hf(config)
    old = {name: value for name, value in new.items() if name != "rope_parameters"}
    older = old | {"rope_scaling": {**old["rope_scaling"], "type": "llama3"}}
    del older["rope_scaling"]["rope_type"], older["head_dim"]
    for fields in (new, old, older):
        again = LLAMA.from_hf(fields)
        assert again["rotary_scaling"] == RotaryScaling(8.0, 1.0, 4.0, 8192)
        assert (again["rotary_base"], again["kv_heads"], again["context"]) == (500_000.0, 8, 131_072)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"rope_parameters": {"rope_type": "spiral"}}, "spiral"), ({"hidden_act": "gelu"}, "gelu")],
)
def test_what_is_not_computed_is_named(change, words) -> None:
    with pytest.raises(ValueError, match=words):
        LLAMA.from_hf(LLAMA.to_hf(model_of("llama").config) | change)


def test_a_width_that_transformers_refuses_is_refused() -> None:
    sizes = {"vocab_size": 97, "layers": 1, "width": 32, "heads": 6, "head_width": 8, "feedforward_width": 48}
    sizes |= {"context": 40}
    with pytest.raises(HeadstartError, match="width 32 is not a multiple of its 6 heads"):
        make_config("llama", sizes)
