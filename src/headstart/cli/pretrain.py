"""`headstart pretrain`: train a model on token shards."""

from pathlib import Path
from typing import Annotated

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
    """Pre-train an encoder or a decoder from random weights; interrupted runs go on exactly."""
    from headstart.generation.text import sample_prompt
    from headstart.training.loop import pretrain as run_pretraining
    from headstart.training.metrics import read_metrics
    from headstart.training.recipe import PretrainRecipe

    settings = PretrainRecipe.load(recipe, overrides or [])
    sample = sample_prompt if settings.objective.kind == "causal" else None
    model = run_pretraining(settings, out, sample)
    last = [event for event in read_metrics(out) if event["kind"] == "evaluation"][-1]
    if as_json:
        typer.echo(orjson.dumps({"model": str(model)} | last, option=orjson.OPT_INDENT_2).decode())
    else:
        typer.echo(
            f"{last['tokens']:,} tokens in {last['seconds']:,.0f} s: held-out loss {last['loss']:.3f} nats, "
            f"{last['bits_per_byte']:.3f} bits a byte (n = {last['targets']:,} targets); model in {model}"
        )
