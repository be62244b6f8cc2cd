"""`headstart pretrain`: train a model, on token shards or, if it reads words, on a corpus."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer


def pretrain(
    out: Annotated[
        Path, typer.Option("--out", help="The run folder; one that exists goes on where it stopped.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings, as in tokens=FOLDER objective.kind=causal."),
    ] = None,
    recipe: Annotated[Path | None, typer.Option("--recipe", help="A YAML file of settings.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Pre-train a model from random weights; interrupted runs go on exactly.

    Transformers read tokens=FOLDER; model.family=word2vec, glove and elmo read words from corpus=FOLDER.
    """
    from headstart.training.metrics import read_metrics

    trainers = {"word2vec": _word2vec, "glove": _glove, "elmo": _elmo}
    train = trainers.get(_family(recipe, overrides or []), _transformer)
    model, kind, sentence = train(recipe, overrides or [], out)
    last = [event for event in read_metrics(out) if event["kind"] == kind][-1]
    if as_json:
        typer.echo(orjson.dumps({"model": str(model)} | last, option=orjson.OPT_INDENT_2).decode())
    else:
        typer.echo(f"{sentence.format(**last)}; model in {model}")


def _family(recipe: Path | None, overrides: list[str]) -> str:
    """The family that the settings name; the rest of them is for its own recipe to judge."""
    from headstart.recipe import Recipe

    class Model(Recipe, extra="ignore"):
        family: Any = None

    class AnyRecipe(Recipe, extra="ignore"):
        model: Model = Model()

    return str(AnyRecipe.load(recipe, overrides).model.family)


# Each trains a model and returns its folder, the kind of event that holds the result, and how to say it.
Trained = tuple[Path, str, str]


def _transformer(recipe: Path | None, overrides: list[str], out: Path) -> Trained:
    from headstart.generation.text import sample_prompt
    from headstart.training.loop import pretrain as run_pretraining
    from headstart.training.recipe import PretrainRecipe

    settings = PretrainRecipe.load(recipe, overrides)
    model = run_pretraining(settings, out, sample_prompt if settings.objective.kind == "causal" else None)
    sentence = (
        "{tokens:,} tokens in {seconds:,.0f} s: held-out loss {loss:.3f} nats, "
        "{bits_per_byte:.3f} bits a byte (n = {targets:,} targets)"
    )
    return model, "evaluation", sentence


def _elmo(recipe: Path | None, overrides: list[str], out: Path) -> Trained:
    from headstart.training.elmo_run import ElmoRecipe, train_elmo

    sentence = (
        "{words:,} words in {seconds:,.0f} s: held-out perplexity {perplexity:,.1f} "
        "(n = {targets:,} words predicted, both directions)"
    )
    return train_elmo(ElmoRecipe.load(recipe, overrides), out), "evaluation", sentence


def _word2vec(recipe: Path | None, overrides: list[str], out: Path) -> Trained:
    from headstart.training.word_vectors_run import Word2VecRecipe, train_word2vec

    sentence = (
        "{step} passes in {seconds:,.0f} s: held-out loss {heldout_loss:.3f} nats "
        "(n = {predictions:,} predictions)"
    )
    return train_word2vec(Word2VecRecipe.load(recipe, overrides), out), "step", sentence


def _glove(recipe: Path | None, overrides: list[str], out: Path) -> Trained:
    from headstart.training.word_vectors_run import GloveRecipe, train_glove

    sentence = "{step} passes in {seconds:,.0f} s: loss {loss:.5f} a cell (n = {cells:,})"
    return train_glove(GloveRecipe.load(recipe, overrides), out), "step", sentence
