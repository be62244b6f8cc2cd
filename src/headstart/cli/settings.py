"""`--settings`: what a verb's recipe knows, listed and explained."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand

from headstart.errors import HeadstartError

RECIPES = {
    "corpus": ("Corpus", "headstart.corpus.recipe", "CorpusRecipe"),
    "tokenizer train": ("Tokenizer", "headstart.tokenizer.train", "TokenizerRecipe"),
    "tokenizer encode": ("Token shards", "headstart.tokenizer.shards", "ShardRecipe"),
    "pretrain": ("Pre-training", "headstart.training.recipe", "PretrainRecipe"),
    "pretrain, model.family=elmo": ("ELMo", "headstart.training.elmo_run", "ElmoRecipe"),
    "pretrain, model.family=word2vec": ("word2vec", "headstart.training.word_vectors_run", "Word2VecRecipe"),
    "pretrain, model.family=glove": ("GloVe", "headstart.training.word_vectors_run", "GloveRecipe"),
    "distill": ("Distillation", "headstart.training.distillation.recipe", "DistillRecipe"),
    "distill, way=static": ("Static vectors", "headstart.training.distillation.recipe", "StaticRecipe"),
    "distill, way=labels": ("Soft labels", "headstart.tasks.distillation.recipe", "LabelsRecipe"),
    "finetune": ("Fine-tuning", "headstart.tasks.finetuning.finetune_recipe", "FinetuneRecipe"),
    "duel": ("Duel", "headstart.evaluation.duel", "DuelRecipe"),
    "generate": ("Generation", "headstart.generation.config", "GenerationConfig"),
}
"""For every verb with settings its heading in the reference and its recipe class."""


def recipe_class(verb: str) -> type:
    """The class of a verb's settings."""
    _, module, name = RECIPES[verb]
    found: type = getattr(import_module(module), name)
    return found


def settings_option(verb: str) -> Any:
    """An option that lists a verb's settings instead of running it."""
    return typer.Option(
        "--settings", is_eager=True, callback=_printer(verb), help="List all settings and their usual names."
    )


def _printer(verb: str) -> Callable[[bool], None]:
    def show(wanted: bool) -> None:
        if not wanted:
            return
        from headstart.settings_reference import as_text

        for name in (name for name in RECIPES if name.split(",")[0] == verb):
            if name != verb:
                typer.echo(f"\n--- {name} ---")
            typer.echo(as_text(recipe_class(name)))
        raise typer.Exit

    return show


def command_with_settings(verb: str) -> type[TyperCommand]:
    """A command whose settings are `key=value`: one that is written as an option is answered so."""

    class WithSettings(TyperCommand):
        def parse_args(self, context: Any, arguments: list[str]) -> list[str]:
            given = list(arguments)
            try:
                return super().parse_args(context, arguments)
            except Exception as wrong:  # of click, or of the copy of it that some versions of typer bring
                sentence = _as_setting(verb, getattr(wrong, "option_name", ""), given)
                if sentence and type(wrong).__name__ == "NoSuchOption":
                    raise HeadstartError(sentence) from None
                raise

    return WithSettings


def _as_setting(verb: str, option: str, arguments: list[str]) -> str:
    """How to write an unknown option that is a setting's name, or stands for one; empty: it is neither."""
    from headstart.setting_names import WrongKey, answers_of, find_setting

    recipe, name = recipe_class(verb), option.lstrip("-").replace("-", "_")
    if name in answers_of(recipe):
        return f"there is no option {option}; {answers_of(recipe)[name]}"
    try:
        find_setting(recipe, tuple(name.split(".")))
    except WrongKey:
        return ""
    place = next((at for at, one in enumerate(arguments) if one.split("=")[0] == option), len(arguments))
    _, separator, value = "".join(arguments[place : place + 1]).partition("=")
    value = value if separator else next(iter(arguments[place + 1 :]), "VALUE")
    return f"there is no option {option}; settings are written without dashes: {name}={value}"


def reference() -> str:
    """The page of all settings, `docs/reference-settings.md`."""
    from headstart.settings_reference import as_markdown

    lead = (
        "# All settings\n\n"
        "Made by `make reference` from the recipe classes; `headstart VERB --settings` prints the same.\n"
        "A setting is given as `key=value` on the command line or in the YAML file of `--recipe`, by its\n"
        "own or a usual name, and without its group where only one setting has the name.\n"
    )
    sections = [
        as_markdown(f"{title} (`headstart {verb}`)", recipe_class(verb))
        for verb, (title, _, _) in RECIPES.items()
    ]
    return lead + "\n" + "\n\n".join(sections) + "\n"
