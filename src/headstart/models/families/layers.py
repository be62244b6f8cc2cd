"""Rows of `config.json` about positions and layers: the rotary base, its scaling, and what a layer sees."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log
from typing import Any

from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.models.config import LayerPlan, RotaryScaling, Sizes, TransformerConfig

FULL, SLIDING = "full_attention", "sliding_attention"


@dataclass(frozen=True)
class Rope:
    """Rotary positions, the same in all layers, under their names in transformers 5 and before."""

    base: float = 10_000.0
    """What transformers takes where the folder does not say it."""
    base_key: str = "rope_theta"
    scalings: tuple[str, ...] = ("linear", "llama3", "dynamic", "yarn", "longrope")
    """Kinds of scaling that transformers' class and ours compute alike."""
    share_key: str = ""
    """Of the key that says which share of a head is turned; "": the whole head is."""
    share: float = 1.0
    """What transformers takes where the folder does not say that."""
    head_width: int = 0
    """The same of the head's width, where a share of it counts."""
    original: int | None = None
    """The same of the context before scaling; None: the model's context."""

    def write(self, config: TransformerConfig) -> JSONObject:
        rope = rope_fields(config.rotary_base, config.rotary_scaling)
        fields: JSONObject = {}
        if self.share_key:
            share = (config.rotary_width or config.head_width) / config.head_width
            rope["partial_rotary_factor"] = fields[self.share_key] = share
        scaled = config.rotary_scaling is not None
        return fields | {
            self.base_key: config.rotary_base,
            "rope_scaling": rope if scaled else None,
            "rope_parameters": rope,
        }

    def read(self, fields: Mapping[str, Any]) -> Sizes:
        rope = fields.get("rope_parameters") or fields.get("rope_scaling") or {}
        sizes: Sizes = {
            "rotary_base": float(rope.get("rope_theta") or fields.get(self.base_key) or self.base),
            "rotary_scaling": read_scaling(rope, self.scalings, fields, self.original),
        }
        if self.share_key:
            share = rope.get("partial_rotary_factor") or fields.get(self.share_key) or self.share
            whole = self._head_width(fields)
            sizes["rotary_width"] = 0 if int(whole * share) == whole else int(whole * share)
        return sizes

    def _head_width(self, fields: Mapping[str, Any]) -> int:
        if "hidden_size" not in fields or "num_attention_heads" not in fields:
            return self.head_width
        return int(fields["hidden_size"] // fields["num_attention_heads"])


def rope_fields(base: float, scaling: RotaryScaling | None) -> JSONObject:
    """`rope_parameters` of one kind of layer."""
    rope: JSONObject = {"rope_type": "default", "rope_theta": base}
    if scaling is None:
        return rope
    rope |= {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind not in ("linear", "dynamic"):
        rope["original_max_position_embeddings"] = scaling.original_context
    if scaling.kind == "llama3":
        rope |= {"low_freq_factor": scaling.low_frequency, "high_freq_factor": scaling.high_frequency}
    if scaling.kind == "yarn":
        rope |= {"beta_slow": scaling.low_frequency, "beta_fast": scaling.high_frequency}
        rope |= {"truncate": scaling.whole_pairs, "attention_factor": scaling.magnitude}
    if scaling.kind == "longrope":
        factors = {"short_factor": list(scaling.short_factors), "long_factor": list(scaling.long_factors)}
        rope |= factors | {"attention_factor": scaling.magnitude}
    return rope


def read_scaling(
    rope: Mapping[str, Any], known: tuple[str, ...], fields: Mapping[str, Any], original: int | None = None
) -> RotaryScaling | None:
    """The scaling that `rope_parameters` mean; a `ValueError` for a kind that is not in `known`.

    Args:
        original: the first context that transformers' class takes where the folder does not say it; None: it
            takes `max_position_embeddings`.
    """
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "su" or (kind == "yarn" and "long_factor" in rope):
        kind = "longrope"  # its names when Phi-3 was published
    if kind == "default":
        return None
    if kind not in known:
        raise ValueError(f"rope_type {kind!r} (known: {', '.join(('default', *known))})")
    if kind == "linear":
        return RotaryScaling(factor=float(rope["factor"]), kind="linear")
    context = fields.get("max_position_embeddings", original)
    if context is None:
        raise KeyError("max_position_embeddings")
    if kind == "dynamic":
        return RotaryScaling(factor=float(rope["factor"]), original_context=context, kind="dynamic")
    first = fields.get("original_max_position_embeddings") or (original if original else None)
    first = first or rope.get("original_max_position_embeddings") or context
    if kind == "llama3":
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        return RotaryScaling(rope["factor"], low, high, first)
    factor = rope.get("factor") or context / first
    said = rope.get("attention_factor")
    if kind == "yarn":
        return RotaryScaling(
            factor=factor,
            low_frequency=rope.get("beta_slow") or 1,
            high_frequency=rope.get("beta_fast") or 32,
            original_context=first,
            kind="yarn",
            magnitude=_yarn_magnitude(factor, rope) if said is None else said,
            whole_pairs=rope.get("truncate", True),
        )
    return RotaryScaling(
        factor=factor,
        original_context=first,
        kind="longrope",
        short_factors=tuple(rope["short_factor"]),
        long_factors=tuple(rope["long_factor"]),
        magnitude=(1 + log(max(factor, 1)) / log(first)) ** 0.5 if said is None else said,
    )


def _yarn_magnitude(factor: float, rope: Mapping[str, Any]) -> float:
    """What YaRN multiplies cosine and sine by (Peng et al. 2023, eq. 22), or DeepSeek's ratio of two such."""

    def of(scale: float) -> float:
        return 0.1 * scale * log(factor) + 1.0 if factor > 1 else 1.0

    above, below = rope.get("mscale"), rope.get("mscale_all_dim")
    return of(above) / of(below) if above and below else of(1.0)


def layer_types(config: TransformerConfig) -> list[str]:
    """What each layer sees, in transformers' words."""
    return [SLIDING if config.layer(number).window else FULL for number in range(config.layers)]


def one_window(config: TransformerConfig) -> int:
    """The window of the layers that have one, 0 if none has; a `HeadstartError` where they differ."""
    windows = {config.layer(number).window for number in range(config.layers)} - {0}
    if len(windows) > 1:
        raise HeadstartError(
            f"a folder of the {config.family} family has one window for all layers, not {sorted(windows)}"
        )
    return max(windows, default=0)


def shortest(plan: list[LayerPlan]) -> tuple[LayerPlan, ...]:
    """The shortest pattern that, repeated, begins like a plan of all layers."""
    for length in range(1, len(plan)):
        if all(layer == plan[number % length] for number, layer in enumerate(plan)):
            return tuple(plan[:length])
    return tuple(plan)


@dataclass(frozen=True)
class Windows:
    """Which layers see a window alone, from `layer_types` or from what older folders say instead."""

    types: Callable[[Mapping[str, Any]], list[str]]
    """What transformers takes without `layer_types`."""
    key: str = "sliding_window"
    default: int | None = 4096

    def write(self, config: TransformerConfig) -> JSONObject:
        return {"layer_types": layer_types(config), self.key: one_window(config) or None}

    def read(self, fields: Mapping[str, Any]) -> Sizes:
        window = fields.get(self.key, self.default)
        return {"plan": read_plan(fields, self.types, LayerPlan(), LayerPlan(window or 0))}


def read_plan(
    fields: Mapping[str, Any],
    types: Callable[[Mapping[str, Any]], list[str]],
    full: LayerPlan,
    sliding: LayerPlan,
) -> tuple[LayerPlan, ...]:
    """The plan that `layer_types` mean; `types` says them where the folder does not."""
    kinds = fields.get("layer_types") or types(fields)
    if set(kinds) - {FULL, SLIDING} or len(kinds) != fields.get("num_hidden_layers", len(kinds)):
        raise ValueError(f"layer_types {kinds} (known: {FULL}, {SLIDING}, one for each layer)")
    if SLIDING in kinds and not sliding.window:
        raise ValueError(f"layer_types with {SLIDING} and no window")
    return shortest([sliding if kind == SLIDING else full for kind in kinds])


@dataclass(frozen=True)
class LocalRope:
    """Windows and rotary positions of two kinds: layers with a window have a base of their own."""

    types: Callable[[Mapping[str, Any]], list[str]]
    key: str
    default: int
    """Of the window, in transformers' way of counting."""
    base: float
    base_key: str
    local_base: float
    local_base_key: str
    both_sides: bool = False
    """Whether the window counts the tokens to both sides of a token, the token itself not among them."""
    scalings: tuple[str, ...] = ()

    def write(self, config: TransformerConfig) -> JSONObject:
        window = one_window(config)
        bases = {config.layer(number).rotary_base for number in range(config.layers) if window}
        local = next((base for base in bases if base is not None), self.local_base)
        kinds = layer_types(config)
        said = [LayerPlan(window, local) if kind == SLIDING else LayerPlan() for kind in kinds]
        if said != [config.layer(number) for number in range(config.layers)]:
            raise HeadstartError(
                f"in a folder of the {config.family} family layers with a window have one rotary base, those "
                f"without another; plan={config.plan} is something else"
            )
        fields = {
            "layer_types": kinds,
            self.base_key: config.rotary_base,
            self.local_base_key: local,
            "rope_parameters": {
                FULL: rope_fields(config.rotary_base, config.rotary_scaling),
                SLIDING: rope_fields(local, None),
            },
        }
        if window:
            fields[self.key] = 2 * (window - 1) if self.both_sides else window
        return fields

    def read(self, fields: Mapping[str, Any]) -> Sizes:
        ropes = fields.get("rope_parameters") or {}
        full, local = ropes.get(FULL) or {}, ropes.get(SLIDING) or {}
        older = fields.get("rope_scaling") or {}
        read_scaling(local, (), fields)  # none
        window = fields.get(self.key) or self.default
        window = window // 2 + 1 if self.both_sides else window
        base = local.get("rope_theta") or fields.get(self.local_base_key) or self.local_base
        return {
            "rotary_base": float(full.get("rope_theta") or fields.get(self.base_key) or self.base),
            "rotary_scaling": read_scaling(full or older, self.scalings, fields),
            "plan": read_plan(fields, self.types, LayerPlan(), LayerPlan(window, float(base))),
        }
