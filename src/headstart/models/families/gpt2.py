"""GPT-2: GPT-1 with pre-norm, a norm at the end and a context of 1024 (Radford et al. 2019, section 2.3)."""

from typing import Any

from headstart.errors import HeadstartError
from headstart.models.config import TransformerConfig
from headstart.models.family import HeadShape, Preset, Stored, activation_from_hf, activation_to_hf

NAME = "gpt2"
MODEL_TYPE = "gpt2"
OBJECTIVE = "causal"
TOKENIZER = "gpt2"
GROUPED_QUERY = False
PREFIX = "transformer."
IGNORED = ("lm_head.weight",)  # tied
FIXED = {
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
PRESETS = {
    "gpt2-small": _preset(12, 768, 12, 124_439_808, "124M"),
    "gpt2-medium": _preset(24, 1024, 16, 354_823_168, "355M"),
    "gpt2-large": _preset(36, 1280, 20, 774_030_080, "774M"),
    "gpt2-xl": _preset(48, 1600, 25, 1_557_611_200, "1.5B"),
}

HEADS = {
    "causal": HeadShape("GPT2LMHeadModel"),
    "features": HeadShape("GPT2Model"),
    "classification": HeadShape(
        "GPT2ForSequenceClassification", "last", bias=False, weights={"score.weight": "weight"}
    ),
    "tagging": HeadShape(
        "GPT2ForTokenClassification", weights={"classifier.weight": "weight", "classifier.bias": "bias"}
    ),
    "spans": HeadShape(
        "GPT2ForQuestionAnswering", weights={"qa_outputs.weight": "weight", "qa_outputs.bias": "bias"}
    ),
}


def weights(config: TransformerConfig) -> dict[str, Stored]:
    """Hugging Face's name for a weight: ours; queries, keys and values lie in one matrix, inputs first."""
    names = {
        "transformer.wte.weight": Stored("embedding.weight"),
        "transformer.wpe.weight": Stored("decoder.positions.weight"),
        "lm_head.weight": Stored("output.weight"),
    }
    for kind in ("weight", "bias"):
        turned = kind == "weight"
        names[f"transformer.ln_f.{kind}"] = Stored(f"decoder.final_norm.{kind}")
        for layer in range(config.layers):
            theirs, ours = f"transformer.h.{layer}", f"decoder.blocks.{layer}"
            stacked = [f"{ours}.attention.{part}.{kind}" for part in ("query", "key", "value")]
            names |= {
                f"{theirs}.ln_1.{kind}": Stored(f"{ours}.attention_norm.{kind}"),
                f"{theirs}.attn.c_attn.{kind}": Stored(*stacked, transposed=turned),
                f"{theirs}.attn.c_proj.{kind}": Stored(f"{ours}.attention.out.{kind}", transposed=turned),
                f"{theirs}.ln_2.{kind}": Stored(f"{ours}.feedforward_norm.{kind}"),
                f"{theirs}.mlp.c_fc.{kind}": Stored(f"{ours}.feedforward.up.{kind}", transposed=turned),
                f"{theirs}.mlp.c_proj.{kind}": Stored(f"{ours}.feedforward.down.{kind}", transposed=turned),
            }
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
    return {
        "vocab_size": config.vocab_size,
        "n_positions": config.context,
        "n_embd": config.width,
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_inner": config.feedforward_width,
        "activation_function": activation_to_hf(config.feedforward),
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "layer_norm_epsilon": config.norm_epsilon,
        "initializer_range": config.initial_deviation,
        "scale_attn_weights": config.scaled_attention,
        "tie_word_embeddings": config.tied,
    }


def from_hf(fields: dict[str, Any]) -> dict[str, Any]:
    """The sizes in a `config.json`."""
    for extra in ("scale_attn_by_inverse_layer_idx", "add_cross_attention"):
        if fields.get(extra):
            raise ValueError(f"{extra} true")
    return {
        "vocab_size": fields["vocab_size"],
        "layers": fields["n_layer"],
        "width": fields["n_embd"],
        "heads": fields["n_head"],
        "feedforward_width": fields.get("n_inner") or 4 * fields["n_embd"],
        "feedforward": activation_from_hf(fields.get("activation_function", "gelu_new")),
        "context": fields["n_positions"],
        "norm_epsilon": fields.get("layer_norm_epsilon", 1e-5),
        "scaled_attention": fields.get("scale_attn_weights", True),
        "dropout": fields.get("resid_pdrop", 0.1),
        "tied": fields.get("tie_word_embeddings", True),
    }
