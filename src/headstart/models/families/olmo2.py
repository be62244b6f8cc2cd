"""OLMo 2: Llama's parts, with norms on what attention and feed-forward layers give (OLMo et al. 2024).

RMSNorm stands on the outputs of the parts instead of before them, and on queries and keys, over all heads at
once.
"""

from dataclasses import replace

from headstart.models.config import Sizes
from headstart.models.families.layers import Rope
from headstart.models.families.llama import (
    ATTENTION_BIAS,
    LLAMA,
    MODULES,
    decoder_heads,
    decoder_rows,
)
from headstart.models.family import Key, Preset, heads_fill_width, module


def _preset(
    layers: int, width: int, heads: int, kv_heads: int, inner: int, parameters: int, published: str,
    tokens: float, year: int,
) -> Preset:  # fmt: skip
    sizes: Sizes = {
        "vocab_size": 100_352,
        "layers": layers,
        "width": width,
        "heads": heads,
        "kv_heads": kv_heads,
        "feedforward_width": inner,
        "context": 4096,
    }
    return Preset(
        sizes,
        parameters=parameters,
        published=published,
        source="OLMo et al. 2024, table 1; counts and tokens: model cards",
        year=year,
        data="OLMo-mix-1124 and Dolmino-mix-1124: web pages, code, papers, mathematics",
        tokens=tokens,
    )


_NORMS = {"input_layernorm", "post_attention_layernorm"}
_SHARED = {theirs: ours for theirs, ours in MODULES.items() if theirs.split(".")[-1] not in _NORMS}

OLMO2 = replace(
    LLAMA,
    name="olmo2",
    model_type="olmo2",
    fixed={
        **LLAMA.fixed,
        "norm_place": "output",
        "query_key_norm": "width",
        "rotary_base": 500_000.0,
        "norm_epsilon": 1e-6,
    },
    rows=(
        *decoder_rows(vocab_size=50_304, norm_epsilon=1e-5),
        *ATTENTION_BIAS,
        Key("tied", "tie_word_embeddings", False),
        Rope(),
    ),
    modules={
        **_SHARED,
        "model.layers.{}.self_attn.q_norm": module("decoder.blocks.{}.attention.query_norm"),
        "model.layers.{}.self_attn.k_norm": module("decoder.blocks.{}.attention.key_norm"),
        "model.layers.{}.post_attention_layernorm": module("decoder.blocks.{}.attention_norm"),
        "model.layers.{}.post_feedforward_layernorm": module("decoder.blocks.{}.feedforward_norm"),
    },
    heads=decoder_heads("Olmo2", tagging=False, spans=None),
    presets={
        "olmo-2-7b": _preset(32, 4096, 32, 32, 11_008, 7_298_617_344, "7.3B", 4e12, 2024),
        "olmo-2-13b": _preset(40, 5120, 40, 40, 13_824, 13_716_198_400, "13.7B", 5e12, 2024),
        "olmo-2-32b": _preset(64, 5120, 40, 8, 27_648, 32_234_279_936, "32.2B", 6e12, 2025),
    },
    check=heads_fill_width,
)
