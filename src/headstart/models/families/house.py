"""House: one block whose parts a recipe may change one at a time, as encoder and as decoder.

Its default is Llama's block with tied embeddings. An encoder and a decoder of it have the same weights; only
what they see differs, so that two runs can differ in one thing (Weller et al. 2025 pair their models so). It
serves comparisons: transformers has no such model, and folders of this family are read by headstart alone.
"""

from headstart.models.family import Family, HeadShape, Key, linear, module

_FIXED = {
    "architecture": "decoder",
    "position": "rotary",
    "norm": "rmsnorm",
    "norm_place": "pre",
    "feedforward": "swiglu",
}
_SIZES = (
    "vocab_size",
    "layers",
    "width",
    "heads",
    "kv_heads",
    "head_width",
    "feedforward_width",
    "context",
    "norm_epsilon",
    "rotary_base",
    "tied",
)
_BLOCK = (
    "attention_norm",
    "attention.query",
    "attention.key",
    "attention.value",
    "attention.out",
    "feedforward_norm",
    "feedforward.gate",
    "feedforward.up",
    "feedforward.down",
)
_MODULES = (
    "embedding",
    "output",
    *(f"{stack}.{part}" for stack in ("encoder", "decoder") for part in ("positions", "final_norm")),
    *(f"{stack}.blocks.{{}}.{part}" for stack in ("encoder", "decoder") for part in _BLOCK),
)

HOUSE = Family(
    name="house",
    model_type=None,
    objective="causal",
    tokenizer="headstart",
    fixed=_FIXED,
    # The names in a folder are ours.
    rows=tuple(Key(name, name) for name in (*_FIXED, *_SIZES)),
    modules={name: module(name) for name in _MODULES},
    heads={
        "causal": HeadShape(None),
        "masked": HeadShape(None),
        "features": HeadShape(None),
        "classification": HeadShape(None, "mean", weights=linear("score")),
        "tagging": HeadShape(None, weights=linear("score")),
        "spans": HeadShape(None, weights=linear("score")),
    },
    grouped_query=True,
)
