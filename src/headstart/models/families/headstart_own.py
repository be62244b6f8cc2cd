"""headstart's own: an encoder and a decoder with rotary positions, pre-norm and no biases, and a table.

The encoder has the shape of ModernBERT (Warner et al. 2024) with full attention in every layer, so that its
folders load in transformers as `ModernBertFor...`; the decoder that of Llama (Touvron et al. 2023) with tied
embeddings, so that its folders load as `LlamaForCausalLM`. The static family is one vector for each token,
and nothing else: the mean stands for a text. transformers has no such model.
"""

from dataclasses import replace

from headstart.models.families.llama import LLAMA
from headstart.models.families.modernbert import HEADS, MEAN, MODERNBERT, SHAPE
from headstart.models.family import Constant, Family, HeadShape, Key, linear, module

HEADSTART_DECODER = replace(
    LLAMA,
    name="headstart-decoder",
    tokenizer="headstart",
    presets={},
    fixed={"architecture": "decoder", "position": "rotary", "norm": "rmsnorm", "feedforward": "swiglu"},
)
HEADSTART_ENCODER = replace(
    MODERNBERT,
    name="headstart-encoder",
    tokenizer="headstart",
    presets={},
    fixed=SHAPE,
    rows=(*MODERNBERT.rows, Constant("classifier_pooling", "mean")),
    heads={name: MEAN if name == "classification" else head for name, head in HEADS.items() if head != MEAN},
)

_CLASSIFIER = linear("classifier")

STATIC = Family(
    name="static",
    model_type=None,
    objective="masked",
    tokenizer="bert",
    fixed={
        "architecture": "encoder",
        "layers": 0,
        "heads": 1,
        "feedforward_width": 1,
        "position": "none",
        "norm_place": "post",  # no norm behind the table
    },
    rows=(
        Key("vocab_size", "vocab_size"),
        Key("width", "hidden_size"),
        Key("context", "max_position_embeddings"),
        Constant("num_hidden_layers", 0),
    ),
    modules={"embedding": module("embedding")},
    heads={
        "features": HeadShape(None, "mean"),
        "classification": HeadShape(None, "mean", weights=_CLASSIFIER),
        "mean-classification": HeadShape(None, "mean", weights=_CLASSIFIER),
        "tagging": HeadShape(None, weights=_CLASSIFIER),
        "spans": HeadShape(None, weights=linear("qa_outputs")),
    },
)
