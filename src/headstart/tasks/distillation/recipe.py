"""Settings of `headstart distill way=labels`."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from headstart.recipe import Recipe
from headstart.training.recipe import OptimiserRecipe


class LabelsRecipe(Recipe):
    """A distillation of a classifier's answers (Hinton et al. 2015, section 2)."""

    way: Literal["labels"] = "labels"
    """The kind of distillation."""
    teacher: Path
    """The teacher's folder: a classifier."""
    data: Path
    """Texts without labels: a corpus folder, or files of any kind that `headstart corpus` reads."""
    start: Path
    """The student's folder: a pre-trained model."""
    temperature: float = Field(2.0, gt=0)
    """Divisor of both models' scores; above 1, unlikely labels count more."""
    max_tokens: int = Field(256, ge=16)
    """Tokens that the student reads at once; a step reads one window of a longer text."""
    rows: int = Field(16, ge=1)
    """Texts in a step."""
    steps: int = Field(1000, ge=1)
    """Updates of the weights in the whole run."""
    heldout: int = Field(200, ge=1)
    """Number of texts, at most a tenth, that are not used for training and measure how far both models
    agree."""
    optimiser: OptimiserRecipe = OptimiserRecipe(
        kind="adamw", matrix_rate=0.0005, vector_rate=0.0003, schedule="linear", final_share=0.0
    )
    seed: int = Field(0, ge=0, lt=2**31)
    """Random seed of the head's initial weights, the order of texts and the windows."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Dtype of activations and matrix products."""
    evaluate_every: int = Field(100, ge=1)
    """Steps between two evaluations on held-out texts."""
    checkpoint_every: int = Field(100, ge=1)
    """Steps between two checkpoints."""
    keep_checkpoints: int = Field(2, ge=1)
    """How many of the newest checkpoints are kept."""
    sinks: list[Literal["tensorboard", "wandb", "mlflow", "trackio"]] = ["tensorboard"]
    """Where scalars are written besides metrics.jsonl."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "rows": "batch_size train_batch_size per_device_train_batch_size",
        "steps": "max_steps num_steps",
        "max_tokens": "max_length max_seq_length",
        "start": "student student_model student_name_or_path",
        "teacher": "teacher_model teacher_model_name_or_path",
    }
    ANSWERS: ClassVar[dict[str, str]] = {
        "epochs num_train_epochs": "give {}steps, a number of steps: epochs x texts / rows",
        "alpha": "there are no hard labels here; fine-tune the student afterwards where you have some",
    }
