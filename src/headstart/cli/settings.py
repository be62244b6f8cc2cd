"""`--settings`: what a verb's recipe knows, listed and explained."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import typer

RECIPES = {
    "corpus": ("Corpus", "headstart.corpus.recipe", "CorpusRecipe"),
    "tokenizer train": ("Tokenizer", "headstart.tokenizer.train", "TokenizerRecipe"),
    "tokenizer encode": ("Token shards", "headstart.tokenizer.shards", "ShardRecipe"),
    "pretrain": ("Pre-training", "headstart.training.recipe", "PretrainRecipe"),
    "pretrain, model.family=elmo": ("ELMo", "headstart.training.elmo_run", "ElmoRecipe"),
    "pretrain, model.family=word2vec": ("word2vec", "headstart.training.word_vectors_run", "Word2VecRecipe"),
    "pretrain, model.family=glove": ("GloVe", "headstart.training.word_vectors_run", "GloveRecipe"),
    "finetune": ("Fine-tuning", "headstart.tasks.finetuning.finetune_recipe", "FinetuneRecipe"),
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


if __name__ == "__main__":
    print(reference(), end="")
