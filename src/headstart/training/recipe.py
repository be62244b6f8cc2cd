"""Settings of `headstart pretrain`."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from headstart.objectives.recipe import ObjectiveRecipe
from headstart.recipe import Recipe


class ModelRecipe(Recipe):
    """Which family, and its sizes."""

    family: str = "headstart-encoder"
    layers: int = Field(4, ge=1)
    width: int = Field(256, ge=2)
    heads: int = Field(4, ge=1)
    kv_heads: int | None = Field(None, ge=1)
    """Key-value heads that the query heads share, in a decoder; None: as many as heads."""
    feedforward_width: int = Field(704, ge=1)
    embedding_deviation: float | None = Field(None, gt=0)
    """Standard deviation of the initial embedding; None: the family's."""


class OptimiserRecipe(Recipe):
    """Muon (Jordan 2024) for the matrices of the blocks, AdamW for everything else."""

    matrix_rate: float = Field(0.005, gt=0)
    """Peak learning rate of Muon, with updates scaled to the size that AdamW's have."""
    vector_rate: float = Field(0.001, gt=0)
    """Peak learning rate of AdamW: embedding, norms, biases."""
    weight_decay: float = Field(0.05, ge=0)
    """On matrices and the embedding."""
    momentum: float = Field(0.95, ge=0, lt=1)
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = Field(1.0, gt=0)
    """Largest gradient norm."""
    warmup_share: float = Field(0.05, ge=0, lt=1)
    """Share of the steps over which the rate rises linearly."""
    decay_share: float = Field(0.7, ge=0, le=1)
    """Share of the steps, at the end, over which it falls linearly."""
    final_share: float = Field(0.02, ge=0, le=1)
    """What is left of the peak at the last step."""

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.warmup_share + self.decay_share > 1:
            raise ValueError("warmup_share and decay_share together are more than the whole run")
        return self


class PretrainRecipe(Recipe):
    """A whole pre-training run."""

    tokens: Path
    """The tokens folder."""
    model: ModelRecipe = ModelRecipe()
    objective: ObjectiveRecipe = ObjectiveRecipe()
    optimiser: OptimiserRecipe = OptimiserRecipe()
    context: int = Field(128, ge=8)
    """Tokens in a row."""
    rows: int = Field(32, ge=1)
    """Rows in a step."""
    micro_rows: int = Field(32, ge=1)
    """Rows computed at once; smaller takes less memory and changes nothing else."""
    steps: int = Field(1000, ge=1)
    start: Literal["random", "static"] = "random"
    """What the embedding holds before the first step: noise, or vectors from co-occurrence counts."""
    seed: int = Field(0, ge=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of activations and matrix products; weights and optimiser state are always float32."""
    evaluate_every: int = Field(100, ge=1)
    evaluate_rows: int = Field(128, ge=1)
    checkpoint_every: int = Field(100, ge=1)
    keep_checkpoints: int = Field(2, ge=1)
    prompts: list[str] = []
    """A causal model continues these at every evaluation."""
