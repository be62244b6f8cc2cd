"""Gopher and Chinchilla: decoders with RMSNorm and Transformer-XL's relative positions.

Sources: Rae et al. 2021, section 3.1 and table 1 (Gopher); Hoffmann et al. 2022, table 4 (Chinchilla, the
same architecture, a quarter of the size, nearly five times the tokens). The papers' counts come out only
with a projection of distances in every layer and an output that shares the embedding's weights. They do not
name the activation, nor whether there are biases: GELU and none here.

transformers has no such model: folders of this family are read by headstart alone.
"""

from typing import Any

from headstart.models.config import TransformerConfig
from headstart.models.family import HeadShape, Preset, Stored

NAME = "chinchilla"
MODEL_TYPE = None
OBJECTIVE = "causal"
TOKENIZER = "llama2"
GROUPED_QUERY = False
PREFIX = ""
FIXED = {
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


PRESETS = {
    "gopher-44m": _preset(8, 512, 16, 43_663_872, "44M"),
    "gopher-117m": _preset(12, 768, 12, 116_626_176, "117M"),
    "gopher-417m": _preset(12, 1536, 12, 417_277_440, "417M"),
    "gopher-1.4b": _preset(24, 2048, 16, 1_374_357_504, "1.4B"),
    "gopher-7.1b": _preset(32, 4096, 32, 7_110_922_240, "7.1B"),
    "gopher-280b": _preset(80, 16_384, 128, 279_702_421_504, "280B"),
    "chinchilla-70b": _preset(80, 8192, 64, 70_057_992_192, "70B", chinchilla=True),
}

HEADS = {
    "causal": HeadShape(None),
    "features": HeadShape(None),
    "classification": HeadShape(None, "last", bias=False, weights={"score.weight": "weight"}),
    "tagging": HeadShape(None, weights={"score.weight": "weight", "score.bias": "bias"}),
    "spans": HeadShape(None, weights={"score.weight": "weight", "score.bias": "bias"}),
}


def weights(config: TransformerConfig) -> dict[str, Stored]:
    """The names in a folder are ours."""
    names = ["embedding.weight", "decoder.final_norm.weight", "output.weight"]
    for layer in range(config.layers):
        block = f"decoder.blocks.{layer}"
        names += [
            f"{block}.attention_norm.weight",
            f"{block}.attention.query.weight",
            f"{block}.attention.key.weight",
            f"{block}.attention.value.weight",
            f"{block}.attention.out.weight",
            f"{block}.attention.relative.key.weight",
            f"{block}.attention.relative.content_bias",
            f"{block}.attention.relative.distance_bias",
            f"{block}.feedforward_norm.weight",
            f"{block}.feedforward.up.weight",
            f"{block}.feedforward.down.weight",
        ]
    return {name: Stored(name) for name in names}


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


def to_hf(config: TransformerConfig) -> dict[str, Any]:
    """`config.json` fields: those of `TransformerConfig`."""
    return {name: getattr(config, name) for name in _SIZES}


def from_hf(fields: dict[str, Any]) -> dict[str, Any]:
    """The sizes in a `config.json` that `to_hf` wrote."""
    return {name: fields[name] for name in _SIZES}
