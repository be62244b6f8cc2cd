"""The ways to distil a teacher, behind one door: which is meant, how it runs, what it says of itself."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, TypeAlias

import numpy as np

from headstart.errors import HeadstartError, nearest
from headstart.interchange.box import model_in
from headstart.interchange.model_folder import load_model
from headstart.output import identity, output
from headstart.recipe import Recipe
from headstart.tasks.distillation.recipe import LabelsRecipe
from headstart.tasks.distillation.soft_labels import distill_labels
from headstart.tasks.predictor import task_of
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.shards import KIND, TokenRows
from headstart.training.distillation.recipe import DistillRecipe, StaticRecipe
from headstart.training.distillation.run import distill, is_folder_of
from headstart.training.distillation.static import static_model, write_static
from headstart.training.distillation.teacher import Teacher
from headstart.training.metrics import read_metrics

Figures: TypeAlias = dict[str, object]
"""What is said of a run, by name; which names there are, `Distillation.sentence` shows."""
COUNTED = 16_000_000
"""Tokens of a text in which rarity is counted."""


class Distillation(ABC):
    """Settings, and the run that they mean."""

    sentence: ClassVar[str]
    """What is said of a finished run, filled with its figures."""

    @abstractmethod
    def __init__(
        self, teacher: Path, data: Path | None, out: Path | None, recipe: Path | None, overrides: list[str]
    ) -> None:
        """See `distillation`."""

    @abstractmethod
    def run(self, out: Path, replace: bool = False) -> tuple[Path, Figures]:
        """Make the run, or go on with it; returns the model's folder and the last figures."""


def distillation(
    teacher: Path,
    data: Path | None,
    out: Path | None,
    recipe: Path | None = None,
    overrides: list[str] | None = None,
) -> Distillation:
    """The distillation that settings mean: `way` says which, by default labels for a teacher that is a
    classifier and states for any other.

    Raises:
        HeadstartError: an unknown way, settings that it does not have, no text where it needs some.
    """

    class Way(Recipe, extra="ignore"):
        way: str | None = None

    way = Way.load(recipe, list(overrides or [])).way
    if way is None:
        classifies = task_of(load_model(teacher, weights=False)) == "classification"
        way = "labels" if classifies else "states"
    if way not in WAYS:
        raise HeadstartError(f"there is no way={way}; take {', '.join(WAYS)}{nearest(way, WAYS)}")
    if data is None and way != "static":
        raise HeadstartError(
            f"way={way} learns beside text: give --data, a tokens or corpus folder, or files"
        )
    return WAYS[way](teacher, data, out, recipe, list(overrides or []))


class StatesDistillation(Distillation):
    """A student beside its teacher, by states or by relations."""

    sentence = (
        "{tokens:,} tokens in {seconds:,.0f} s: held-out loss {loss:.3f} nats, {layer_loss:.3f} from the "
        "teacher's layer, cosine of vectors {cosine:.3f}"
    )

    def __init__(
        self, teacher: Path, data: Path | None, out: Path | None, recipe: Path | None, overrides: list[str]
    ) -> None:
        assert data is not None
        encoded = is_folder_of(data, KIND)
        if not data.exists():
            raise HeadstartError(f"there is no {data}; check the path")
        tokens = data if encoded else (out or Path("run")) / "tokens"
        self.data = None if encoded else data
        self.recipe = DistillRecipe.load(recipe, [*overrides, f"teacher={teacher}", f"tokens={tokens}"])

    def run(self, out: Path, replace: bool = False) -> tuple[Path, Figures]:
        """Train, and say what the last evaluation found."""
        model = distill(self.recipe, out, replace, self.data)
        return model, last_evaluation(out)


class LabelsDistillation(Distillation):
    """A student that learns a classifier's answers."""

    sentence = (
        "{step:,} steps in {seconds:,.0f} s: agrees with its teacher on {agreement:.1%} of {texts} texts"
    )

    def __init__(
        self, teacher: Path, data: Path | None, out: Path | None, recipe: Path | None, overrides: list[str]
    ) -> None:
        self.recipe = LabelsRecipe.load(recipe, [*overrides, f"teacher={teacher}", f"data={data}"])

    def run(self, out: Path, replace: bool = False) -> tuple[Path, Figures]:
        """Train, and say what the last evaluation found."""
        model = distill_labels(self.recipe, out, replace)
        return model, last_evaluation(out)


class StaticDistillation(Distillation):
    """One vector for each token."""

    sentence = "{parameters:,} parameters: a vector of {width} numbers for each of {tokens:,} tokens"

    def __init__(
        self, teacher: Path, data: Path | None, out: Path | None, recipe: Path | None, overrides: list[str]
    ) -> None:
        self.teacher, self.data = teacher, data
        self.recipe = StaticRecipe.load(recipe, overrides)
        if data is not None and not is_folder_of(data, KIND):
            raise HeadstartError(
                f"{data} is no tokens folder; way=static counts in one how rare tokens are, or goes without"
            )

    def run(self, out: Path, replace: bool = False) -> tuple[Path, Figures]:
        """Read the vectors out, and write them."""
        teacher = model_in(self.teacher)
        read = [teacher, *([] if self.data is None else [self.data])]
        made_from = {"recipe": self.recipe.model_dump(mode="json"), "read": [identity(path) for path in read]}
        with output(out, "static-model", settings=made_from, inputs=read, replace=replace) as claimed:
            if not claimed.finished:
                claimed.finish(self._made(teacher, out))
        return out / "model", claimed.facts

    def _made(self, teacher: Path, out: Path) -> Figures:
        tokenizer = open_tokenizer(self.data or teacher)
        counts = None
        if self.data is not None:
            ids, _ = TokenRows(self.data, "train", 1).beginning(COUNTED)
            counts = np.bincount(ids, minlength=tokenizer.vocab_size)
        model, facts = static_model(Teacher(teacher, tokenizer), tokenizer, self.recipe, counts)
        write_static(out / "model", model, facts, teacher)
        return {**facts, "width": self.recipe.width}


def last_evaluation(run: Path) -> Figures:
    """What the last evaluation of a run found."""
    return dict([event for event in read_metrics(run) if event["kind"] == "evaluation"][-1])


WAYS: dict[str, type[Distillation]] = {
    "states": StatesDistillation,
    "relations": StatesDistillation,
    "labels": LabelsDistillation,
    "static": StaticDistillation,
}
