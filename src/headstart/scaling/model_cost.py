"""What a model is made of and costs: parameters, operations, key-value cache and memory, part by part."""

from dataclasses import dataclass, replace
from typing import ClassVar

from headstart.errors import HeadstartError
from headstart.models.config import TransformerConfig
from headstart.models.flops import flops_by_part, six_n_d
from headstart.models.parameters import block_parameters, cache_bytes, parameters, parameters_by_part
from headstart.scaling.memory import Layout, Memory, training_memory

CACHE_CONTEXTS = (8192, 131_072)
SHAPE = ("layers", "width", "heads", "kv_heads", "feedforward_width", "vocab_size", "context")


@dataclass(frozen=True)
class TokenFlops:
    """Operations of a part for a token of training."""

    forward: float
    backward: float

    @property
    def total(self) -> float:
        return self.forward + self.backward


@dataclass(frozen=True)
class ModelCost:
    """Sizes, parameters and operations by part, and the key-value cache of a configuration."""

    DERIVED: ClassVar = ("six_n_error",)

    family: str
    shape: dict[str, int]
    parameters: int
    parameters_without_embeddings: int
    parameters_by_part: dict[str, int]
    row: int
    """Tokens in a row, for which operations are counted."""
    flops_per_token: dict[str, TokenFlops]
    training_flops_per_token: float
    six_n: float
    """The usual estimate of that: six times the parameters."""
    cache_bytes: dict[int, dict[str, float]]
    """Of one text in bfloat16, by its length and by the sharing of heads; empty where nothing is written."""

    @property
    def six_n_error(self) -> float:
        return self.six_n / self.training_flops_per_token - 1


def model_cost(config: TransformerConfig, row: int | None = None) -> ModelCost:
    """What a model of that configuration costs, in rows of `row` tokens; None: of its context."""
    row = row or config.context
    source = row if config.encoder_layers else 0
    parts = flops_by_part(config, 1, row, source=source)
    tokens = row + source
    heads = {"multi-head": config.heads, "as it is": config.kv_heads, "multi-query": 1}
    lengths = sorted({row, *CACHE_CONTEXTS}) if config.generates else []
    return ModelCost(
        config.family,
        {name: getattr(config, name) for name in SHAPE},
        parameters(config),
        block_parameters(config),
        parameters_by_part(config),
        row,
        {part: TokenFlops(flops.forward / tokens, flops.backward / tokens) for part, flops in parts.items()},
        sum(part.total for part in parts.values()) / tokens,
        six_n_d(config, 1),
        {
            length: {
                name: cache_bytes(replace(config, kv_heads=count), length) for name, count in heads.items()
            }
            for length in lengths
        },
    )


def memory_table(config: TransformerConfig, rows: int, row: int, layout: Layout) -> dict[str, Memory]:
    """What training holds on the fullest rank, in every precision and with and without checkpointing.

    Raises:
        HeadstartError: the model cannot be spread in that way.
    """
    layers = config.layers + config.encoder_layers
    for impossible, why in (
        (
            config.heads % layout.tensor,
            f"{config.heads} heads are not shared evenly by --tensor {layout.tensor}",
        ),
        (layout.pipeline > layers, f"{layers} layers do not fill --pipeline {layout.pipeline} stages"),
        (row % layout.context, f"a row of {row:,} is not shared evenly by --context-ranks {layout.context}"),
        (
            layout.shard and layout.replicas == 1,
            f"--shard {layout.shard} needs --data 2 or more to share with",
        ),
    ):
        if impossible:
            raise HeadstartError(f"{why}; choose other degrees")
    table = {}
    for precision in ("float32", "bfloat16", "mixed"):
        for checkpointing in ("none", "selective", "full"):
            table[f"{precision}, {checkpointing} recomputed"] = training_memory(
                config, rows, row, layout, precision, checkpointing=checkpointing,
                source=row if config.encoder_layers else 0,
            )  # fmt: skip
    return table
