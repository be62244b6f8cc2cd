"""GPT-3: GPT-2 with twice the context, where every second layer sees a band (Brown et al. 2020, section 2.1).

The paper says that dense and locally banded layers alternate, not how wide the band is. Here it is 256
tokens, as in GPT-Neo, the open replication, whose class of transformers reads our folders. GPT-Neo's
attention has no biases on queries, keys and values, and its scores are not divided by the root of the
head width: queries start smaller instead.

Two rows of the paper's table 2.1 do not fit together: 24 heads of 128 in a width of 2048 (XL), and 40
heads of 128 in a width of 5140 (13B). With 16 heads and with a width of 5120 the counts are those of its
table D.1, 1,320M and 12,850M.
"""

from collections.abc import Mapping
from typing import Any

from headstart.folder import JSONObject
from headstart.models.config import LayerPlan, Sizes, TransformerConfig
from headstart.models.families.layers import one_window, shortest
from headstart.models.family import (
    ACTIVATIONS,
    Computed,
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
    "context": 2048,
    "position": "learned",
    "norm": "layernorm",
    "norm_bias": True,
    "feedforward": "gelu_tanh",
    "feedforward_bias": True,
    "out_bias": True,
    "scaled_attention": False,
    "plan": (LayerPlan(), LayerPlan(window=256)),
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
        source="Brown et al. 2020, tables 2.1 and D.1",
        year=2020,
        data="Common Crawl (filtered), WebText2, two collections of books, English Wikipedia",
        tokens=300e9,
        open_weights=False,
    )


_PRESETS = {
    "gpt3-small": _preset(12, 768, 12, 125_198_592, "125M"),
    "gpt3-medium": _preset(24, 1024, 16, 355_798_016, "350M"),
    "gpt3-large": _preset(24, 1536, 16, 760_189_440, "760M"),
    "gpt3-xl": _preset(24, 2048, 16, 1_315_575_808, "1.3B"),
    "gpt3-2.7b": _preset(32, 2560, 32, 2_651_307_520, "2.7B"),
    "gpt3-6.7b": _preset(32, 4096, 32, 6_658_011_136, "6.7B"),
    "gpt3-13b": _preset(40, 5120, 40, 12_852_771_840, "13.0B"),
    "gpt3-175b": _preset(96, 12_288, 96, 174_600_720_384, "175.0B"),
}


def _write_layers(config: TransformerConfig) -> JSONObject:
    windows = [config.layer(number).window for number in range(config.layers)]
    return {
        "attention_types": [[["local" if window else "global"], 1] for window in windows],
        "window_size": one_window(config),
    }


def _read_layers(fields: Mapping[str, Any]) -> Sizes:
    layers, window = fields.get("num_layers", 24), fields.get("window_size", 256)
    types = fields.get("attention_types", [[["global", "local"], 12]])
    kinds = [kind for group, count in types for kind in group * count]
    if set(kinds) - {"global", "local"} or len(kinds) != layers or ("local" in kinds and not window):
        raise ValueError(f"attention_types {types} with {layers} layers and window_size {window}")
    return {"plan": shortest([LayerPlan(window if kind == "local" else 0) for kind in kinds])}


def _inner(fields: Mapping[str, Any]) -> int:
    return 4 * int(fields.get("hidden_size", 2048))


GPT3 = Family(
    name="gpt3",
    model_type="gpt_neo",
    objective="causal",
    tokenizer="gpt2",
    fixed=_FIXED,
    rows=(
        Key("vocab_size", "vocab_size", 50_257),
        Key("context", "max_position_embeddings", 2048),
        Key("width", "hidden_size", 2048),
        Key("layers", "num_layers", 24),
        Key("heads", "num_heads", 16),
        Key("feedforward_width", "intermediate_size", _inner, null=_inner),
        Key("feedforward", "activation_function", "gelu_new", values=ACTIVATIONS),
        Key("dropout", "resid_dropout", 0.0),
        Copy("dropout", "embed_dropout"),
        Copy("dropout", "attention_dropout"),
        Key("norm_epsilon", "layer_norm_epsilon", 1e-5),
        Key("initial_deviation", "initializer_range", 0.02),
        Key("tied", "tie_word_embeddings", True),
        Computed(_write_layers, _read_layers),
    ),
    modules={
        "transformer.wte": module("embedding"),
        "transformer.wpe": module("decoder.positions"),
        "transformer.h.{}.ln_1": module("decoder.blocks.{}.attention_norm"),
        "transformer.h.{}.attn.attention.q_proj": module("decoder.blocks.{}.attention.query"),
        "transformer.h.{}.attn.attention.k_proj": module("decoder.blocks.{}.attention.key"),
        "transformer.h.{}.attn.attention.v_proj": module("decoder.blocks.{}.attention.value"),
        "transformer.h.{}.attn.attention.out_proj": module("decoder.blocks.{}.attention.out"),
        "transformer.h.{}.ln_2": module("decoder.blocks.{}.feedforward_norm"),
        "transformer.h.{}.mlp.c_fc": module("decoder.blocks.{}.feedforward.up"),
        "transformer.h.{}.mlp.c_proj": module("decoder.blocks.{}.feedforward.down"),
        "transformer.ln_f": module("decoder.final_norm"),
        "lm_head": module("output"),
    },
    heads={
        "causal": HeadShape("GPTNeoForCausalLM"),
        "features": HeadShape("GPTNeoModel"),
        "classification": HeadShape(
            "GPTNeoForSequenceClassification", "last", bias=False, weights=linear("score", bias=False)
        ),
        "tagging": HeadShape("GPTNeoForTokenClassification", weights=linear("classifier")),
        "spans": HeadShape("GPTNeoForQuestionAnswering", weights=linear("qa_outputs")),
    },
    presets=_PRESETS,
    prefix="transformer.",
    check=heads_fill_width,
)
