"""headstart's own two: an encoder and a decoder with rotary positions, pre-norm and no biases.

The encoder has the shape of ModernBERT (Warner et al. 2024) with full attention in every layer, so that its
folders load in transformers as `ModernBertFor...`; the decoder that of Llama (Touvron et al. 2023) with tied
embeddings, so that its folders load as `LlamaForCausalLM`.
"""

from dataclasses import replace

from headstart.models.families.llama import LLAMA
from headstart.models.families.modernbert import HEADS, MEAN, MODERNBERT, SHAPE
from headstart.models.family import Constant

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
