"""Settings of `headstart pretrain`."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

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
    dropout: float | None = Field(None, ge=0, lt=1)
    """Share of activations dropped while training; None: the family's."""


class OptimiserRecipe(Recipe):
    """Who moves the weights, how fast, and how the rate goes over the run."""

    kind: Literal["muon", "adamw"] = "muon"
    """muon (Jordan 2024): for the matrices of the blocks, AdamW for the rest; adamw: for everything."""
    matrix_rate: float = Field(0.005, gt=0)
    """Peak learning rate of the blocks' matrices; Muon's updates are scaled to the size that AdamW's have."""
    vector_rate: float = Field(0.001, gt=0)
    """Peak learning rate of embedding, norms and biases."""
    weight_decay: float = Field(0.05, ge=0)
    """On matrices and the embedding."""
    momentum: float = Field(0.95, ge=0, lt=1)
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = Field(1.0, gt=0)
    """Largest gradient norm."""
    schedule: Literal["wsd", "cosine", "linear", "constant"] = "wsd"
    """How the rate falls after its linear rise: wsd stays at the peak, then falls in a line over
    `decay_share`; cosine and linear fall from the peak at once; constant does not."""
    warmup_share: float = Field(0.05, ge=0, lt=1)
    """Share of the steps over which the rate rises linearly."""
    decay_share: float = Field(0.7, ge=0, le=1)
    """Of wsd: share of the steps, at the end, over which the rate falls linearly."""
    final_share: float = Field(0.02, ge=0, le=1)
    """What is left of the peak at the last step; left out: 0.1 for cosine, else 0.02."""
    average: float | None = Field(None, gt=0, lt=1)
    """Decay of an exponential average of the weights, which is evaluated and saved; None: no average."""

    @model_validator(mode="before")
    @classmethod
    def _fill_final_share(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("schedule") == "cosine":
            return {"final_share": 0.1} | values
        return values

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.schedule == "wsd" and self.warmup_share + self.decay_share > 1:
            raise ValueError("warmup_share and decay_share together are more than the whole run")
        return self


class PhaseRecipe(Recipe):
    """A stretch of the run with its own mixture of domains."""

    until: float = Field(1.0, gt=0, le=1)
    """Share of the steps at which the phase ends."""
    domains: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = {}
    """Weight of each domain, by its name in the corpus; those left out are not read."""


class ParallelRecipe(Recipe):
    """How the work is laid out over the processes that `torchrun` started; their product is the number of
    processes. Only speed and memory depend on it."""

    replicate: int | None = Field(None, ge=1)
    """Copies of the model that share the rows of a step (DDP); None: what the others leave."""
    shard: int = Field(1, ge=1)
    """Processes that share rows and split weights, gradients and optimiser state (FSDP2)."""
    tensor: int = Field(1, ge=1)
    """Processes that split each matrix."""
    pipeline: int = Field(1, ge=1)
    """Processes that split the blocks, one after another."""
    timeout: float = Field(600.0, gt=0)
    """Seconds after which a process that does not answer ends the job."""


class PretrainRecipe(Recipe):
    """A whole pre-training run."""

    tokens: Path
    """The tokens folder."""
    model: ModelRecipe = ModelRecipe()
    objective: ObjectiveRecipe = ObjectiveRecipe()
    optimiser: OptimiserRecipe = OptimiserRecipe()
    phases: list[PhaseRecipe] = []
    """Mixtures one after another, as in annealing; none: every row of every pass once."""
    context: int = Field(128, ge=8)
    """Tokens in a row."""
    rows: int = Field(32, ge=1)
    """Rows in a step."""
    micro_rows: int = Field(32, ge=1)
    """Rows computed at once; smaller takes less memory and changes nothing else."""
    rows_warmup: float = Field(0.0, ge=0, lt=1)
    """Share of the steps over which a step's rows grow from a quarter to all."""
    context_warmup: float = Field(0.0, ge=0, lt=1)
    """Share of the steps over which rows are cut into four, then into two: early steps are cheap."""
    packing: Literal["stream", "best-fit"] = "stream"
    """How documents come into rows: one after another, cut where a row ends; or whole where they fit
    (`tokenizer/packing.py`)."""
    documents_apart: bool = True
    """Attention stays inside a document; false: a token sees its whole row."""
    z_loss: float = Field(0.0, ge=0)
    """Weight of the squared log-partition: scores do not drift (Chowdhery et al. 2022, section 5)."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target that is spread over the vocabulary (Szegedy et al. 2016, section 7)."""
    steps: int = Field(1000, ge=1)
    start: Literal["random", "static"] | Path = "random"
    """What is there before the first step: random weights; these with an embedding from co-occurrence counts;
    or a model folder of any known family, which goes on learning. `model` then says nothing."""
    seed: int = Field(0, ge=0, lt=2**31)
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of activations and matrix products; weights and optimiser state are always float32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU where there is one."""
    compile: bool = False
    """Compile the model with torch.compile; worth its minute in runs of hours."""
    checkpoint_activations: bool = False
    """Compute the blocks' activations again in the backward pass instead of keeping them."""
    parallel: ParallelRecipe = ParallelRecipe()
    on_spike: Literal["skip", "rollback", "stop", "ignore"] = "skip"
    """What happens at a loss or gradient that is no number or far above the recent ones: leave the step
    out, go back to the last checkpoint and pass over these rows, or stop."""
    spike_deviations: float = Field(8.0, gt=0)
    """How many standard deviations above the recent mean make a spike."""
    evaluate_every: int = Field(100, ge=1)
    evaluate_rows: int = Field(128, ge=1)
    early_stop: int | None = Field(None, ge=1)
    """Evaluations without a lower held-out loss that end the run; None: it runs to its last step."""
    checkpoint_every: int = Field(100, ge=1)
    keep_checkpoints: int = Field(2, ge=1)
    keep_every: int | None = Field(None, ge=1)
    """Checkpoints whose step is a multiple of this are kept for good."""
    statistics_every: int | None = Field(None, ge=1)
    """Steps between records of gradient norm and update-to-weight ratio of every tensor; None: none."""
    sinks: list[Literal["tensorboard", "wandb", "mlflow", "trackio"]] = ["tensorboard"]
    """Where scalars go beside metrics.jsonl."""
    prompts: list[str] = []
    """A causal model continues these at every evaluation."""
