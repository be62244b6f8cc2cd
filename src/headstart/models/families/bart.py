"""BART: an encoder-decoder with learned positions and post-norm, trained to undo noise (Lewis et al. 2019).

Its stacks are BERT's and GPT-2's in one model: a norm on the embeddings, GELU, biases everywhere.
Positions are counted from 2, as RoBERTa's are.
"""

from typing import Any

from headstart.errors import HeadstartError
from headstart.models.config import TransformerConfig
from headstart.models.family import HeadShape, Preset, Stored, activation_from_hf, activation_to_hf

NAME = "bart"
MODEL_TYPE = "bart"
OBJECTIVE = "denoising"
TOKENIZER = "bart"
GROUPED_QUERY = False
DECODER_START = "end"
PREFIX = "model."
IGNORED = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")  # tied
ZEROS = ("final_logits_bias",)
FIXED = {
    "architecture": "encoder-decoder",
    "context": 1024,
    "position": "learned",
    "position_offset": 2,
    "norm": "layernorm",
    "norm_place": "post",
    "norm_bias": True,
    "feedforward": "gelu",
    "feedforward_bias": True,
    "qkv_bias": True,
    "out_bias": True,
    "embedding_norm": True,
    "dropout": 0.1,
    "initial_deviation": 0.02,
}

_SOURCE = "Lewis et al. 2019, sections 2.1 and 5.1; sizes: fairseq, examples/bart"
_DATA = "as RoBERTa: books, Wikipedia, news, stories and web text, 160 GB"
PRESETS = {
    "bart-base": Preset(
        {"vocab_size": 50_265, "layers": 6, "width": 768, "heads": 12, "feedforward_width": 3072},
        parameters=139_420_416,
        published="140M",
        source=_SOURCE,
        year=2019,
        data=_DATA,
    ),
    "bart-large": Preset(
        {"vocab_size": 50_265, "layers": 12, "width": 1024, "heads": 16, "feedforward_width": 4096},
        parameters=406_291_456,
        published="400M",
        source=_SOURCE,
        year=2019,
        data=_DATA,
    ),
}

HEADS = {
    "text-to-text": HeadShape("BartForConditionalGeneration"),
    "features": HeadShape("BartModel"),
    "classification": HeadShape(
        "BartForSequenceClassification",
        "end",
        through="dense",
        weights={
            "classification_head.dense.weight": "dense.weight",
            "classification_head.dense.bias": "dense.bias",
            "classification_head.out_proj.weight": "weight",
            "classification_head.out_proj.bias": "bias",
        },
    ),
    "spans": HeadShape(
        "BartForQuestionAnswering", weights={"qa_outputs.weight": "weight", "qa_outputs.bias": "bias"}
    ),
}


def weights(config: TransformerConfig) -> dict[str, Stored]:
    """Hugging Face's name for a weight: ours."""
    names = {"model.shared.weight": Stored("embedding.weight"), "lm_head.weight": Stored("output.weight")}
    attention = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "out"}
    block = {f"self_attn.{theirs}": f"attention.{ours}" for theirs, ours in attention.items()} | {
        "self_attn_layer_norm": "attention_norm",
        "fc1": "feedforward.up",
        "fc2": "feedforward.down",
        "final_layer_norm": "feedforward_norm",
    }
    cross = {f"encoder_attn.{theirs}": f"cross_attention.{ours}" for theirs, ours in attention.items()} | {
        "encoder_attn_layer_norm": "cross_norm"
    }
    for stack, layers, parts in (
        ("encoder", config.encoder_layers, block),
        ("decoder", config.layers, block | cross),
    ):
        names[f"model.{stack}.embed_positions.weight"] = Stored(f"{stack}.positions.weight")
        for kind in ("weight", "bias"):
            names[f"model.{stack}.layernorm_embedding.{kind}"] = Stored(f"{stack}.embedding_norm.{kind}")
            for layer in range(layers):
                for theirs, ours in parts.items():
                    names[f"model.{stack}.layers.{layer}.{theirs}.{kind}"] = Stored(
                        f"{stack}.blocks.{layer}.{ours}.{kind}"
                    )
    return names


def to_hf(config: TransformerConfig) -> dict[str, Any]:
    """`config.json` fields for transformers; it sees for itself whether the files hold an own output."""
    if config.heads * config.head_width != config.width:
        raise HeadstartError(
            f"the heads of a {config.family} model share its width: {config.heads} of {config.head_width} "
            f"do not fill {config.width}; leave head_width out"
        )
    fields: dict[str, Any] = {
        "vocab_size": config.vocab_size,
        "d_model": config.width,
        "max_position_embeddings": config.context,
        "activation_function": activation_to_hf(config.feedforward),
        "scale_embedding": config.embedding_scale,
        "dropout": config.dropout,
        "attention_dropout": config.dropout,
        "activation_dropout": config.dropout,
        "init_std": config.initial_deviation or config.width**-0.5,
        "forced_eos_token_id": None,
        "tie_word_embeddings": True,
    }
    for stack, layers in (("encoder", config.encoder_layers), ("decoder", config.layers)):
        fields[f"{stack}_layers"] = layers
        fields[f"{stack}_attention_heads"] = config.heads
        fields[f"{stack}_ffn_dim"] = config.feedforward_width
    return fields


def from_hf(fields: dict[str, Any]) -> dict[str, Any]:
    """The sizes in a `config.json`."""
    for name in ("attention_heads", "ffn_dim"):
        encoder, decoder = fields[f"encoder_{name}"], fields[f"decoder_{name}"]
        if encoder != decoder:
            raise ValueError(f"encoder_{name} {encoder} and decoder_{name} {decoder}")
    if not fields.get("tie_word_embeddings", True):
        raise ValueError("tie_word_embeddings false")
    return {
        "vocab_size": fields["vocab_size"],
        "layers": fields["decoder_layers"],
        "encoder_layers": fields["encoder_layers"],
        "width": fields["d_model"],
        "heads": fields["decoder_attention_heads"],
        "feedforward_width": fields["decoder_ffn_dim"],
        "feedforward": activation_from_hf(fields.get("activation_function", "gelu")),
        "context": fields["max_position_embeddings"],
        "embedding_scale": fields.get("scale_embedding", False),
        "dropout": fields.get("dropout", 0.1),
    }
