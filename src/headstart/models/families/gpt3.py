"""GPT-3: GPT-2 with twice the context, where every second layer sees a band (Brown et al. 2020, section 2.1).

The paper says that dense and locally banded layers alternate, not how wide the band is. Here it is 256
tokens, as in GPT-Neo, the open replication, whose class of transformers reads our folders. GPT-Neo's
attention has no biases on queries, keys and values, and its scores are not divided by the root of the
head width: queries start smaller instead.

Two rows of the paper's table 2.1 do not fit together: 24 heads of 128 in a width of 2048 (XL), and 40
heads of 128 in a width of 5140 (13B). With 16 heads and with a width of 5120 the counts are those of its
table D.1, 1,320M and 12,850M.
"""

from typing import Any

from headstart.errors import HeadstartError
from headstart.models.config import TransformerConfig
from headstart.models.family import HeadShape, Preset, Stored, activation_from_hf, activation_to_hf

NAME = "gpt3"
MODEL_TYPE = "gpt_neo"
OBJECTIVE = "causal"
TOKENIZER = "gpt2"
GROUPED_QUERY = False
PREFIX = "transformer."
IGNORED = ("lm_head.weight",)  # tied
FIXED = {
    "architecture": "decoder",
    "context": 2048,
    "position": "learned",
    "norm": "layernorm",
    "norm_bias": True,
    "feedforward": "gelu_tanh",
    "feedforward_bias": True,
    "out_bias": True,
    "scaled_attention": False,
    "window": 256,
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


PRESETS = {
    "gpt3-small": _preset(12, 768, 12, 125_198_592, "125M"),
    "gpt3-medium": _preset(24, 1024, 16, 355_798_016, "350M"),
    "gpt3-large": _preset(24, 1536, 16, 760_189_440, "760M"),
    "gpt3-xl": _preset(24, 2048, 16, 1_315_575_808, "1.3B"),
    "gpt3-2.7b": _preset(32, 2560, 32, 2_651_307_520, "2.7B"),
    "gpt3-6.7b": _preset(32, 4096, 32, 6_658_011_136, "6.7B"),
    "gpt3-13b": _preset(40, 5120, 40, 12_852_771_840, "13.0B"),
    "gpt3-175b": _preset(96, 12_288, 96, 174_600_720_384, "175.0B"),
}

HEADS = {
    "causal": HeadShape("GPTNeoForCausalLM"),
    "features": HeadShape("GPTNeoModel"),
    "classification": HeadShape(
        "GPTNeoForSequenceClassification", "last", bias=False, weights={"score.weight": "weight"}
    ),
    "tagging": HeadShape(
        "GPTNeoForTokenClassification", weights={"classifier.weight": "weight", "classifier.bias": "bias"}
    ),
    "spans": HeadShape(
        "GPTNeoForQuestionAnswering", weights={"qa_outputs.weight": "weight", "qa_outputs.bias": "bias"}
    ),
}


def weights(config: TransformerConfig) -> dict[str, Stored]:
    """Hugging Face's name for a weight: ours."""
    names = {
        "transformer.wte.weight": Stored("embedding.weight"),
        "transformer.wpe.weight": Stored("decoder.positions.weight"),
        "lm_head.weight": Stored("output.weight"),
    }
    pairs = {"transformer.ln_f": "decoder.final_norm"}
    for layer in range(config.layers):
        theirs, ours = f"transformer.h.{layer}", f"decoder.blocks.{layer}"
        pairs |= {
            f"{theirs}.ln_1": f"{ours}.attention_norm",
            f"{theirs}.attn.attention.out_proj": f"{ours}.attention.out",
            f"{theirs}.ln_2": f"{ours}.feedforward_norm",
            f"{theirs}.mlp.c_fc": f"{ours}.feedforward.up",
            f"{theirs}.mlp.c_proj": f"{ours}.feedforward.down",
        }
        for part, own in (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value")):
            names[f"{theirs}.attn.attention.{part}.weight"] = Stored(f"{ours}.attention.{own}.weight")
    for theirs, ours in pairs.items():
        names |= {f"{theirs}.{kind}": Stored(f"{ours}.{kind}") for kind in ("weight", "bias")}
    return names


def to_hf(config: TransformerConfig) -> dict[str, Any]:
    """`config.json` fields for transformers.

    Raises:
        HeadstartError: sizes that transformers' class of this family cannot have.
    """
    if config.heads * config.head_width != config.width:
        raise HeadstartError(
            f"the heads of a {NAME} model share its width: {config.heads} heads of {config.head_width} do "
            f"not fill {config.width}; leave head_width out"
        )
    kinds = _kinds(config.layers, config.window)
    return {
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context,
        "hidden_size": config.width,
        "num_layers": config.layers,
        "num_heads": config.heads,
        "intermediate_size": config.feedforward_width,
        "attention_types": [[[kind], 1] for kind in kinds],
        "window_size": config.window,
        "activation_function": activation_to_hf(config.feedforward),
        "resid_dropout": config.dropout,
        "embed_dropout": config.dropout,
        "attention_dropout": config.dropout,
        "layer_norm_epsilon": config.norm_epsilon,
        "initializer_range": config.initial_deviation,
        "tie_word_embeddings": config.tied,
    }


def from_hf(fields: dict[str, Any]) -> dict[str, Any]:
    """The sizes in a `config.json`."""
    layers, window = fields["num_layers"], fields.get("window_size", 256)
    kinds = [kind for group, count in fields["attention_types"] for kind in group * count]
    if kinds == ["global"] * layers and layers > 1:
        window = 0
    elif kinds != _kinds(layers, window):
        raise ValueError(
            f"attention_types {fields['attention_types']} (known: all global, or local every second)"
        )
    return {
        "vocab_size": fields["vocab_size"],
        "layers": layers,
        "width": fields["hidden_size"],
        "heads": fields["num_heads"],
        "feedforward_width": fields.get("intermediate_size") or 4 * fields["hidden_size"],
        "feedforward": activation_from_hf(fields.get("activation_function", "gelu_new")),
        "context": fields["max_position_embeddings"],
        "window": window,
        "norm_epsilon": fields.get("layer_norm_epsilon", 1e-5),
        "dropout": fields.get("resid_dropout", 0.0),
        "tied": fields.get("tie_word_embeddings", True),
    }


def _kinds(layers: int, window: int) -> list[str]:
    """What each layer sees, in GPT-Neo's words."""
    return ["local" if window and layer % 2 else "global" for layer in range(layers)]
