"""BERT: an encoder with learned positions, token types and post-norm (Devlin et al. 2018).

Its masked-LM output shares the embedding's weights behind a dense layer; a pooler on the first
token serves next-sentence prediction and classification.
"""

from typing import Any

from headstart.errors import HeadstartError
from headstart.models.config import TransformerConfig
from headstart.models.family import HeadShape, Preset, Stored, activation_from_hf, activation_to_hf

NAME = "bert"
MODEL_TYPE = "bert"
OBJECTIVE = "next-sentence"
TOKENIZER = "bert"
GROUPED_QUERY = False
PREFIX = "bert."
IGNORED = ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias")  # tied
FIXED = {
    "architecture": "encoder",
    "context": 512,
    "position": "learned",
    "token_types": 2,
    "norm": "layernorm",
    "norm_place": "post",
    "norm_bias": True,
    "norm_epsilon": 1e-12,
    "feedforward": "gelu",
    "feedforward_bias": True,
    "qkv_bias": True,
    "out_bias": True,
    "embedding_norm": True,
    "prediction_head": True,
    "output_bias": True,
    "pooler": True,
    "next_sentence": True,
    "dropout": 0.1,
    "initial_deviation": 0.02,
}

_DATA = "BookCorpus and English Wikipedia, 3.3B words"
_SOURCE = "Devlin et al. 2018, section 3"
# 1,000,000 steps of 256 rows; nine tenths of them of 128 tokens, the rest of 512 (appendix A.2).
_TOKENS = 1_000_000 * 256 * (0.9 * 128 + 0.1 * 512)
PRESETS = {
    "bert-base": Preset(
        {"vocab_size": 30_522, "layers": 12, "width": 768, "heads": 12, "feedforward_width": 3072},
        parameters=110_106_428,
        published="110M",
        source=_SOURCE,
        year=2018,
        data=_DATA,
        tokens=_TOKENS,
    ),
    "bert-large": Preset(
        {"vocab_size": 30_522, "layers": 24, "width": 1024, "heads": 16, "feedforward_width": 4096},
        parameters=336_226_108,
        published="340M",
        source=_SOURCE,
        year=2018,
        data=_DATA,
        tokens=_TOKENS,
    ),
}

_CLASSIFIER = {"classifier.weight": "weight", "classifier.bias": "bias"}
HEADS = {
    "pretraining": HeadShape("BertForPreTraining"),
    "masked": HeadShape("BertForMaskedLM"),
    "features": HeadShape("BertModel"),
    "classification": HeadShape(
        "BertForSequenceClassification", "first", through="pooler", weights=_CLASSIFIER
    ),
    "mean-classification": HeadShape(None, "mean", weights=_CLASSIFIER),
    "tagging": HeadShape("BertForTokenClassification", weights=_CLASSIFIER),
    "spans": HeadShape(
        "BertForQuestionAnswering", weights={"qa_outputs.weight": "weight", "qa_outputs.bias": "bias"}
    ),
}


def weights(config: TransformerConfig) -> dict[str, Stored]:
    """Hugging Face's name for a weight: ours."""
    embeddings, head = "bert.embeddings", "cls.predictions"
    names = {
        f"{embeddings}.word_embeddings.weight": Stored("embedding.weight"),
        f"{embeddings}.position_embeddings.weight": Stored("encoder.positions.weight"),
        f"{embeddings}.token_type_embeddings.weight": Stored("encoder.token_types.weight"),
        f"{head}.bias": Stored("output_bias"),
    }
    pairs = {
        f"{embeddings}.LayerNorm": "encoder.embedding_norm",
        "bert.pooler.dense": "pooler",
        f"{head}.transform.dense": "prediction_head.dense",
        f"{head}.transform.LayerNorm": "prediction_head.norm",
        "cls.seq_relationship": "next_sentence",
    }
    for layer in range(config.layers):
        theirs, ours = f"bert.encoder.layer.{layer}", f"encoder.blocks.{layer}"
        pairs |= {
            f"{theirs}.attention.self.query": f"{ours}.attention.query",
            f"{theirs}.attention.self.key": f"{ours}.attention.key",
            f"{theirs}.attention.self.value": f"{ours}.attention.value",
            f"{theirs}.attention.output.dense": f"{ours}.attention.out",
            f"{theirs}.attention.output.LayerNorm": f"{ours}.attention_norm",
            f"{theirs}.intermediate.dense": f"{ours}.feedforward.up",
            f"{theirs}.output.dense": f"{ours}.feedforward.down",
            f"{theirs}.output.LayerNorm": f"{ours}.feedforward_norm",
        }
    for theirs, ours in pairs.items():
        names |= {f"{theirs}.{kind}": Stored(f"{ours}.{kind}") for kind in ("weight", "bias")}
    return names


def to_hf(config: TransformerConfig) -> dict[str, Any]:
    """`config.json` fields for transformers."""
    if config.heads * config.head_width != config.width:
        raise HeadstartError(
            f"the heads of a {config.family} model share its width: {config.heads} of {config.head_width} "
            f"do not fill {config.width}; leave head_width out"
        )
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.feedforward_width,
        "max_position_embeddings": config.context,
        "type_vocab_size": config.token_types,
        "hidden_act": activation_to_hf(config.feedforward),
        "layer_norm_eps": config.norm_epsilon,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.dropout,
        "initializer_range": config.initial_deviation,
        "tie_word_embeddings": config.tied,
    }


def from_hf(fields: dict[str, Any]) -> dict[str, Any]:
    """The sizes in a `config.json`."""
    return {
        "vocab_size": fields["vocab_size"],
        "layers": fields["num_hidden_layers"],
        "width": fields["hidden_size"],
        "heads": fields["num_attention_heads"],
        "feedforward_width": fields["intermediate_size"],
        "feedforward": activation_from_hf(fields.get("hidden_act", "gelu")),
        "context": fields["max_position_embeddings"],
        "token_types": fields.get("type_vocab_size", 2),
        "norm_epsilon": fields.get("layer_norm_eps", 1e-12),
        "dropout": fields.get("hidden_dropout_prob", 0.1),
        "tied": fields.get("tie_word_embeddings", True),
    }
