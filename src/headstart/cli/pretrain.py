"""`headstart pretrain`: train a model, on token shards or, if it reads words, on a corpus."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from headstart.cli.options import AsJSON, DryRun, RecipeFile, Replace
from headstart.cli.settings import settings_option

if TYPE_CHECKING:
    from headstart.training.recipe import PretrainRecipe
    from headstart.training.trainer import Trainer


def pretrain(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Settings, such as tokens=FOLDER objective.kind=causal."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The run folder; an existing run resumes where it stopped."),
    ] = None,
    recipe: RecipeFile = None,
    list_settings: Annotated[bool, settings_option("pretrain")] = False,
    dry_run: DryRun = False,
    replace: Replace = False,
    as_json: AsJSON = False,
) -> None:
    """Pre-train a new model, or train one further with start=MODEL; interrupted runs resume exactly.

    Transformers read tokens=FOLDER; model.family=word2vec, glove and elmo read words from corpus=FOLDER.
    """
    from headstart.errors import HeadstartError
    from headstart.training.metrics import read_metrics

    if dry_run:
        _dry_run(recipe, overrides or [], as_json)
        return
    if out is None:
        raise HeadstartError("say where the run is to be written: --out FOLDER")
    trainers = {"word2vec": _word2vec, "glove": _glove, "elmo": _elmo}
    train = trainers.get(_family(recipe, overrides or []), _transformer)
    model, kind, sentence = train(recipe, overrides or [], out, replace)
    if os.environ.get("RANK", "0") != "0":  # torchrun starts many; one says how it ended
        return
    found = [event for event in read_metrics(out) if event["kind"] == kind]
    last: dict[str, Any] = {**found[-1]} if found else {}
    if as_json:
        typer.echo(orjson.dumps({"model": str(model)} | last, option=orjson.OPT_INDENT_2).decode())
    elif not last:
        typer.echo(f"finished; metrics.jsonl has lost the figures; model in {model}")
    else:
        typer.echo(f"{sentence.format(**last)}; model in {model}")


def _dry_run(recipe: Path | None, overrides: list[str], as_json: bool) -> None:
    from headstart.errors import HeadstartError
    from headstart.training.recipe import PretrainRecipe
    from headstart.training.step_cost import trial

    if _family(recipe, overrides) in ("word2vec", "glove", "elmo"):
        raise HeadstartError("--dry-run is for Transformers; these models take minutes")
    show_cost(PretrainRecipe.load(recipe, overrides), as_json, trial)


def show_cost(recipe: "PretrainRecipe", as_json: bool, make: "Callable[[PretrainRecipe], Trainer]") -> None:
    """Print what a run of a Transformer would cost; `make` gives what computes its steps."""
    from headstart.page.numbers import amount, duration, size
    from headstart.scaling.dry_run import dry_run

    found = dry_run(recipe, make)
    if as_json:
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    parts = found["parameters"]
    memory = dict(found["memory"])
    peak, there = memory.pop("peak"), memory.pop("is")
    many = f" in each of {found['processes']} processes" if found["processes"] > 1 else ""
    seconds = found["seconds"]
    lines = [
        ("model", found["model"], f"{found['objective']} objective"),
        ("parameters", f"{parts['all']:,}",
         ", ".join(f"{part} {amount(n)}" for part, n in parts.items() if part != "all")),
        ("tokens", f"{found['tokens']:,}", f"{found['passes']:.2f} passes over the text, "
         f"{found['tokens_per_parameter']:.1f} a parameter, {found['steps']:,} steps"),
        ("operations", f"{amount(found['flops'])} FLOP", ""),
        ("memory", f"{size(peak)}{many}", ", ".join(f"{k} {size(v)}" for k, v in memory.items())
         + f"; there is {size(there)}"),
        ("checkpoint", size(found["checkpoint_bytes"]), ""),
        ("time", "not measured: start it with torchrun" if seconds is None else duration(seconds), ""),
    ]  # fmt: skip
    for name, figure, detail in lines:
        typer.echo(f"{name:12}{figure}" + (f"  ({detail})" if detail else ""))
    if peak > there:
        typer.echo("this is more memory than there is: lower micro_rows, or set checkpoint_activations=true")
    if found["loss_is_number"] is False:
        typer.echo(
            "the loss of the steps that were measured is no number: lower optimiser.matrix_rate and "
            "optimiser.vector_rate"
        )


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


def _transformer(recipe: Path | None, overrides: list[str], out: Path, replace: bool) -> Trained:
    from headstart.generation.text import sample_prompt
    from headstart.training.loop import pretrain as run_pretraining
    from headstart.training.recipe import PretrainRecipe

    settings = PretrainRecipe.load(recipe, overrides)
    sampler = sample_prompt if settings.objective.kind == "causal" else None
    model = run_pretraining(settings, out, sampler, replace)
    sentence = (
        "{tokens:,} tokens in {seconds:,.0f} s: held-out loss {loss:.3f} nats, "
        "{bits_per_byte:.3f} bits a byte (n = {targets:,} targets)"
    )
    return model, "evaluation", sentence


def _elmo(recipe: Path | None, overrides: list[str], out: Path, replace: bool) -> Trained:
    from headstart.training.elmo_run import ElmoRecipe, train_elmo

    sentence = (
        "{words:,} words in {seconds:,.0f} s: held-out perplexity {perplexity:,.1f} "
        "(n = {targets:,} words predicted, both directions)"
    )
    return train_elmo(ElmoRecipe.load(recipe, overrides), out, replace), "evaluation", sentence


def _word2vec(recipe: Path | None, overrides: list[str], out: Path, replace: bool) -> Trained:
    from headstart.training.word_vectors_run import Word2VecRecipe, train_word2vec

    sentence = (
        "{step} passes in {seconds:,.0f} s: held-out loss {heldout_loss:.3f} nats "
        "(n = {predictions:,} predictions)"
    )
    return train_word2vec(Word2VecRecipe.load(recipe, overrides), out, replace), "step", sentence


def _glove(recipe: Path | None, overrides: list[str], out: Path, replace: bool) -> Trained:
    from headstart.training.word_vectors_run import GloveRecipe, train_glove

    sentence = "{step} passes in {seconds:,.0f} s: loss {loss:.5f} a cell (n = {cells:,})"
    return train_glove(GloveRecipe.load(recipe, overrides), out, replace), "step", sentence
