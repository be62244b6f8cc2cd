"""RoBERTa: BERT without the second sentence, trained longer on more text (Liu et al. 2019).

The stack is BERT's. Positions are counted from 2, since the first implementation numbered padding 1;
there is one token type, whose embedding transformers keeps; a classifier has a dense layer of its own
instead of the pooler. XLM-R (Conneau et al. 2020) and CamemBERT (Martin et al. 2020) are the same models with
other vocabularies, which transformers calls by names of their own.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headstart.folder import JSONObject
from headstart.models.config import Sizes, TransformerConfig
from headstart.models.families.bert import BERT, BODY, SIZES
from headstart.models.family import (
    Computed,
    Constant,
    Family,
    HeadShape,
    Key,
    Preset,
    heads_fill_width,
    linear,
    module,
)

_FIXED = {
    **BERT.fixed,
    "position_offset": 2,
    "token_types": 1,
    "norm_epsilon": 1e-5,
    "pooler": False,
    "next_sentence": False,
}

_DATA = "BookCorpus, English Wikipedia, CC-News, OpenWebText and Stories, 160 GB"
# 500,000 steps of 8K rows of at most 512 tokens (section 5 and appendix, table 9).
_TOKENS = 500_000 * 8192 * 512
_PRESETS = {
    "roberta-base": Preset(
        {"vocab_size": 50_265, "layers": 12, "width": 768, "heads": 12, "feedforward_width": 3072},
        parameters=124_697_433,
        published="125M",
        source="Liu et al. 2019, sections 4.4 (110M of BERT and 15M of vocabulary) and 5",
        year=2019,
        data=_DATA,
        tokens=_TOKENS,
    ),
    "roberta-large": Preset(
        {"vocab_size": 50_265, "layers": 24, "width": 1024, "heads": 16, "feedforward_width": 4096},
        parameters=355_412_057,
        published="355M",
        source="Liu et al. 2019, section 5",
        year=2019,
        data=_DATA,
        tokens=_TOKENS,
    ),
}

_CLASSIFIER = linear("classifier")


def _heads(name: str) -> dict[str, HeadShape]:
    """The heads of a family whose classes transformers calls `name`."""
    dense = linear("classifier.dense", "dense") | linear("classifier.out_proj")
    return {
        "masked": HeadShape(f"{name}ForMaskedLM"),
        "features": HeadShape(f"{name}Model"),
        "classification": HeadShape(
            f"{name}ForSequenceClassification", "first", through="dense", weights=dense
        ),
        "mean-classification": HeadShape(None, "mean", weights=_CLASSIFIER),
        "tagging": HeadShape(f"{name}ForTokenClassification", weights=_CLASSIFIER),
        "spans": HeadShape(f"{name}ForQuestionAnswering", weights=linear("qa_outputs")),
    }


def _write_positions(config: TransformerConfig) -> JSONObject:
    """transformers counts positions from the id of padding on."""
    return {
        "max_position_embeddings": config.context + config.position_offset,
        "pad_token_id": config.position_offset - 1,
    }


def _read_positions(fields: Mapping[str, Any]) -> Sizes:
    padding = fields.get("pad_token_id", 1)
    if not isinstance(padding, int):
        raise ValueError(f"pad_token_id {padding}, which positions are counted from")
    return {
        "context": fields.get("max_position_embeddings", 512) - padding - 1,
        "position_offset": padding + 1,
        "pooler": True,  # where a model without an output has one
    }


_ROWS = (
    *SIZES,
    Computed(_write_positions, _read_positions),
    Constant("hidden_act", "gelu"),  # in transformers the output's dense layer has GELU anyway
)
_OTHER_VOCABULARY = (Key("vocab_size", "vocab_size", 30_522), *_ROWS)

ROBERTA = Family(
    name="roberta",
    model_type="roberta",
    objective="masked",
    tokenizer="roberta",
    fixed=_FIXED,
    rows=(Key("vocab_size", "vocab_size", 50_265), *_ROWS),
    modules={f"roberta.{theirs}": ours for theirs, ours in BODY.items()}
    | {
        "lm_head.dense": module("prediction_head.dense"),
        "lm_head.layer_norm": module("prediction_head.norm"),
    },
    tensors={"lm_head.bias": "output_bias", "lm_head.decoder.weight": "output.weight"},
    heads=_heads("Roberta"),
    presets=_PRESETS,
    prefix="roberta.",
    repeats={"lm_head.decoder.bias": "output_bias"},
    check=heads_fill_width,
)

XLM_ROBERTA = replace(
    ROBERTA,
    name="xlm-roberta",
    model_type="xlm-roberta",
    rows=_OTHER_VOCABULARY,
    heads=_heads("XLMRoberta"),
    presets={
        "xlm-roberta-base": Preset(
            {"vocab_size": 250_002, "layers": 12, "width": 768, "heads": 12, "feedforward_width": 3072},
            parameters=278_295_186,
            published="270M",
            source="Conneau et al. 2020, section 3 and appendix C",
            year=2019,
            data="CC-100, Common Crawl in 100 languages, 2.5 TB",
            tokenizer="t5",
            tokens=1_500_000 * 8192 * 512,
        ),
        "xlm-roberta-large": Preset(
            {"vocab_size": 250_002, "layers": 24, "width": 1024, "heads": 16, "feedforward_width": 4096},
            parameters=560_142_482,
            published="550M",
            source="Conneau et al. 2020, section 3 and appendix C",
            year=2019,
            data="CC-100, Common Crawl in 100 languages, 2.5 TB",
            tokenizer="t5",
            tokens=1_500_000 * 8192 * 512,
        ),
    },
)

CAMEMBERT = replace(
    ROBERTA,
    name="camembert",
    model_type="camembert",
    rows=_OTHER_VOCABULARY,
    heads=_heads("Camembert"),
    presets={
        "camembert-base": Preset(
            {"vocab_size": 32_005, "layers": 12, "width": 768, "heads": 12, "feedforward_width": 3072},
            parameters=110_655_493,
            published="110M",
            source="Martin et al. 2020, section 4.1 and appendix A",
            year=2019,
            data="the French part of OSCAR, 138 GB",
            tokenizer="t5",
            tokens=100_000 * 8192 * 512,
        ),
    },
)
