"""`headstart quickstart`: the main job, from a raw crawl to the report."""

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.options import Replace


def quickstart(
    minutes: Annotated[
        float, typer.Option(min=0.5, help="Approximate time of the whole job, in minutes.")
    ] = 10.0,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="Files or folders of raw text; more than one may be given."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="A file of labelled examples, or a folder of several tasks."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The folder for all results.")] = Path("runs/quickstart"),
    seed: Annotated[int, typer.Option(help="Random seed of all sampling.")] = 0,
    replace: Replace = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report's figures as JSON.")] = False,
) -> None:
    """Turn raw text into a corpus, a tokenizer, an encoder, a decoder, fine-tuned models and a report.

    Without --data and --labels it takes the samples of the repository. The same command with the same --out
    resumes a run that was stopped.
    """
    from headstart.quickstart.pipeline import QuickstartRecipe, run

    report = run(QuickstartRecipe.of(minutes, data, labels, seed), out, replace)
    if as_json:
        typer.echo((report.parent / "report.json").read_text("utf-8"))
