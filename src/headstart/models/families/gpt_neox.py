"""GPT-NeoX, the shape of Pythia: attention and feed-forward layer side by side (Black et al. 2022).

A quarter of each head is turned by rotary positions. Queries, keys and values lie in one matrix, by head.
Pythia (Biderman et al. 2023) is a suite of such models trained on the same text in the same order.
"""

from headstart.models.families.layers import Rope
from headstart.models.family import (
    ACTIVATIONS,
    Copy,
    Family,
    HeadShape,
    Key,
    Preset,
    heads_fill_width,
    linear,
    module,
)


def _pythia(
    layers: int, width: int, heads: int, parameters: int, published: str, vocab_size: int = 50_304
) -> Preset:
    return Preset(
        {
            "vocab_size": vocab_size,
            "layers": layers,
            "width": width,
            "heads": heads,
            "feedforward_width": 4 * width,
            "rotary_width": width // heads // 4,
        },
        parameters=parameters,
        published=published,
        source="Biderman et al. 2023, table 1 and appendix F",
        year=2023,
        data="The Pile, 825 GB",
        tokens=300e9,
    )


GPT_NEOX = Family(
    name="gpt-neox",
    model_type="gpt_neox",
    objective="causal",
    tokenizer="gpt2",
    fixed={
        "architecture": "decoder",
        "context": 2048,
        "position": "rotary",
        "norm": "layernorm",
        "norm_bias": True,
        "parallel": True,
        "feedforward": "gelu",
        "feedforward_bias": True,
        "qkv_bias": True,
        "out_bias": True,
        "tied": False,
        "initial_deviation": 0.02,
    },
    rows=(
        Key("vocab_size", "vocab_size", 50_432),
        Key("width", "hidden_size", 6144),
        Key("layers", "num_hidden_layers", 44),
        Key("heads", "num_attention_heads", 64),
        Key("feedforward_width", "intermediate_size", 24_576),
        Key("feedforward", "hidden_act", "gelu", values=ACTIVATIONS),
        Key("context", "max_position_embeddings", 2048),
        Key("norm_epsilon", "layer_norm_eps", 1e-5),
        Key("dropout", "hidden_dropout", 0.0),
        Copy("dropout", "attention_dropout"),
        Key("initial_deviation", "initializer_range", 0.02),
        Key("qkv_bias", "attention_bias", True),
        Key("out_bias", "attention_bias", True),
        Key("parallel", "use_parallel_residual", True),
        Key("tied", "tie_word_embeddings", False),
        Rope(base_key="rotary_emb_base", share_key="rotary_pct", share=0.25, head_width=96),
    ),
    modules={
        "gpt_neox.embed_in": module("embedding"),
        "gpt_neox.layers.{}.input_layernorm": module("decoder.blocks.{}.attention_norm"),
        "gpt_neox.layers.{}.attention.query_key_value": module(
            "decoder.blocks.{}.attention.query",
            "decoder.blocks.{}.attention.key",
            "decoder.blocks.{}.attention.value",
            by_head=True,
        ),
        "gpt_neox.layers.{}.attention.dense": module("decoder.blocks.{}.attention.out"),
        "gpt_neox.layers.{}.post_attention_layernorm": module("decoder.blocks.{}.feedforward_norm"),
        "gpt_neox.layers.{}.mlp.dense_h_to_4h": module("decoder.blocks.{}.feedforward.up"),
        "gpt_neox.layers.{}.mlp.dense_4h_to_h": module("decoder.blocks.{}.feedforward.down"),
        "gpt_neox.final_layer_norm": module("decoder.final_norm"),
        "embed_out": module("output"),
    },
    heads={
        "causal": HeadShape("GPTNeoXForCausalLM"),
        "features": HeadShape("GPTNeoXModel"),
        "classification": HeadShape(
            "GPTNeoXForSequenceClassification", "last", bias=False, weights=linear("score", bias=False)
        ),
        "tagging": HeadShape("GPTNeoXForTokenClassification", weights=linear("classifier")),
        "spans": HeadShape("GPTNeoXForQuestionAnswering", weights=linear("qa_outputs")),
    },
    presets={
        "pythia-70m": _pythia(6, 512, 8, 70_426_624, "70M"),
        "pythia-160m": _pythia(12, 768, 12, 162_322_944, "160M"),
        "pythia-410m": _pythia(24, 1024, 16, 405_334_016, "410M"),
        "pythia-1b": _pythia(16, 2048, 8, 1_011_781_632, "1.0B"),
        "pythia-1.4b": _pythia(24, 2048, 16, 1_414_647_808, "1.4B"),
        "pythia-2.8b": _pythia(32, 2560, 32, 2_775_208_960, "2.8B"),
        "pythia-6.9b": _pythia(32, 4096, 32, 6_857_302_016, "6.9B", vocab_size=50_432),
        "pythia-12b": _pythia(36, 5120, 40, 11_846_072_320, "12B", vocab_size=50_688),
    },
    prefix="gpt_neox.",
    check=heads_fill_width,
)
