"""DeBERTa v3: BERT's stack with disentangled attention (He et al. 2021a, 2021b).

Content and position of a token are kept apart: to what two contents say to each other, the score of two
tokens adds what each content says to the other's relative position. The vectors of relative positions are
shared by all layers, their maps to queries and keys with those of contents. Version 3 is version 2 trained to
tell replaced tokens, without its convolution behind the first layer. transformers calls both `deberta-v2`.
"""

from collections.abc import Mapping
from typing import Any

from headstart.errors import HeadstartError
from headstart.models.config import Sizes, TransformerConfig
from headstart.models.families.bert import BERT
from headstart.models.family import (
    ACTIVATIONS,
    Computed,
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

_DATA = "English Wikipedia, BookCorpus, OpenWebText, Stories, CC-News, 160 GB"
_CLASSIFIER = linear("classifier")
_FIXED = {
    **BERT.fixed,
    "position": "disentangled",
    "relative_buckets": 256,
    "relative_distance": 512,
    "token_types": 0,
    "norm_epsilon": 1e-7,
    "pooler": False,
    "next_sentence": False,
}


def _write_attention(config: TransformerConfig) -> Sizes:
    return {
        "relative_attention": True,
        "position_biased_input": False,
        "pos_att_type": ["p2c", "c2p"],
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "legacy": False,  # whose output for masked tokens transformers trains anew
        "max_relative_positions": -1
        if config.relative_distance == config.context
        else config.relative_distance,
        "pooler_hidden_size": config.width,
        "pooler_dropout": 0,
    }


def _read_attention(fields: Mapping[str, Any]) -> Sizes:
    kinds = fields.get("pos_att_type") or []
    kinds = kinds.split("|") if isinstance(kinds, str) else kinds
    said = {
        "relative_attention": bool(fields.get("relative_attention", False)),
        "position_biased_input": bool(fields.get("position_biased_input", True)),
        "pos_att_type": {kind.strip() for kind in kinds},
        "share_att_key": bool(fields.get("share_att_key", False)),
        "norm_rel_ebd": fields.get("norm_rel_ebd", "none"),
    }
    known = {"pos_att_type": {"p2c", "c2p"}, "position_biased_input": False, "norm_rel_ebd": "layer_norm"}
    for key, value in said.items():
        if value != known.get(key, True):
            raise ValueError(f"{key} {fields.get(key)!r} (known: those of version 3)")
    distance = fields.get("max_relative_positions", -1)
    return {"relative_distance": distance if distance > 0 else fields.get("max_position_embeddings", 512)}


def _check(config: TransformerConfig) -> None:
    heads_fill_width(config)
    if not config.tied:
        raise HeadstartError(f"the output of a {config.family} model is its embedding; leave tied out")


def _preset(
    layers: int, width: int, heads: int, parameters: int, published: str, vocab_size: int = 128_100,
    source: str = "model card: backbone and embedding together; sizes as released", data: str = _DATA,
    steps: float = 500_000,
) -> Preset:  # fmt: skip
    sizes = {"layers": layers, "width": width, "heads": heads, "feedforward_width": 4 * width}
    return Preset(
        {"vocab_size": vocab_size, **sizes},
        parameters=parameters,
        published=published,
        source=source,
        year=2021,
        data=data,
        tokens=steps * 8192 * 512,
    )


DEBERTA = Family(
    name="deberta-v3",
    model_type="deberta-v2",
    objective="masked",  # by telling replaced tokens from others as published
    tokenizer="deberta",
    fixed=_FIXED,
    rows=(
        Key("vocab_size", "vocab_size", 128_100),
        Key("width", "hidden_size", 1536),
        Key("layers", "num_hidden_layers", 24),
        Key("heads", "num_attention_heads", 24),
        Key("feedforward_width", "intermediate_size", 6144),
        Key("feedforward", "hidden_act", "gelu", values=ACTIVATIONS),
        Key("context", "max_position_embeddings", 512),
        Key("token_types", "type_vocab_size", 0),
        Key("relative_buckets", "position_buckets", -1),
        Key("norm_epsilon", "layer_norm_eps", 1e-7),
        Key("dropout", "hidden_dropout_prob", 0.1),
        Copy("dropout", "attention_probs_dropout_prob"),
        Key("initial_deviation", "initializer_range", 0.02),
        Computed(_write_attention, _read_attention),
        Constant("tie_word_embeddings", True),
        Constant("conv_kernel_size", 0),  # version 2's convolution
        Constant("pooler_hidden_act", "gelu"),
    ),
    modules={
        "deberta.embeddings.word_embeddings": module("embedding"),
        "deberta.embeddings.token_type_embeddings": module("encoder.token_types"),
        "deberta.embeddings.LayerNorm": module("encoder.embedding_norm"),
        "deberta.encoder.rel_embeddings": module("encoder.relative_places"),
        "deberta.encoder.LayerNorm": module("encoder.relative_norm"),
        "deberta.encoder.layer.{}.attention.self.query_proj": module("encoder.blocks.{}.attention.query"),
        "deberta.encoder.layer.{}.attention.self.key_proj": module("encoder.blocks.{}.attention.key"),
        "deberta.encoder.layer.{}.attention.self.value_proj": module("encoder.blocks.{}.attention.value"),
        "deberta.encoder.layer.{}.attention.output.dense": module("encoder.blocks.{}.attention.out"),
        "deberta.encoder.layer.{}.attention.output.LayerNorm": module("encoder.blocks.{}.attention_norm"),
        "deberta.encoder.layer.{}.intermediate.dense": module("encoder.blocks.{}.feedforward.up"),
        "deberta.encoder.layer.{}.output.dense": module("encoder.blocks.{}.feedforward.down"),
        "deberta.encoder.layer.{}.output.LayerNorm": module("encoder.blocks.{}.feedforward_norm"),
        "lm_predictions.lm_head.dense": module("prediction_head.dense"),
        "lm_predictions.lm_head.LayerNorm": module("prediction_head.norm"),
    },
    tensors={
        "lm_predictions.lm_head.bias": "output_bias",
        "cls.predictions.decoder.weight": "output.weight",  # read, to compare it with the embedding
    },
    aliases={
        "cls.predictions.transform.dense": "lm_predictions.lm_head.dense",
        "cls.predictions.transform.LayerNorm": "lm_predictions.lm_head.LayerNorm",
        "cls.predictions": "lm_predictions.lm_head",
    },
    heads={
        "masked": HeadShape("DebertaV2ForMaskedLM"),
        "features": HeadShape("DebertaV2Model"),
        "classification": HeadShape(
            "DebertaV2ForSequenceClassification",
            "first",
            through="dense",
            activation="gelu",
            weights=linear("pooler.dense", "dense") | _CLASSIFIER,
        ),
        "mean-classification": HeadShape(None, "mean", weights=_CLASSIFIER),
        "tagging": HeadShape("DebertaV2ForTokenClassification", weights=_CLASSIFIER),
        "spans": HeadShape("DebertaV2ForQuestionAnswering", weights=linear("qa_outputs")),
    },
    presets={
        "deberta-v3-xsmall": _preset(12, 384, 6, 70_958_820, "70M"),
        "deberta-v3-small": _preset(6, 768, 12, 142_024_548, "142M"),
        "deberta-v3-base": _preset(12, 768, 12, 184_551_780, "184M"),
        "deberta-v3-large": _preset(24, 1024, 16, 435_191_908, "435M"),
        "mdeberta-v3-base": _preset(
            12, 768, 12, 279_061_880, "276M", vocab_size=251_000, data="CC100, 2.5 TB"
        ),
    },
    prefix="deberta.",
    repeats={"cls.predictions.decoder.bias": "output_bias"},
    ignored=(
        "embeddings.position_embeddings.weight",  # in published files, never read
        *(f"mask_predictions.{part}.{kind}" for part in ("dense", "LayerNorm", "classifier")
          for kind in ("weight", "bias")),  # which told replaced tokens
    ),
    check=_check,
)  # fmt: skip
