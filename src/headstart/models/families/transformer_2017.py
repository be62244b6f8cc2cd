"""The Transformer of 2017: an encoder-decoder for translation (Vaswani et al. 2017).

Sinusoidal positions, post-norm, ReLU, embeddings multiplied by the root of the width and shared by
source, target and output. Its weights are kept as transformers' Marian model. That gives attention
biases, which the paper does not have: less than 0.1 % of the parameters.
"""

from headstart.models.families.bart import BART, MODULES, SIZES
from headstart.models.family import Constant, Family, HeadShape, Key, Preset, heads_fill_width

_FIXED = {
    "architecture": "encoder-decoder",
    "context": 512,
    "position": "sinusoidal",
    "norm": "layernorm",
    "norm_place": "post",
    "norm_bias": True,
    "feedforward": "relu",
    "feedforward_bias": True,
    "qkv_bias": True,
    "out_bias": True,
    "embedding_scale": True,
    "dropout": 0.1,
    "embedding_deviation": 0.0,
}

_SOURCE = "Vaswani et al. 2017, sections 5.1 to 5.4 and table 3"
_DATA = "WMT 2014 English-German, 4.5M pairs of sentences"
_BATCH = 25_000 + 25_000  # source and target tokens of one step
_PRESETS = {
    "transformer-base": Preset(
        {"vocab_size": 37_000, "layers": 6, "width": 512, "heads": 8, "feedforward_width": 2048},
        parameters=63_082_496,
        published="65M",
        source=_SOURCE,
        year=2017,
        data=_DATA,
        tokens=100_000 * _BATCH,
    ),
    "transformer-big": Preset(
        {
            "vocab_size": 37_000,
            "layers": 6,
            "width": 1024,
            "heads": 16,
            "feedforward_width": 4096,
            "dropout": 0.3,
        },
        parameters=214_245_376,
        published="213M",
        source=_SOURCE,
        year=2017,
        data=_DATA,
        tokens=300_000 * _BATCH,
    ),
}

TRANSFORMER_2017 = Family(
    name="transformer-2017",
    model_type="marian",
    objective="denoising",  # of running text; the paper had pairs of sentences
    tokenizer="transformer",
    fixed=_FIXED,
    rows=(
        Key("vocab_size", "vocab_size", 58_101),
        *SIZES,
        Constant("share_encoder_decoder_embeddings", True),
    ),
    modules=MODULES,  # it has no learned positions and no norm of the embeddings
    # Of a bare model transformers says that the tables of sinusoids are missing, and computes them all the
    # same.
    heads={"text-to-text": HeadShape("MarianMTModel"), "features": HeadShape("MarianModel")},
    presets=_PRESETS,
    prefix="model.",
    repeats=BART.repeats,
    ignored=("embed_positions.weight",),  # sinusoids are computed
    zeros=BART.zeros,
    decoder_start="pad",
    check=heads_fill_width,
)
