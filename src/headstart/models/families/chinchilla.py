"""Gopher and Chinchilla: decoders with RMSNorm and Transformer-XL's relative positions.

Sources: Rae et al. 2021, section 3.1 and table 1 (Gopher); Hoffmann et al. 2022, table 4 (Chinchilla, the
same architecture, a quarter of the size, nearly five times the tokens). The papers' counts come out only
with a projection of distances in every layer and an output that shares the embedding's weights. They do not
name the activation, nor whether there are biases: GELU and none here.

transformers has no such model: folders of this family are read by headstart alone.
"""

from headstart.models.family import Family, HeadShape, Key, Preset, linear, module

_FIXED = {
    "architecture": "decoder",
    "context": 2048,
    "position": "relative-xl",
    "norm": "rmsnorm",
    "feedforward": "gelu",
}


def _preset(
    layers: int, width: int, heads: int, parameters: int, published: str, chinchilla: bool = False
) -> Preset:
    return Preset(
        {
            "vocab_size": 32_000,
            "layers": layers,
            "width": width,
            "heads": heads,
            "feedforward_width": 4 * width,
        },
        parameters=parameters,
        published=published,
        source="Hoffmann et al. 2022, table 4" if chinchilla else "Rae et al. 2021, table 1",
        year=2022 if chinchilla else 2021,
        data="MassiveText: web pages, books, news, GitHub, Wikipedia",
        tokens=1.4e12 if chinchilla else 300e9,
        open_weights=False,
    )


_PRESETS = {
    "gopher-44m": _preset(8, 512, 16, 43_663_872, "44M"),
    "gopher-117m": _preset(12, 768, 12, 116_626_176, "117M"),
    "gopher-417m": _preset(12, 1536, 12, 417_277_440, "417M"),
    "gopher-1.4b": _preset(24, 2048, 16, 1_374_357_504, "1.4B"),
    "gopher-7.1b": _preset(32, 4096, 32, 7_110_922_240, "7.1B"),
    "gopher-280b": _preset(80, 16_384, 128, 279_702_421_504, "280B"),
    "chinchilla-70b": _preset(80, 8192, 64, 70_057_992_192, "70B", chinchilla=True),
}

_SIZES = (
    "vocab_size",
    "layers",
    "width",
    "heads",
    "head_width",
    "feedforward_width",
    "feedforward",
    "context",
    "norm_epsilon",
    "tied",
)
_MODULES = (
    "embedding",
    "decoder.final_norm",
    "output",
    "decoder.blocks.{}.attention_norm",
    "decoder.blocks.{}.attention.query",
    "decoder.blocks.{}.attention.key",
    "decoder.blocks.{}.attention.value",
    "decoder.blocks.{}.attention.out",
    "decoder.blocks.{}.attention.relative.key",
    "decoder.blocks.{}.feedforward_norm",
    "decoder.blocks.{}.feedforward.up",
    "decoder.blocks.{}.feedforward.down",
)
_BIASES = (
    "decoder.blocks.{}.attention.relative.content_bias",
    "decoder.blocks.{}.attention.relative.distance_bias",
)

CHINCHILLA = Family(
    name="chinchilla",
    model_type=None,
    objective="causal",
    tokenizer="llama2",
    fixed=_FIXED,
    # The names in a folder are ours.
    rows=tuple(Key(name, name) for name in _SIZES),
    modules={name: module(name) for name in _MODULES},
    tensors={name: name for name in _BIASES},
    heads={
        "causal": HeadShape(None),
        "features": HeadShape(None),
        "classification": HeadShape(None, "last", bias=False, weights=linear("score", bias=False)),
        "tagging": HeadShape(None, weights=linear("score")),
        "spans": HeadShape(None, weights=linear("score")),
    },
    presets=_PRESETS,
)
