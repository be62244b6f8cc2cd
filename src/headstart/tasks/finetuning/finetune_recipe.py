"""Settings of fine-tuning."""

import math
import re
from typing import Any, ClassVar, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from headstart.recipe import Recipe

RATES = {"full": 1e-3, "top": 1e-3, "lora": 5e-3, "frozen": 3e-3, "mix": 3e-3}
"""Peak rates by the way of adapting, of models up to `NARROW`; a head by itself bears them at any width."""
WIDE_RATES = {"full": 0.1, "top": 0.1, "lora": 1.0}
"""The same of wider models, times their width: at 2e-3 MiniLM, 384 wide, unlearns what it knows."""
NARROW = 256
MOST_STEPS = 600
LEAST_PASSES = 3.0
"""More examples than `MOST_STEPS` can go over three times get the steps for that."""
FEW, FEW_BATCH, MANY_BATCH = 1000, 8, 16
PROBE_STEPS = 5
"""So many times the steps for a head on cached states, of which each costs next to nothing."""

LoraTarget = Literal["query", "key", "value", "out", "gate", "up", "down"]


class FinetuneRecipe(Recipe):
    """Settings of `headstart finetune`."""

    adapt: str = "full"
    """Which weights are trained: all (full), only the head (frozen), the head on a mix of all layers (mix),
    the head and the highest K layers (top-K), or the head and low-rank changes of the layers' matrices
    (lora)."""
    pooling: Literal["auto", "family", "mean"] = "auto"
    """What the head reads: family, the state that transformers' class of the family reads (BERT and RoBERTa:
    the first token's); or mean, the mean of all states, for which transformers has no class; auto: the mean,
    if it was trained to represent a text (sentence-transformers' models) and no adapter is trained, else
    family."""
    learning_rate: float | None = Field(None, gt=0)
    """Peak rate of AdamW for pre-trained weights; None: a rate that fits `adapt` and the model's width."""
    scratch_learning_rate: float = Field(1e-3, gt=0)
    """The same for random weights, which need a different rate."""
    epochs: float = Field(10.0, gt=0)
    """Passes over the examples, within `min_steps` and `max_steps`."""
    min_steps: int = Field(60, ge=1)
    """Least number of steps: few examples are repeated more often, because too few steps make fine-tuning
    unstable (Mosbach et al. 2020)."""
    max_steps: int | None = Field(None, ge=1)
    """Largest number of steps; None: 600, or three passes over the examples if that is more."""
    batch_examples: int | None = Field(None, ge=1)
    """Examples in a step; None: 8, or 16 with more than 1,000 examples, for which fewer steps are enough."""
    max_tokens: int = Field(256, ge=8)
    """Tokens that are read at once, including special tokens; a longer text is read in windows."""
    warmup_share: float = Field(0.1, ge=0, lt=1)
    """Share of the steps over which the rate rises; then it falls linearly to 0."""
    weight_decay: float = Field(0.01, ge=0)
    """Weight decay of matrices and the embedding."""
    layer_decay: float = Field(0.8, gt=0, le=1)
    """Rate of every layer as a share of the next higher layer's (Howard & Ruder 2018); 1: all layers
    equal."""
    embedding: Literal["auto", "learn", "hold"] = "auto"
    """Whether the token embedding is trained with all other weights (learn, with adapt=full) or keeps its
    pre-trained values (hold); auto: up to 1,000 labels of whole texts decide (`embedding_choice`), else it is
    trained."""
    counted_words: Literal["auto", "none"] = "auto"
    """Whether counted words and characters answer beside the network (`counted_path`); auto: if they predict
    held-out labels and no adapter is trained. transformers has no class for such a model."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout of the classifier's input."""
    hidden_tokens: float = Field(0.15, ge=0, lt=1)
    """Share of the tokens that training hides, drawn anew each time, if the model was pre-trained by filling
    masks: such a model can read around them, and few examples teach more. See `Hide`."""
    clip: float = Field(1.0, gt=0)
    """Largest gradient norm."""
    reinitialise: int = Field(0, ge=0)
    """Number of the highest layers, and a pooler, that start from random weights: they may fit pre-training
    too closely (Zhang et al. 2021)."""
    validation_share: float = Field(0.1, ge=0, le=0.5)
    """If no validation data are given: the share of the examples, at most 500, that is not used for training
    and chooses the best weights."""
    validation_least: int = Field(200, ge=1)
    """With fewer validation examples than this, all examples are used for training, and the last weights are
    kept."""
    evaluations: int = Field(5, ge=1)
    """Number of measurements on the validation data during a run, the last at its end."""
    patience: int = Field(2, ge=1)
    """A run ends after this many measurements in a row below the best one."""
    lora_rank: int = Field(8, ge=1)
    """Rank of the matrices' changes (Hu et al. 2021)."""
    lora_alpha: float = Field(16.0, gt=0)
    """The changes are multiplied by alpha / rank."""
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout of the input of the changes."""
    lora_targets: list[LoraTarget] = Field(list(get_args(LoraTarget)), min_length=1)
    """The matrices that change, in attention (cross-attention too) and feed-forward."""

    search: dict[str, list[Any]] = Field({})
    """Settings with values to try on validation data before the fine-tuning itself."""
    search_trials: int | None = Field(None, ge=1)
    """Number of points of that grid, drawn at random; None: all points."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "pooling": "pooling_mode pooler_type",
        "learning_rate": "lr peak_lr max_lr max_learning_rate",
        "epochs": "num_train_epochs num_epochs max_epochs n_epochs",
        "max_steps": "max_iters max_train_steps",
        "batch_examples": (
            "batch_size global_batch_size train_batch_size mini_batch_size per_device_train_batch_size"
        ),
        "max_tokens": (
            "max_seq_length max_seq_len max_length max_sequence_length seq_len block_size model_max_length"
        ),
        "warmup_share": "warmup_ratio lr_warmup_fraction",
        "weight_decay": "wd",
        "layer_decay": "layerwise_lr_decay layer_lr_decay llrd",
        "dropout": "classifier_dropout cls_dropout seq_classif_dropout",
        "hidden_tokens": "mask_prob token_dropout",
        "clip": "max_grad_norm grad_clip clip_grad_norm gradient_clip_val max_norm",
        "reinitialise": "reinit_layers reinit_n_layers",
        "validation_share": "validation_split val_split_fraction val_size eval_split dev_size",
        "patience": "early_stopping_patience early_stop",
        "lora_rank": "lora_r r rank",
    }
    ANSWERS: ClassVar[dict[str, str]] = {
        "use_lora use_peft": "give {}adapt=lora",
        "freeze_backbone freeze_encoder": "give {}adapt=frozen",
        "freeze_embeddings freeze_embedding freeze_word_embeddings train_embeddings": (
            "give {}embedding, auto, learn or hold"
        ),
        "finetune_type": "give {}adapt, full, frozen, mix, top-K or lora",
        "gradient_accumulation_steps": (
            "give {}batch_examples, all examples of a step: per_device_train_batch_size x "
            "gradient_accumulation_steps"
        ),
        "micro_batch_size": "give {}batch_examples, all examples of a step",
        "warmup_steps lr_warmup_steps num_warmup_steps warmup_iters": (
            "give {}warmup_share, a share of the steps: warmup_steps / steps"
        ),
        "eval_steps eval_interval eval_every": (
            "give {}evaluations, how often in the whole run: steps / eval_steps"
        ),
        "eval_strategy evaluation_strategy": "give {}evaluations, how often in the whole run",
        "target_modules lora_target_modules": (
            "give {}lora_targets, query, key, value, out, gate, up and down, not q_proj, k_proj and so on"
        ),
        "output_dir out_dir run_name": "give the run folder with --out",
        "seed random_seed": "give it with --seed",
        "bf16 fp16 dtype torch_dtype precision": "give it with --precision",
        "optim optimizer optimiser": "fine-tuning uses AdamW; leave it out",
        "lr_scheduler_type lr_schedule schedule": (
            "the rate rises over warmup_share and then falls linearly to 0; leave it out"
        ),
        "logging_steps log_interval": "the terminal shows the progress; leave it out",
        "save_steps save_strategy save_total_limit": "the best weights are kept; leave it out",
        "load_best_model_at_end metric_for_best_model": (
            "the best weights on the validation data are kept (--validation); leave it out"
        ),
        "num_labels num_classes": "the labels are counted in the data; leave it out",
        "task task_type problem_type": "give it with --task",
        "gradient_checkpointing checkpoint_activations": (
            "fine-tuning keeps all activations; take fewer batch_examples where memory is short"
        ),
        "bias": "biases stay as they are under adapt=lora; leave it out",
        "model_name_or_path init_from": "the model is the first argument",
        (
            "n_layer n_layers num_hidden_layers n_head num_attention_heads n_embd hidden_size d_model "
            "vocab_size"
        ): "the model that is fine-tuned has its sizes; leave it out",
        "min_lr min_lr_ratio final_lr": "the rate falls to 0; leave it out",
        "temperature top_p top_k max_new_tokens": "give it to `headstart generate`",
        "num_workers dataloader_num_workers": "examples are encoded once, in memory; leave it out",
    }

    @field_validator("adapt")
    @classmethod
    def _is_a_way(cls, given: str) -> str:
        if not re.fullmatch(r"full|frozen|mix|lora|top-[1-9]\d*", given):
            raise ValueError("take full, frozen, mix, lora, or top-K with a number of layers, as in top-2")
        return given

    @model_validator(mode="after")
    def _has_a_head_for_peft(self) -> Self:
        if self.adapt == "lora" and self.pooling == "mean":
            raise ValueError(
                "an adapter (adapt=lora) has the head of transformers' class; leave pooling=mean out"
            )
        return self

    def rate(self, width: int, scratch: bool) -> float:
        """The peak learning rate for a model of that width."""
        if scratch:
            return self.scratch_learning_rate
        way = self.adapt.split("-")[0]
        wide = width > NARROW and way in WIDE_RATES
        return self.learning_rate or (WIDE_RATES[way] / width if wide else RATES[way])

    @property
    def is_probe(self) -> bool:
        """Whether the body stays as it is, so that its states can be computed once."""
        return self.adapt in ("frozen", "mix")

    def batch(self, examples: int) -> int:
        """How many examples a step learns from, of a training set of that size."""
        wanted = self.batch_examples or (FEW_BATCH if examples <= FEW else MANY_BATCH)
        return min(wanted, examples)

    def steps(self, examples: int) -> int:
        """How many updates a training set of that size gets."""
        pass_steps = examples / self.batch(examples)
        most = self.max_steps or max(MOST_STEPS, math.ceil(LEAST_PASSES * pass_steps))
        steps = min(most, max(self.min_steps, math.ceil(self.epochs * pass_steps)))
        return steps * (PROBE_STEPS if self.is_probe else 1)
