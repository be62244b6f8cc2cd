"""`headstart finetune`: teach a pre-trained model a task."""

from pathlib import Path
from typing import Annotated

import orjson
import typer


def finetune(
    model: Annotated[Path, typer.Argument(help="The pre-trained model or run folder.")],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            help="CSV, TSV, JSON lines, SQuAD, Parquet, CoNLL; a folder with train and test, or one a class.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The run folder to make, with `model` in it.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings, as in epochs=5 max_tokens=256."),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(
            "--test", help="Score on this file; else on the one beside the data, or a part set apart."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            help="classification, multi-label, regression, tagging, question-answering, multiple-choice or "
            "embedding; else told from the columns.",
        ),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option("--text-column", help="Where the text or words are.")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option("--label-column", help="Where the label or tags are.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="ROLE=NAME",
            help="Where something else is, as in pair=text_b question=q options=endings group=author.",
        ),
    ] = None,
    labels: Annotated[
        int | None, typer.Option("--labels", min=1, help="Learn from that many examples only.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Chooses examples, their order and dropout.")
    ] = 0,
    from_scratch: Annotated[
        bool,
        typer.Option("--from-scratch", help="Start from random weights, to see what pre-training is worth."),
    ] = False,
    precision: Annotated[str, typer.Option("--precision", help="auto, float32 or bfloat16.")] = "auto",
    recipe: Annotated[Path | None, typer.Option("--recipe", help="A YAML file of settings.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Fine-tune a pre-trained model on labelled data and score it, with counted words beside it."""
    from headstart.cli.predict import roles
    from headstart.tasks.finetune_recipe import FinetuneRecipe
    from headstart.tasks.finetune_run import finetune_run

    figures = finetune_run(
        model,
        data,
        out,
        FinetuneRecipe.load(recipe, overrides or []),
        test=test,
        kind=task,
        text_column=text_column,
        label_column=label_column,
        columns=roles(column),
        labels=labels,
        seed=seed,
        scratch=from_scratch,
        precision=precision,
    )
    if as_json:
        typer.echo(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
        return
    for note in figures["notes"]:
        typer.echo(f"  {note}")
    for row in figures["scores"]:
        typer.echo(
            f"  {row['system']:<13} {row['metric']:<14} {row['value']:.3f}  "
            f"({row['low']:.3f} to {row['high']:.3f}, n = {row['n']:,})"
        )
    typer.echo(f"{figures['examples']:,} examples, {figures['seconds']:,.1f} s; model in {figures['model']}")
