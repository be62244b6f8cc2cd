"""headstart's own encoder: bidirectional, rotary positions, pre-norm, GeGLU, no biases.

The shape is ModernBERT's (Warner et al. 2024) with full attention in every layer, so its folders
load in transformers as `ModernBertFor...`.
"""

from dataclasses import replace

from headstart.models.families.modernbert import HEADS, MEAN, MODERNBERT, SHAPE
from headstart.models.family import Constant

HEADSTART_ENCODER = replace(
    MODERNBERT,
    name="headstart-encoder",
    tokenizer="headstart",
    presets={},
    fixed=SHAPE,
    rows=(*MODERNBERT.rows, Constant("classifier_pooling", "mean")),
    heads={name: MEAN if name == "classification" else head for name, head in HEADS.items() if head != MEAN},
)
