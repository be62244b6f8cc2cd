"""GPT-2: GPT-1 with pre-norm, a norm at the end and a context of 1024 (Radford et al. 2019, section 2.3)."""

from collections.abc import Mapping
from typing import Any

from headstart.models.family import (
    ACTIVATIONS,
    Constant,
    Copy,
    Family,
    HeadShape,
    Key,
    Preset,
    heads_fill_width,
    linear,
    module,
)

_FIXED = {
    "architecture": "decoder",
    "context": 1024,
    "position": "learned",
    "norm": "layernorm",
    "norm_bias": True,
    "feedforward": "gelu_tanh",
    "feedforward_bias": True,
    "qkv_bias": True,
    "out_bias": True,
    "dropout": 0.1,
    "initial_deviation": 0.02,
}


def _preset(layers: int, width: int, heads: int, parameters: int, published: str) -> Preset:
    return Preset(
        {
            "vocab_size": 50_257,
            "layers": layers,
            "width": width,
            "heads": heads,
            "feedforward_width": 4 * width,
        },
        parameters=parameters,
        published=published,
        source="Radford et al. 2019, table 2; heads as in the released weights",
        year=2019,
        data="WebText, 8 million pages, 40 GB",
    )


# The paper's table 2 gives 117M, 345M and 762M for the first three; the release corrected these counts.
_PRESETS = {
    "gpt2-small": _preset(12, 768, 12, 124_439_808, "124M"),
    "gpt2-medium": _preset(24, 1024, 16, 354_823_168, "355M"),
    "gpt2-large": _preset(36, 1280, 20, 774_030_080, "774M"),
    "gpt2-xl": _preset(48, 1600, 25, 1_557_611_200, "1.5B"),
}


def _inner(fields: Mapping[str, Any]) -> int:
    return 4 * int(fields.get("n_embd", 768))


SIZES = (
    Key("width", "n_embd", 768),
    Key("layers", "n_layer", 12),
    Key("heads", "n_head", 12),
    Key("dropout", "resid_pdrop", 0.1),
    Copy("dropout", "embd_pdrop"),
    Copy("dropout", "attn_pdrop"),
    Key("norm_epsilon", "layer_norm_epsilon", 1e-5),
    Key("initial_deviation", "initializer_range", 0.02),
    Key("tied", "tie_word_embeddings", True),
)
"""What GPT-1 and GPT-2 have in common."""

BLOCK = {
    "transformer.h.{}.attn.c_attn": module(
        "decoder.blocks.{}.attention.query",
        "decoder.blocks.{}.attention.key",
        "decoder.blocks.{}.attention.value",
        transposed=True,
    ),
    "transformer.h.{}.attn.c_proj": module("decoder.blocks.{}.attention.out", transposed=True),
    "transformer.h.{}.ln_1": module("decoder.blocks.{}.attention_norm"),
    "transformer.h.{}.mlp.c_fc": module("decoder.blocks.{}.feedforward.up", transposed=True),
    "transformer.h.{}.mlp.c_proj": module("decoder.blocks.{}.feedforward.down", transposed=True),
    "transformer.h.{}.ln_2": module("decoder.blocks.{}.feedforward_norm"),
    "lm_head": module("output"),
}
"""The names of their blocks and output: queries, keys and values lie in one matrix, inputs first."""

GPT2 = Family(
    name="gpt2",
    model_type="gpt2",
    objective="causal",
    tokenizer="gpt2",
    fixed=_FIXED,
    rows=(
        Key("vocab_size", "vocab_size", 50_257),
        *SIZES,
        Key("context", "n_positions", 1024),
        Key("feedforward_width", "n_inner", _inner, null=_inner),
        Key("feedforward", "activation_function", "gelu_new", values=ACTIVATIONS),
        Key("scaled_attention", "scale_attn_weights", True),
        Constant("scale_attn_by_inverse_layer_idx", False),
        Constant("add_cross_attention", False),
    ),
    modules=BLOCK
    | {
        "transformer.wte": module("embedding"),
        "transformer.wpe": module("decoder.positions"),
        "transformer.ln_f": module("decoder.final_norm"),
    },
    heads={
        "causal": HeadShape("GPT2LMHeadModel"),
        "features": HeadShape("GPT2Model"),
        "classification": HeadShape(
            "GPT2ForSequenceClassification", "last", bias=False, weights=linear("score", bias=False)
        ),
        "tagging": HeadShape("GPT2ForTokenClassification", weights=linear("classifier")),
        "spans": HeadShape("GPT2ForQuestionAnswering", weights=linear("qa_outputs")),
    },
    presets=_PRESETS,
    prefix="transformer.",
    check=heads_fill_width,
)
