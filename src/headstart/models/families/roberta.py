"""RoBERTa: BERT without the second sentence, trained longer on more text (Liu et al. 2019).

The stack is BERT's. Positions are counted from 2, since the first implementation numbered padding 1;
there is one token type, whose embedding transformers keeps; a classifier has a dense layer of its own
instead of the pooler.
"""

from typing import Any

from headstart.errors import HeadstartError
from headstart.models.config import TransformerConfig
from headstart.models.families import bert
from headstart.models.family import HeadShape, Preset, Stored

NAME = "roberta"
MODEL_TYPE = "roberta"
OBJECTIVE = "masked"
TOKENIZER = "roberta"
GROUPED_QUERY = False
PREFIX = "roberta."
IGNORED = ("lm_head.decoder.weight", "lm_head.decoder.bias")  # tied
FIXED = bert.FIXED | {
    "position_offset": 2,
    "token_types": 1,
    "norm_epsilon": 1e-5,
    "pooler": False,
    "next_sentence": False,
}

_DATA = "BookCorpus, English Wikipedia, CC-News, OpenWebText and Stories, 160 GB"
# 500,000 steps of 8K rows of at most 512 tokens (section 5 and appendix, table 9).
_TOKENS = 500_000 * 8192 * 512
PRESETS = {
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

_CLASSIFIER = {"classifier.weight": "weight", "classifier.bias": "bias"}
HEADS = {
    "masked": HeadShape("RobertaForMaskedLM"),
    "features": HeadShape("RobertaModel"),
    "classification": HeadShape(
        "RobertaForSequenceClassification",
        "first",
        through="dense",
        weights={
            "classifier.dense.weight": "dense.weight",
            "classifier.dense.bias": "dense.bias",
            "classifier.out_proj.weight": "weight",
            "classifier.out_proj.bias": "bias",
        },
    ),
    "mean-classification": HeadShape(None, "mean", weights=_CLASSIFIER),
    "tagging": HeadShape("RobertaForTokenClassification", weights=_CLASSIFIER),
    "spans": HeadShape(
        "RobertaForQuestionAnswering", weights={"qa_outputs.weight": "weight", "qa_outputs.bias": "bias"}
    ),
}


def weights(config: TransformerConfig) -> dict[str, Stored]:
    """Hugging Face's name for a weight: ours. Up to the output they are BERT's."""
    names = {
        PREFIX + theirs.removeprefix(bert.PREFIX): ours
        for theirs, ours in bert.weights(config).items()
        if theirs.startswith(bert.PREFIX)
    }
    names["lm_head.bias"] = Stored("output_bias")
    for kind in ("weight", "bias"):
        names[f"lm_head.dense.{kind}"] = Stored(f"prediction_head.dense.{kind}")
        names[f"lm_head.layer_norm.{kind}"] = Stored(f"prediction_head.norm.{kind}")
    return names


def to_hf(config: TransformerConfig) -> dict[str, Any]:
    """`config.json` fields for transformers, which counts positions from the id of padding on."""
    if config.feedforward != "gelu":  # in transformers the output's dense layer has GELU anyway
        raise HeadstartError(f"roberta's feed-forward layer has gelu, not {config.feedforward}; leave it out")
    return bert.to_hf(config) | {
        "max_position_embeddings": config.context + config.position_offset,
        "pad_token_id": config.position_offset - 1,
    }


def from_hf(fields: dict[str, Any]) -> dict[str, Any]:
    """The sizes in a `config.json`."""
    if fields.get("hidden_act", "gelu") != "gelu":
        raise ValueError(f"hidden_act {fields['hidden_act']!r} (known: gelu)")
    padding = fields.get("pad_token_id", 1)
    if not isinstance(padding, int):
        raise ValueError(f"pad_token_id {padding}, which positions are counted from")
    offset = padding + 1
    return bert.from_hf(fields) | {
        "context": fields["max_position_embeddings"] - offset,
        "position_offset": offset,
        "pooler": True,  # where a model without an output has one
    }
