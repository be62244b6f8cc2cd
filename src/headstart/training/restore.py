"""Any state of a run as a model: the finished one, or one of its checkpoints."""

from pathlib import Path

import torch

from headstart.errors import HeadstartError
from headstart.folder import MANIFEST, read_json
from headstart.interchange.model_folder import LoadedModel, load_model
from headstart.models.transformer import Transformer
from headstart.tokenizer.folder import open_tokenizer
from headstart.training.checkpoint import DAMAGE, Stored
from headstart.training.configuration import configuration
from headstart.training.loop import AVERAGE, WEIGHTS
from headstart.training.recipe import PretrainRecipe


def load_any(folder: Path, dtype: torch.dtype = torch.float32) -> LoadedModel:
    """The model in a model folder, a run folder, or a checkpoint folder `RUN/checkpoints/step-N`.

    Of a run that has not finished, its last checkpoint. Where a run averages its weights, the average, for
    that is what its model will be.

    Raises:
        HeadstartError: nothing of the kind, or its files are damaged; see also `load_model`.
    """
    if (folder / "state.json").exists():
        return _checkpoint(folder, dtype)
    begun = sorted((folder / "checkpoints").glob("step-*"), key=lambda path: int(path.name[5:]))
    if begun and not (folder / "model").exists() and not (folder / "config.json").exists():
        return _checkpoint(begun[-1], dtype)
    for place in (folder, folder / "model"):
        if (place / MANIFEST).exists() and not (place / "config.json").exists():
            kind = str(read_json(place / MANIFEST).get("format", "something else")).removeprefix("headstart.")
            raise HeadstartError(
                f"{folder} holds {kind}, and no Transformer; word vectors and ELMo stand beside a model "
                "(--beside)"
            )
    return load_model(folder, dtype)


def _checkpoint(folder: Path, dtype: torch.dtype) -> LoadedModel:
    recipe_file = folder.absolute().parent.parent / "recipe.yaml"
    if not recipe_file.exists():
        raise HeadstartError(
            f"{folder} is a checkpoint without its run: {recipe_file} is missing, which says what model it is"
        )
    recipe = PretrainRecipe.load(recipe_file, [])
    tokens = _found(recipe.tokens, recipe_file)
    if tokens is None:
        raise HeadstartError(
            f"{folder} needs the tokens folder of its run for the tokenizer, and {recipe.tokens} is not "
            "there; run this where it was trained"
        )
    recipe = recipe.model_copy(update={"tokens": tokens})
    if isinstance(recipe.start, Path):
        recipe = recipe.model_copy(update={"start": _found(recipe.start, recipe_file) or recipe.start})
    with torch.device("meta"):
        model = Transformer(configuration(recipe), dtype)
    try:
        with Stored(folder) as stored:
            stored.verify(only=(WEIGHTS, AVERAGE))
            averaged = set(stored.names(AVERAGE))
            names = list(model.state_dict())
            weights = {name: stored.read(AVERAGE if name in averaged else WEIGHTS, name) for name in names}
    except DAMAGE as error:
        raise HeadstartError(f"{folder} is damaged ({error}); take another checkpoint") from None
    model.load_state_dict(weights, assign=True)
    return LoadedModel(model.eval(), open_tokenizer(tokens), recipe.objective.head)


def _found(path: Path, recipe_file: Path) -> Path | None:
    """A folder that a recipe names; a relative path was written where the run was started, which is mostly
    above the run folder."""
    places = [base / path for base in (Path.cwd(), *recipe_file.parents)]
    return next((place for place in places if place.exists()), None)
