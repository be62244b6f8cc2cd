"""Any state of a run as a model: the finished one, or one of its checkpoints."""

from collections.abc import Sequence
from pathlib import Path

import torch

from headstart.errors import HeadstartError
from headstart.folder import MANIFEST, JSONObject, read_json
from headstart.interchange.box import model_in
from headstart.interchange.model_folder import LoadedModel, load_model
from headstart.interchange.peft_adapter import CONFIG_FILE as ADAPTER
from headstart.models.transformer import Transformer
from headstart.models.vectors import elmo, word_vectors
from headstart.models.vectors.elmo import ElmoLanguageModel
from headstart.models.vectors.word_vectors import WordVectors
from headstart.recipe import folder_named, read_yaml
from headstart.tokenizer.folder import open_tokenizer, own_template
from headstart.training.checkpoint import DAMAGE, Stored
from headstart.training.configuration import configuration
from headstart.training.distillation.recipe import DistillRecipe
from headstart.training.distillation.run import student
from headstart.training.elmo_run import TENSORS
from headstart.training.loop import AVERAGE, WEIGHTS
from headstart.training.metrics import FILE as METRICS
from headstart.training.recipe import PretrainRecipe

AnyModel = LoadedModel | ElmoLanguageModel | WordVectors


def open_any(
    folder: Path, dtype: torch.dtype = torch.float32, within: Sequence[Path] | None = None
) -> AnyModel:
    """As `load_any`, and also the ELMo or the word vectors of a folder of theirs, a run, a snapshot or an
    ELMo's checkpoint.

    Raises:
        HeadstartError: nothing of the kind, or its files are damaged.
    """
    for place in (folder / "model", folder):
        if (kind := _format(place)) is not None:
            _confine(place, within)
            return _of_words(place, kind)
    snapshots, checkpoints = _steps(folder / "snapshots"), _steps(folder / "checkpoints")
    newest = snapshots[-1] if snapshots else folder
    if not (folder / "model").exists() and (kind := _format(newest)) is not None:
        if not checkpoints or kind != f"headstart.{elmo.KIND}":
            return open_any(newest, dtype, within)
        return open_any(checkpoints[-1], dtype, within)
    if (folder / "state.json").exists() and (folder / TENSORS).exists():
        _confine(folder, within)
        return _elmo_checkpoint(folder)
    return load_any(folder, dtype, within)


def state_in(folder: Path) -> Path:
    """The folder that is read where `folder` is asked for: of a run its model, or as long as the run has
    none its newest checkpoint; else see `model_in`."""
    begun = _steps(folder / "checkpoints")
    whole = (folder / "state.json", folder / "model", folder / "config.json")
    return begun[-1] if begun and not any(place.exists() for place in whole) else model_in(folder)


def load_any(
    folder: Path, dtype: torch.dtype = torch.float32, within: Sequence[Path] | None = None
) -> LoadedModel:
    """The model in a model folder, a run folder, or a checkpoint folder `RUN/checkpoints/step-N`.

    Of a run that has not finished, its newest checkpoint; `unfinished` says which. Where a run averages its
    weights, the average, for that is what its model will be.

    Args:
        within: folders which `folder`, and whatever it names (its run's tokens, the model that it started
            from, the base of an adapter), have to lie in; None: they may lie anywhere.

    Raises:
        HeadstartError: nothing of the kind, or its files are damaged; see also `load_model`.
    """
    _confine(folder, within)
    if (state := state_in(folder)).joinpath("state.json").exists():
        return _checkpoint(state, dtype, within)
    for place in (folder, folder / "model"):
        if (place / MANIFEST).exists() and not (place / "config.json").exists():
            made = read_json(place / MANIFEST, JSONObject).get("format", "something else")
            kind = str(made).removeprefix("headstart.")
            if _format(place) is None:
                raise HeadstartError(
                    f"{folder} holds {kind} and no model; name a model folder or a run folder"
                )
            raise HeadstartError(
                f"{folder} holds {kind}, and no Transformer; word vectors and ELMo stand beside a model "
                "(--beside)"
            )
    if (folder / METRICS).exists() and not any((folder / name).exists() for name in ("model", "config.json")):
        raise HeadstartError(
            f"{folder} is a run that has saved no model yet; wait for it, or ask a pre-training for a "
            f"checkpoint: `headstart control {folder} checkpoint`"
        )
    for place in (folder, folder / "model"):
        if within is not None and (place / ADAPTER).exists():
            base = read_json(place / ADAPTER, JSONObject).get("base_model_name_or_path")
            _confine(Path(str(base)), within, named_by=place / ADAPTER)
    return load_model(folder, dtype)


def _steps(folder: Path) -> list[Path]:
    """The folders `step-N` in a folder, by N."""
    found = [path for path in folder.glob("step-*") if path.name[5:].isdigit()]
    return sorted(found, key=lambda path: int(path.name[5:]))


def _format(folder: Path) -> str | None:
    """The format of a folder of ELMo or word vectors; None: it is neither."""
    if not (folder / MANIFEST).exists() or (folder / "config.json").exists():
        return None
    found = read_json(folder / MANIFEST, JSONObject).get("format")
    known = (f"headstart.{elmo.KIND}", f"headstart.{word_vectors.KIND}")
    return found if found in known else None


def _of_words(folder: Path, kind: str) -> ElmoLanguageModel | WordVectors:
    if kind == f"headstart.{elmo.KIND}":
        return ElmoLanguageModel.load(folder).eval()
    return WordVectors.load(folder)


def _elmo_checkpoint(folder: Path) -> ElmoLanguageModel:
    """A checkpoint of an ELMo, whose words and sizes stand in its run's model or snapshots."""
    run = folder.absolute().parent.parent
    whole = [place for place in (run / "model", *_steps(run / "snapshots")) if _format(place) is not None]
    if not whole or not (whole[0] / "options.json").exists():
        raise HeadstartError(
            f"{folder} lacks the vocabulary, which {run / 'model'} will have when the run is finished; open "
            "that, or train with snapshots=12 and open one of those"
        )
    model = ElmoLanguageModel.load(whole[0])
    try:
        with Stored(folder) as stored:
            stored.verify(only=(TENSORS,))
            weights = {name: stored.read(TENSORS, f"model.{name}") for name in model.state_dict()}
        model.load_state_dict(weights)
    except (*DAMAGE, RuntimeError) as error:
        raise HeadstartError(f"{folder} is damaged ({error}); take another checkpoint") from None
    return model.eval()


def _confine(path: Path, within: Sequence[Path] | None, named_by: Path | None = None) -> None:
    """Refuse a path, links followed, that lies in none of the folders `within`."""
    if within is None or any(path.resolve().is_relative_to(root.resolve()) for root in within):
        return
    roots = ", ".join(map(str, within))
    if named_by is None:
        raise HeadstartError(f"{path} lies outside of {roots}; open it from there, or allow its folder too")
    raise HeadstartError(f"{named_by} names {path}, which lies outside of {roots}; allow that folder too")


def _checkpoint(folder: Path, dtype: torch.dtype, within: Sequence[Path] | None) -> LoadedModel:
    recipe_file = folder.absolute().parent.parent / "recipe.yaml"
    if not recipe_file.exists():
        raise HeadstartError(
            f"{folder} is a checkpoint without its run: {recipe_file} is missing, which says what model it is"
        )
    distilled = "teacher" in read_yaml(recipe_file)[0]
    recipe = (DistillRecipe if distilled else PretrainRecipe).load(recipe_file, [])
    tokens = folder_named(recipe.tokens, recipe_file)
    if tokens is None:
        raise HeadstartError(
            f"{folder} needs the tokens folder of its run for the tokenizer, and {recipe.tokens} is not "
            "there; run this where it was trained"
        )
    _confine(tokens, within, named_by=recipe_file)
    recipe = recipe.model_copy(update={"tokens": tokens})
    if isinstance(recipe.start, Path):
        start = folder_named(recipe.start, recipe_file) or recipe.start
        _confine(start, within, named_by=recipe_file)
        recipe = recipe.model_copy(update={"start": start})
    with torch.device("meta"):
        model = Transformer(student(recipe) if distilled else configuration(recipe), dtype)
    try:
        with Stored(folder) as stored:
            stored.verify(only=(WEIGHTS, AVERAGE))
            averaged = set(stored.names(AVERAGE))
            names = list(model.state_dict())
            weights = {name: stored.read(AVERAGE if name in averaged else WEIGHTS, name) for name in names}
    except DAMAGE as error:
        raise HeadstartError(f"{folder} is damaged ({error}); take another checkpoint") from None
    model.load_state_dict(weights, assign=True)
    tokenizer = open_tokenizer(tokens)
    tokenizer.template = own_template(tokenizer, model.config.architecture != "decoder")
    step = f"step {folder.name.removeprefix('step-')} of {recipe.steps:,}"
    return LoadedModel(model.eval(), tokenizer, recipe.objective.head, unfinished=step)
