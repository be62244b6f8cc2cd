"""Settings of `headstart pretrain`."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, SerializeAsAny, model_validator

from headstart.objectives.recipe import Masked, ObjectiveRecipe
from headstart.recipe import Recipe


class ModelRecipe(Recipe):
    """Which family, and its sizes."""

    family: str = "headstart-encoder"
    """The architecture, one of `headstart models`."""
    layers: int = Field(4, ge=1)
    """Blocks of the stack; an encoder-decoder has this many in each of its two stacks."""
    width: int = Field(256, ge=2)
    """Size of a token's vector between the blocks."""
    heads: int = Field(4, ge=1)
    """Attention heads; the width must be a multiple of this."""
    kv_heads: int | None = Field(None, ge=1)
    """Key-value heads that the query heads share, in a decoder; None: as many as heads."""
    feedforward_width: int = Field(704, ge=1)
    """Inner width of the feed-forward layers."""
    embedding_deviation: float | None = Field(None, gt=0)
    """Standard deviation of the initial embedding; None: the family's."""
    dropout: float | None = Field(None, ge=0, lt=1)
    """Share of activations dropped while training; None: the family's."""
    architecture: Literal["encoder", "decoder"] | None = None
    """Family house only, like the settings below: whether tokens see both sides or only the left; None: the
    family's."""
    position: Literal["learned", "sinusoidal", "rotary", "none"] | None = None
    """The kind of position encoding."""
    norm: Literal["layernorm", "rmsnorm"] | None = None
    """Which norm the blocks have."""
    norm_place: Literal["pre", "post"] | None = None
    """Whether the norm is before each part or after its sum."""
    feedforward: Literal["relu", "gelu", "swiglu", "geglu"] | None = None
    """The activation, with a gate or without."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "family": "model_type arch",
        "layers": "n_layer n_layers num_layers num_hidden_layers",
        "width": "hidden_size d_model n_embd dim embed_dim model_dim",
        "heads": "n_head n_heads num_heads num_attention_heads",
        "kv_heads": "n_kv_head n_kv_heads num_kv_heads num_key_value_heads n_query_groups",
        "feedforward_width": "intermediate_size d_ff n_inner ffn_dim hidden_dim ffn_hidden_size",
        "dropout": "dropout_rate",
    }
    ANSWERS: ClassVar[dict[str, str]] = {
        "model_name flavor": (
            "give {}family and the sizes; `headstart plan --model NAME --write FILE` writes those of a "
            "published model"
        ),
        "depth": (
            "give {}layers=depth, {}width=64*depth and {}heads=depth/2, which is what nanochat makes of it"
        ),
        "encoder_layers decoder_layers": "give {}layers, the same number for encoder and decoder",
        "ffn_dim_multiplier": "give {}feedforward_width, a number of units",
        "initializer_range init_std": (
            "give {}embedding_deviation, of the embedding alone; other weights have the family's"
        ),
        (
            "hidden_dropout_prob attention_dropout attention_probs_dropout_prob resid_pdrop "
            "attn_pdrop embd_pdrop"
        ): "give {}dropout, one share for embedding, attention and feed-forward",
        (
            "bias tie_embeddings tie_weights tie_word_embeddings window_pattern sliding_window "
            "rope_theta norm_eps rms_norm_eps layer_norm_eps hidden_act activation"
        ): "the family decides it: choose {}family (see `headstart models`)",
    }


class OptimiserRecipe(Recipe):
    """Who moves the weights, how fast, and how the rate goes over the run."""

    kind: Literal["muon", "adamw"] = "muon"
    """muon (Jordan 2024) for the matrices of the blocks and AdamW for the rest; or adamw for everything."""
    matrix_rate: float = Field(0.005, gt=0)
    """Peak learning rate of the blocks' matrices; Muon's updates are scaled to the size that AdamW's have.
    With `start=MODEL` the default is a tenth."""
    vector_rate: float = Field(0.001, gt=0)
    """Peak learning rate of embedding, norms and biases. With `start=MODEL` the default is a tenth."""
    weight_decay: float = Field(0.05, ge=0)
    """Weight decay of matrices and the embedding."""
    momentum: float = Field(0.95, ge=0, lt=1)
    """Momentum of Muon, for the blocks' matrices."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's decay of the mean gradient and of the mean square."""
    clip: float = Field(1.0, gt=0)
    """Largest gradient norm."""
    schedule: Literal["wsd", "cosine", "linear", "constant"] = "wsd"
    """How the rate falls after its linear rise: wsd holds the peak, then falls linearly over
    `decay_share`; cosine and linear fall from the peak at once; constant does not."""
    warmup_share: float = Field(0.05, ge=0, lt=1)
    """Share of the steps over which the rate rises linearly."""
    decay_share: float = Field(0.7, ge=0, le=1)
    """Schedule wsd: share of the steps, at the end, over which the rate falls linearly."""
    final_share: float = Field(0.02, ge=0, le=1)
    """Rate at the last step, as a share of the peak. If it is not given: 0.1 for cosine, else 0.02."""
    average: float | None = Field(None, gt=0, lt=1)
    """Decay of an exponential average of the weights, which is evaluated and saved; None: no average."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "matrix_rate": "matrix_lr muon_lr",
        "vector_rate": "vector_lr",
        "weight_decay": "wd",
        "momentum": "muon_momentum",
        "betas": "adam_betas",
        "clip": (
            "max_grad_norm grad_clip clip_grad_norm gradient_clip_val gradient_clipping max_norm clip_norm"
        ),
        "schedule": "lr_scheduler_type lr_schedule lr_decay_style",
        "warmup_share": "warmup_ratio lr_warmup_fraction warmup_fraction",
        "decay_share": "decay_ratio warmdown_ratio cooldown_ratio",
        "final_share": "min_lr_ratio min_lr_factor min_lr_rate final_lr_frac",
        "average": "ema ema_decay",
    }
    ANSWERS: ClassVar[dict[str, str]] = {
        "optim optimizer_name optimizer_type": "give {}kind, muon or adamw",
        "lr learning_rate max_lr peak_lr max_learning_rate base_lr": (
            "give two rates: {}matrix_rate for the blocks' matrices, which Muon updates, and {}vector_rate "
            "for embedding, norms and biases; under {}kind=adamw the usual rate is good for both"
        ),
        "embedding_lr unembedding_lr scalar_lr": (
            "give {}vector_rate, one rate for embedding, norms and biases"
        ),
        "beta1 beta2 adam_beta1 adam_beta2": "give {}betas, a pair: [beta1, beta2]",
        "decay_lr": "give {}schedule: constant instead of false, wsd or cosine instead of true",
        "warmup_steps warmup_iters lr_warmup_steps num_warmup_steps lr_warmup_iters": (
            "give {}warmup_share = warmup_steps / steps, a share of the run"
        ),
        "decay_steps lr_decay_steps lr_decay_iters cooldown_steps": (
            "give {}decay_share = steps of the fall / steps, a share at the end of the run"
        ),
        "min_lr min_learning_rate final_lr": "give {}final_share = min_lr / peak rate",
        "use_ema": "give {}average, the decay of the average, as in 0.999",
        "eps adam_eps adam_epsilon": "the optimiser's is fixed at 1e-8; leave it out",
    }

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
    """Copies of the model that share the rows of a step (DDP); None: all processes that the other settings
    leave."""
    shard: int = Field(1, ge=1)
    """Processes that share rows and split weights, gradients and optimiser state (FSDP2)."""
    tensor: int = Field(1, ge=1)
    """Processes that split each matrix."""
    pipeline: int = Field(1, ge=1)
    """Processes that split the blocks, one after another."""
    timeout: float = Field(600.0, gt=0)
    """Seconds after which a process that does not answer ends the job."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "replicate": "data_parallel_replicate_degree dp_replicate dp_size",
        "shard": "data_parallel_shard_degree dp_shard fsdp_size",
        "tensor": "tensor_parallel_degree tensor_parallel_size tensor_model_parallel_size tp_size tp",
        "pipeline": (
            "pipeline_parallel_degree pipeline_parallel_size pipeline_model_parallel_size pp_size pp"
        ),
        "timeout": "ddp_timeout",
    }
    ANSWERS: ClassVar[dict[str, str]] = {
        "devices num_nodes": (
            "torchrun starts the processes; {}shard, {}tensor and {}pipeline say how they share the work"
        ),
        "fsdp": "give {}shard, a number of processes",
    }


GOES_ON = 0.1
"""Of a new model's rates, where a model goes on learning: at the whole rates 40 steps on other text lose half
a nat of what it knew; see docs/research-log.md, section 12."""


class PretrainRecipe(Recipe):
    """A whole pre-training run."""

    tokens: Path
    """The tokens folder."""
    model: ModelRecipe = ModelRecipe()
    objective: SerializeAsAny[ObjectiveRecipe] = Masked()
    optimiser: OptimiserRecipe = OptimiserRecipe()
    phases: list[PhaseRecipe] = []
    """Mixtures of domains, one after another, as in annealing; none: every row once a pass."""
    context: int = Field(128, ge=8)
    """Tokens in a row."""
    rows: int = Field(32, ge=1)
    """Rows in a step."""
    micro_rows: int = Field(32, ge=1)
    """Rows computed at once; fewer rows take less memory and change nothing else."""
    rows_warmup: float = Field(0.0, ge=0, lt=1)
    """Share of the steps over which a step's rows grow from a quarter to all."""
    context_warmup: float = Field(0.0, ge=0, lt=1)
    """Share of the steps over which rows are cut into four parts, then into two: early steps are cheap."""
    packing: Literal["stream", "best-fit"] = "stream"
    """How documents fill rows: one after another, cut where a row ends; or whole, if they fit
    (`tokenizer/packing.py`)."""
    documents_apart: bool = True
    """Attention does not cross documents; false: a token sees its whole row."""
    z_loss: float = Field(0.0, ge=0)
    """Weight of the squared log-partition, which keeps scores from drifting (Chowdhery et al. 2022, section
    5)."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target that is spread over the vocabulary (Szegedy et al. 2016, section 7)."""
    steps: int = Field(1000, ge=1)
    """Updates of the weights in the whole run."""
    minutes: float | None = Field(None, gt=0)
    """Training time, instead of `steps`. headstart times a few steps on this machine before the run begins,
    and makes as many steps as fit. A resumed run keeps its number of steps."""
    start: Literal["random", "static", "teacher"] | Path = "random"
    """The weights before the first step: random; static, random with an embedding from co-occurrence counts;
    or a model folder of any known family, which is trained further. `model` is then ignored."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Random seed of the initial weights, the order of rows and all sampling."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Dtype of activations and matrix products; weights and optimiser state are always float32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU if there is one."""
    compile: bool = False
    """Compile the model with torch.compile; worth its minute in runs of hours."""
    checkpoint_activations: bool = False
    """Compute the blocks' activations again in the backward pass instead of keeping them."""
    parallel: ParallelRecipe = ParallelRecipe()
    on_spike: Literal["skip", "rollback", "stop", "ignore"] = "skip"
    """What happens if a loss or gradient is NaN, infinite or far above the recent ones: skip the step, go
    back to the last checkpoint and skip these rows, stop, or ignore it."""
    spike_deviations: float = Field(8.0, gt=0)
    """A value this many standard deviations above the recent mean is a spike."""
    evaluate_every: int = Field(100, ge=1)
    """Steps between two evaluations on held-out rows."""
    evaluate_rows: int = Field(128, ge=1)
    """Held-out rows that an evaluation reads, at most."""
    early_stop: int | None = Field(None, ge=1)
    """Evaluations without a lower held-out loss that end the run; None: it runs to its last step."""
    checkpoint_every: int = Field(100, ge=1)
    """Steps between two checkpoints."""
    keep_checkpoints: int = Field(2, ge=1)
    """How many of the newest checkpoints are kept."""
    keep_every: int | None = Field(None, ge=1)
    """Checkpoints whose step is a multiple of this are kept for good."""
    snapshots: int = Field(0, ge=0)
    """Number of model folders in bfloat16 that `snapshots/` keeps of the run: at step 0, at the last step,
    and between them closer together early on, when most is learned."""
    statistics_every: int | None = Field(None, ge=1)
    """Steps between records of gradient norm and update-to-weight ratio of every tensor; None: none."""
    capture_every: int | None = Field(None, ge=1)
    """Steps between two captures of a batch, from the first step on: attention, the residual stream and the
    loss of each token, in `captures/`, with that step's statistics; None: only on request (`control
    capture`)."""
    figures_every: int | None = Field(None, ge=1)
    """Number of steps whose loss and gradient are read together, so that no step waits for a GPU; a spike is
    then noticed some steps later. None: 10 on a GPU, 1 on a CPU."""
    sinks: list[Literal["tensorboard", "wandb", "mlflow", "trackio"]] = ["tensorboard"]
    """Where scalars are written besides metrics.jsonl."""
    prompts: list[str] = []
    """A causal model continues these at every evaluation."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "optimiser": "optimizer lr_scheduler",
        "context": (
            "seq_len max_seq_len sequence_length sequence_len seq_length max_seq_length block_size "
            "context_length n_positions n_ctx max_position_embeddings max_length model_max_length"
        ),
        "rows": "batch_size global_batch_size train_batch_size",
        "micro_rows": "micro_batch_size device_batch_size",
        "documents_apart": "document_masking intra_document_masking reset_attention_mask",
        "z_loss": "z_loss_weight z_loss_multiplier",
        "label_smoothing": "label_smoothing_factor",
        "steps": (
            "max_steps max_iters num_iterations train_steps train_iters total_steps num_steps max_train_steps"
        ),
        "minutes": "max_minutes train_minutes time_budget_minutes",
        "seed": "random_seed",
        "precision": "dtype torch_dtype",
        "device": "device_type",
        "compile": "torch_compile",
        "checkpoint_activations": "gradient_checkpointing activation_checkpointing recompute",
        "parallel": "parallelism",
        "evaluate_every": "eval_steps eval_interval eval_every eval_freq val_check_interval",
        "early_stop": "early_stopping_patience patience",
        "checkpoint_every": "save_steps save_interval save_every checkpoint_interval ckpt_interval",
        "keep_checkpoints": "save_total_limit keep_latest_k",
    }
    ANSWERS: ClassVar[dict[str, str]] = {
        "dataset dataset_name data_dir data_path train_file": (
            "give {}tokens, a folder that `headstart tokenizer encode` wrote"
        ),
        "total_batch_size": "give {}rows, a number of rows: total_batch_size / context",
        "tokens_per_batch": "give {}rows, a number of rows: tokens_per_batch / context",
        "per_device_train_batch_size": (
            "give {}rows, all rows of a step: per_device_train_batch_size x "
            "gradient_accumulation_steps x processes"
        ),
        "gradient_accumulation_steps grad_accum_steps": (
            "give {}rows, all rows of a step: micro_rows x gradient_accumulation_steps x processes"
        ),
        "local_batch_size": (
            "give {}micro_rows, what a process computes at once; all rows of a step are rows"
        ),
        "rampup_batch_size": "give {}rows_warmup, a share of the steps",
        "num_train_epochs num_epochs max_epochs epochs": (
            "give {}steps, a number of steps: epochs x rows of the text / rows; --dry-run says the passes"
        ),
        "max_tokens train_tokens total_tokens": (
            "give {}steps, a number of steps: tokens / (rows x context)"
        ),
        (
            "init_from model_name_or_path pretrained_model_name_or_path base_model checkpoint_dir "
            "initial_checkpoint_dir"
        ): "give {}start, random, static, or a model folder",
        "bf16": "give {}precision=bfloat16",
        "fp16": "give {}precision=bfloat16; there is no training in float16",
        "use_cpu no_cuda": "give {}device=cpu",
        "eval_strategy evaluation_strategy": "give {}evaluate_every, a number of steps",
        (
            "eval_iters eval_batches max_eval_batches eval_max_iters per_device_eval_batch_size "
            "eval_batch_size"
        ): "give {}evaluate_rows, a number of rows",
        "eval_tokens": "give {}evaluate_rows, a number of rows: eval_tokens / context",
        "save_strategy": "give {}checkpoint_every, a number of steps",
        "report_to logger_name log_with wandb_log use_wandb wandb_project": (
            "give a list, as in {}sinks=[tensorboard, wandb]"
        ),
        "logging_steps log_interval log_every log_freq logging_first_step metrics.log_freq": (
            "every step is written to metrics.jsonl; leave it out"
        ),
        "output_dir out_dir run_name": "give the run folder with --out",
        "resume resume_from resume_from_checkpoint resume_from_step": (
            "a run goes on by itself when the same --out is given; leave it out"
        ),
        "vocab_size padded_vocab_size": (
            "the tokenizer decides: train one with `headstart tokenizer train CORPUS vocab_size=N`"
        ),
        "tokenizer tokenizer_name tokenizer_path": ("the tokens folder names its tokenizer; leave it out"),
        "num_workers dataloader_num_workers": (
            "the tokens folder is memory-mapped and needs no reading processes; leave it out"
        ),
        "lora_r lora_alpha lora_rank lora_dropout use_lora": (
            "adapters are for fine-tuning: `headstart finetune MODEL adapt=lora lora_rank=8`"
        ),
        "temperature top_p top_k max_new_tokens": "give it to `headstart generate`",
        "checkpoint.interval": "did you mean 'checkpoint_every'?",
        "eval.interval": "did you mean 'evaluate_every'?",
        "eval.max_iters": "give evaluate_rows, a number of rows",
        "activation_checkpoint.mode": "did you mean 'checkpoint_activations'?",
    }

    @model_validator(mode="before")
    @classmethod
    def _go_on_gently(cls, values: Any) -> Any:
        """A model that goes on learning takes a tenth of the rates that a new one takes, if none are
        given."""
        if not isinstance(values, dict) or values.get("start", "random") in (
            "random",
            "static",
            "teacher",
        ):
            return values
        given = values.get("optimiser", {})
        if not isinstance(given, dict):
            return values
        fields = OptimiserRecipe.model_fields
        rates = {name: fields[name].default * GOES_ON for name in ("matrix_rate", "vector_rate")}
        return values | {"optimiser": rates | given}
