"""Settings of `headstart distill`."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, SerializeAsAny

from headstart.objectives.recipe import Masked, ObjectiveRecipe
from headstart.recipe import Recipe
from headstart.training.recipe import PretrainRecipe


class StaticRecipe(Recipe):
    """A table of one vector for each token, read out of the teacher."""

    way: Literal["static"] = "static"
    """The kind of distillation."""
    width: int = Field(256, ge=2)
    """Numbers in a vector: the teacher's strongest directions."""
    rarity: float = Field(1e-4, gt=0)
    """a in the weight a / (a + p) of a token of frequency p in a text's vector (Arora et al. 2017, section
    3): frequent words say little."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Random seed of the rotation that spreads the directions over the numbers."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "width": "pca_dims dim hidden_size",
        "rarity": "sif_coefficient sif_a",
    }


class DistillRecipe(PretrainRecipe):
    """A whole distillation: a pre-training run with a teacher beside the text."""

    teacher: Path
    """The teacher's model folder."""
    way: Literal["states", "relations"] = "states"
    """What the student learns of the teacher's layers: every token's last state in its strongest directions
    (states), or the relations of tokens in queries, keys and values (relations, Wang et al. 2021), which need
    the same tokenizer."""
    objective: SerializeAsAny[ObjectiveRecipe] = Masked(mask_rate=0.15)
    objective_weight: float = Field(0.2, ge=0)
    """Weight of the objective's own loss, in nats a target; 0: nothing is hidden, and the model has no output
    over the vocabulary."""
    layer_weight: float = Field(1.0, ge=0)
    """Weight of the loss that `way` names: squared error as a share of the states' mean square, or nats a
    token."""
    vector_weight: float = Field(1.0, ge=0)
    """Weight of the loss of the texts' vectors: 1 - cosine of the student's and the teacher's."""
    relation_heads: int | None = Field(None, ge=1)
    """Number of heads into which both models' queries, keys and values are split again; None: the student's
    heads."""
    teacher_layer: int | None = Field(None, ge=1)
    """The teacher's layer whose relations are learned, counted from 1; None: the last."""
    keep: bool = False
    """Keep the teacher's output for each row in the run folder, a byte a number, so that the teacher computes
    only in the first pass over the text."""
    start: Literal["random", "static", "teacher"] | Path = "teacher"
    """The weights before the first step, as in `headstart pretrain`. teacher: if the student has its
    teacher's family, width, heads and feedforward_width, the teacher's embedding and evenly spaced layers of
    it; else an embedding of the teacher's output for every token alone."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        **PretrainRecipe.USUAL_NAMES,
        "teacher": "teacher_model teacher_model_name_or_path teacher_path",
        "objective_weight": "alpha_mlm alpha_clm",
        "layer_weight": "alpha_hidden",
        "vector_weight": "alpha_cos",
        "relation_heads": "num_relation_heads",
        "teacher_layer": "teacher_layer_index",
    }
    ANSWERS: ClassVar[dict[str, str]] = {
        **PretrainRecipe.ANSWERS,
        "student student_model student_name_or_path student_config": (
            "give the student's sizes as {}model.layers=4 {}model.width=256, or {}start, a model folder"
        ),
    }
