"""Which models GGUF knows, and what its fields say of one: both directions, by llama.cpp's meaning.

llama.cpp takes much for granted by the name of an architecture: which layers have a window, what attention
scores are divided by. What a file would not say, and llama.cpp take otherwise, is no file: a configuration is
written only where the one that is read back is the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

import numpy as np

from headstart.errors import HeadstartError
from headstart.models.config import LayerPlan, RotaryScaling, Sizes, TransformerConfig
from headstart.models.registry import make_config


@dataclass(frozen=True)
class Shape:
    """How llama.cpp sees a family of models."""

    architecture: str
    neighbours: bool = False
    """Whether rotary pairs lie side by side in the rows of queries and keys, and not half a head apart."""
    norm_plus_one: bool = False
    """Whether the weights of norms are stored with the one that the family adds to them."""


Fields: TypeAlias = dict[str, int | float | bool | str]
"""Of a file, by their names behind that of the architecture."""
SHAPES = {
    "llama": Shape("llama", neighbours=True),
    "headstart-decoder": Shape("llama", neighbours=True),
    "mistral": Shape("llama", neighbours=True),
    "gpt2": Shape("gpt2"),
    "gpt-neox": Shape("gptneox"),
    "qwen2": Shape("qwen2"),
    "qwen3": Shape("qwen3"),
    "phi3": Shape("phi3"),
    "olmo2": Shape("olmo2"),
    "smollm3": Shape("smollm3", neighbours=True),
    "gemma2": Shape("gemma2", norm_plus_one=True),
    "gemma3": Shape("gemma3", norm_plus_one=True),
}
FAMILY = {shape.architecture: family for family, shape in reversed(SHAPES.items())}
"""An architecture: the family that it is read as."""
FAMILY["llama"] = "llama"
_LARGEST = {"gemma2": 46, "gemma3": 62}
"""Layers of the largest model of a family, whose scores are divided by another number."""
_NOT_SAID = {"family", "dropout", "initial_deviation", "embedding_deviation", "plan"}


def shape_of(config: TransformerConfig) -> Shape:
    """How llama.cpp sees a model; a `HeadstartError` where it knows none that computes the same."""
    shape = SHAPES.get(config.family)
    if shape is None:
        raise HeadstartError(
            f"GGUF is written for {', '.join(SHAPES)}, not for a {config.family} model; export it as hf"
        )
    if config.rotary_scaling is not None and config.rotary_scaling.kind == "dynamic":
        raise HeadstartError("GGUF knows no dynamic scaling of rotary positions; export the model as hf")
    window = min(config.layer(layer).window or config.context for layer in range(config.layers))
    if config.family == "phi3" and window < config.context:
        raise HeadstartError(
            f"llama.cpp passes over the window of {window:,} tokens that a phi3 model has, so it computes "
            f"texts of up to {config.context:,} tokens otherwise; export it as hf"
        )
    scaling = config.rotary_scaling
    factors = {}
    if scaling is not None and scaling.kind == "longrope":
        factors = {"short": scaling.short_factors, "long": scaling.long_factors}
    said = {name: _stored(value) for name, value in to_fields(config).items()}
    again = from_fields(shape.architecture, said, config.vocab_size, config.tied, factors)
    if scaling is not None and scaling.kind == "llama3":  # a tensor says it
        again = replace(again, rotary_scaling=scaling)
    for field in fields(config):
        own, held = getattr(config, field.name), getattr(again, field.name)
        if field.name not in _NOT_SAID and own != held:
            raise HeadstartError(
                f"in a GGUF file a {config.family} model has {field.name}={held}, not {own}; export it as hf"
            )
    for layer in range(config.layers):
        if config.layer(layer) != again.layer(layer):
            raise HeadstartError(
                f"in a GGUF file layer {layer} of a {config.family} model is {again.layer(layer)}, not "
                f"{config.layer(layer)}; export it as hf"
            )
    return shape


def to_fields(config: TransformerConfig) -> Fields:
    """The fields of a file, by their names behind that of the architecture."""
    said: Fields = {
        "context_length": config.context,
        "embedding_length": config.width,
        "block_count": config.layers,
        "feed_forward_length": config.feedforward_width,
        "attention.head_count": config.heads,
    }
    norm = "rms_epsilon" if config.norm == "rmsnorm" else "epsilon"
    said[f"attention.layer_norm_{norm}"] = float(config.norm_epsilon)
    if config.position != "rotary":
        return said
    said |= {
        "attention.head_count_kv": config.kv_heads,
        "attention.key_length": config.head_width,
        "attention.value_length": config.head_width,
        "rope.dimension_count": config.rotary_width or config.head_width,
        "rope.freq_base": float(config.rotary_base),
        "vocab_size": config.vocab_size,
    }
    if config.family == "gpt-neox":
        said["use_parallel_residual"] = config.parallel
    window = max(config.layer(layer).window for layer in range(config.layers))
    extras = {
        "attention.sliding_window": window,
        "attn_logit_softcapping": float(config.attention_cap),
        "final_logit_softcapping": float(config.output_cap),
    }
    return said | {name: value for name, value in extras.items() if value} | _scaling_fields(config)


def _scaling_fields(config: TransformerConfig) -> Fields:
    scaling = config.rotary_scaling
    if scaling is None or scaling.kind == "llama3":
        return {}
    said: Fields = {}
    if scaling.kind in ("linear", "yarn"):
        said |= {"rope.scaling.type": scaling.kind, "rope.scaling.factor": float(scaling.factor)}
    if scaling.kind in ("yarn", "longrope"):
        said["rope.scaling.original_context_length"] = scaling.original_context
    if scaling.kind == "longrope":
        said["rope.scaling.attn_factor"] = float(scaling.magnitude)
    return said


def from_fields(
    architecture: str,
    said: Mapping[str, Any],
    vocab_size: int,
    tied: bool,
    factors: Mapping[str, Any] | None = None,
) -> TransformerConfig:
    """The configuration that fields mean, by their names behind that of the architecture.

    Args:
        tied: the file has no output of its own.
        factors: "short" and "long" of longrope, `[R/2]` each, where the file has them.

    Raises:
        KeyError: a field that is missing.
        HeadstartError: sizes that make no model, or scaling that is not computed.
    """
    sizes: Sizes = {
        "vocab_size": vocab_size,
        "layers": said["block_count"],
        "width": said["embedding_length"],
        "heads": said["attention.head_count"],
        "feedforward_width": said["feed_forward_length"],
        "context": said["context_length"],
        "tied": tied,
    }
    plain = architecture in ("gpt2", "gptneox")
    epsilon = "epsilon" if plain else "rms_epsilon"
    sizes["norm_epsilon"] = short(said[f"attention.layer_norm_{epsilon}"])
    if architecture != "gpt2":
        head_width = said.get("attention.key_length") or sizes["width"] // sizes["heads"]
        turned = said.get("rope.dimension_count") or head_width
        sizes |= {
            "kv_heads": said.get("attention.head_count_kv", sizes["heads"]),
            "head_width": head_width,
            "rotary_base": short(said.get("rope.freq_base", 10_000.0)),
            "rotary_scaling": _scaling(said, sizes, factors or {}),
        }
        if turned != head_width:
            sizes["rotary_width"] = turned
    return make_config(FAMILY[architecture], sizes | _taken_for_granted(architecture, said, sizes))


def _taken_for_granted(architecture: str, said: Mapping[str, Any], sizes: Mapping[str, Any]) -> Sizes:
    """What llama.cpp computes by the name of the architecture."""
    window = said.get("attention.sliding_window") or 0
    if architecture == "gptneox":
        return {"parallel": bool(said.get("use_parallel_residual", True))}
    if architecture == "phi3":
        return {"plan": (LayerPlan(window=window),)}
    if architecture == "smollm3":  # every fourth layer has no positions
        return {"plan": (*[LayerPlan()] * 3, LayerPlan(rotary_base=0.0))}
    if architecture not in ("gemma2", "gemma3"):
        return {}
    largest = sizes["layers"] == _LARGEST[architecture]
    scalar = sizes["width"] / sizes["heads"] if largest else sizes["head_width"]
    found = {
        "query_scalar": 0.0 if scalar == sizes["head_width"] else scalar,
        "output_cap": short(said.get("final_logit_softcapping", 0.0)),
    }
    if architecture == "gemma2":
        caps = {"attention_cap": short(said.get("attn_logit_softcapping", 50.0))}
        return found | caps | {"plan": (LayerPlan(window=window), LayerPlan())}
    local = LayerPlan(window=window, rotary_base=10_000.0)
    return found | {"plan": (*[local] * 5, LayerPlan())}


def _scaling(
    said: Mapping[str, Any], sizes: Mapping[str, Any], factors: Mapping[str, Any]
) -> RotaryScaling | None:
    first = said.get("rope.scaling.original_context_length") or sizes["context"]
    if factors:
        short_factors, long_factors = (
            tuple(short(one) for one in np.asarray(factors[name]).tolist()) for name in ("short", "long")
        )
        stretched = max(sizes["context"] / first, 1.0)
        return RotaryScaling(
            factor=stretched,
            original_context=first,
            kind="longrope",
            short_factors=short_factors,
            long_factors=long_factors,
            magnitude=short(said.get("rope.scaling.attn_factor", 1.0)),
        )
    kind = said.get("rope.scaling.type", "linear" if "rope.scale_linear" in said else "none")
    factor = short(said.get("rope.scaling.factor", said.get("rope.scale_linear", 1.0)))
    if kind == "none" or factor == 1.0:
        return None
    if kind == "linear":
        return RotaryScaling(factor=factor, kind="linear")
    if kind == "yarn" and short(said.get("rope.scaling.attn_factor", 1.0)) == 1.0:
        return RotaryScaling(
            factor=factor,
            low_frequency=short(said.get("rope.scaling.yarn_beta_slow", 1.0)),
            high_frequency=short(said.get("rope.scaling.yarn_beta_fast", 32.0)),
            original_context=first,
            kind="yarn",
            magnitude=1.0 + 0.1 * float(np.log(factor)),
        )
    raise HeadstartError(
        f"it stretches its positions by {kind} with the factor {factor:g}, which is not computed"
    )


def short(value: float) -> float:
    """A float32 as people wrote it: 9.999999747378752e-06 was 1e-05."""
    return float(f"{value:.6g}")


def _stored(value: Any) -> Any:
    """A number as a file keeps it."""
    return float(np.float32(value)) if isinstance(value, float) else value
