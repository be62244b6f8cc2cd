"""GPT-1: a decoder with learned positions and post-norm (Radford et al. 2018, section 4.1)."""

from typing import Any

from headstart.errors import HeadstartError
from headstart.models.config import TransformerConfig
from headstart.models.family import HeadShape, Preset, Stored

NAME = "gpt1"
MODEL_TYPE = "openai-gpt"
OBJECTIVE = "causal"
TOKENIZER = "gpt1"
GROUPED_QUERY = False
PREFIX = "transformer."
IGNORED = ("lm_head.weight",)  # tied
FIXED = {
    "architecture": "decoder",
    "context": 512,
    "position": "learned",
    "norm": "layernorm",
    "norm_place": "post",
    "norm_bias": True,
    "feedforward": "gelu_tanh",
    "feedforward_bias": True,
    "qkv_bias": True,
    "out_bias": True,
    "dropout": 0.1,
    "initial_deviation": 0.02,
}

PRESETS = {
    "gpt1": Preset(
        {"vocab_size": 40_478, "layers": 12, "width": 768, "heads": 12, "feedforward_width": 3072},
        parameters=116_534_784,
        published="117M",
        source="Radford et al. 2018, section 4.1; the count in Radford et al. 2019, section 2.3",
        year=2018,
        data="BooksCorpus, 7,000 unpublished books, 100 times over",
    )
}

HEADS = {
    "causal": HeadShape("OpenAIGPTLMHeadModel"),
    "features": HeadShape("OpenAIGPTModel"),
    "classification": HeadShape(
        "OpenAIGPTForSequenceClassification", "last", bias=False, weights={"score.weight": "weight"}
    ),
}
_ACTIVATIONS = {
    "gelu": "gelu_tanh",
    "relu": "relu",
}  # transformers: its "gelu" of this family is the tanh form


def weights(config: TransformerConfig) -> dict[str, Stored]:
    """Hugging Face's name for a weight: ours; queries, keys and values lie in one matrix, inputs first."""
    names = {
        "transformer.tokens_embed.weight": Stored("embedding.weight"),
        "transformer.positions_embed.weight": Stored("decoder.positions.weight"),
        "lm_head.weight": Stored("output.weight"),
    }
    for layer in range(config.layers):
        theirs, ours = f"transformer.h.{layer}", f"decoder.blocks.{layer}"
        attention = [f"{ours}.attention.{part}" for part in ("query", "key", "value")]
        for kind in ("weight", "bias"):
            turned = kind == "weight"
            names |= {
                f"{theirs}.attn.c_attn.{kind}": Stored(
                    *(f"{p}.{kind}" for p in attention), transposed=turned
                ),
                f"{theirs}.attn.c_proj.{kind}": Stored(f"{ours}.attention.out.{kind}", transposed=turned),
                f"{theirs}.ln_1.{kind}": Stored(f"{ours}.attention_norm.{kind}"),
                f"{theirs}.mlp.c_fc.{kind}": Stored(f"{ours}.feedforward.up.{kind}", transposed=turned),
                f"{theirs}.mlp.c_proj.{kind}": Stored(f"{ours}.feedforward.down.{kind}", transposed=turned),
                f"{theirs}.ln_2.{kind}": Stored(f"{ours}.feedforward_norm.{kind}"),
            }
    return names


def to_hf(config: TransformerConfig) -> dict[str, Any]:
    """`config.json` fields for transformers.

    Raises:
        HeadstartError: sizes that transformers' class of this family cannot have.
    """
    if config.feedforward_width != 4 * config.width or config.heads * config.head_width != config.width:
        raise HeadstartError(
            f"a {NAME} model of width {config.width} has feedforward_width={4 * config.width} and heads that "
            f"share its width; leave feedforward_width={config.feedforward_width} and {config.heads} heads "
            f"of {config.head_width} to other families"
        )
    return {
        "vocab_size": config.vocab_size,
        "n_positions": config.context,
        "n_embd": config.width,
        "n_layer": config.layers,
        "n_head": config.heads,
        "afn": next(theirs for theirs, ours in _ACTIVATIONS.items() if ours == config.feedforward),
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "layer_norm_epsilon": config.norm_epsilon,
        "initializer_range": config.initial_deviation,
        "tie_word_embeddings": config.tied,
    }


def from_hf(fields: dict[str, Any]) -> dict[str, Any]:
    """The sizes in a `config.json`."""
    activation = fields.get("afn", "gelu")
    if activation not in _ACTIVATIONS:
        raise ValueError(f"afn {activation!r} (known: {', '.join(_ACTIVATIONS)})")
    return {
        "vocab_size": fields["vocab_size"],
        "layers": fields["n_layer"],
        "width": fields["n_embd"],
        "heads": fields["n_head"],
        "feedforward_width": 4 * fields["n_embd"],
        "feedforward": _ACTIVATIONS[activation],
        "context": fields["n_positions"],
        "norm_epsilon": fields.get("layer_norm_epsilon", 1e-5),
        "dropout": fields.get("resid_pdrop", 0.1),
        "tied": fields.get("tie_word_embeddings", True),
    }
