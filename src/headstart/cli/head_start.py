"""`headstart head-start`: what pre-training is worth, by number of labels."""

from pathlib import Path
from typing import Annotated, cast

import orjson
import typer

from headstart.cli.options import AsJSON, RecipeFile, Replace, data_path
from headstart.cli.settings import settings_option
from headstart.errors import HeadstartError, nearest
from headstart.folder import JSONObject


def head_start(
    model: Annotated[Path, typer.Argument(help="The pre-trained run, or a model folder.")],
    data: Annotated[
        Path,
        typer.Option("--data", parser=data_path, help="Labelled data; a folder may hold several tasks."),
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to write; a stopped run is resumed.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings of fine-tuning, such as counted_words=none."),
    ] = None,
    labels: Annotated[
        str,
        typer.Option(
            "--labels", help="Numbers of labelled examples, from few to many; `all` means all of them."
        ),
    ] = "20,100,500,all",
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds", min=1, help="Number of seeds; each draws its examples, the same for every system."
        ),
    ] = 3,
    systems: Annotated[
        str | None,
        typer.Option(
            "--systems",
            help="Some of fine-tuned, static-start, foundation, from-scratch, tf-idf, majority; else all.",
        ),
    ] = None,
    states: Annotated[
        int,
        typer.Option("--states", min=0, help="Also fine-tune this many snapshots of the run."),
    ] = 0,
    test_examples: Annotated[
        int, typer.Option("--test-examples", min=1, help="Largest number of test examples.")
    ] = 600,
    task: Annotated[str | None, typer.Option("--task", help="As for finetune.")] = None,
    text_column: Annotated[str | None, typer.Option("--text-column", help="As for finetune.")] = None,
    label_column: Annotated[str | None, typer.Option("--label-column", help="As for finetune.")] = None,
    precision: Annotated[str, typer.Option("--precision", help="auto, float32 or bfloat16.")] = "auto",
    recipe: RecipeFile = None,
    list_settings: Annotated[bool, settings_option("finetune")] = False,
    replace: Replace = False,
    as_json: AsJSON = False,
) -> None:
    """Measure the effect of pre-training: the same network with and without it, by number of labels."""
    from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
    from headstart.tasks.finetuning.head_start import head_start_run
    from headstart.tasks.finetuning.learning_curve import SYSTEMS, SystemName

    named = None
    if systems is not None:
        named = [one.strip() for one in systems.split(",")]
        for one in named:
            if one not in SYSTEMS:
                raise HeadstartError(f"there is no system {one!r}{nearest(one, SYSTEMS)}")
    settings = FinetuneRecipe.load(recipe, overrides or [])
    figures = head_start_run(
        model, data, out, settings, labels=_counts(labels), seeds=seeds,
        systems=cast("list[SystemName] | None", named), states=states, test_examples=test_examples,
        precision=precision, replace=replace, task=task, text_column=text_column, label_column=label_column,
    )  # fmt: skip
    typer.echo(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode() if as_json else _text(figures))


def _counts(text: str) -> list[int | None]:
    """`20,100,all` as numbers, from few to many; None: all."""
    found: list[int | None] = []
    for part in (one.strip() for one in text.split(",")):
        if part != "all" and not (part.isdigit() and int(part)):
            raise HeadstartError(f"--labels takes numbers and `all`, as in 20,100,all, and not {part!r}")
        found.append(None if part == "all" else int(part))
    return sorted(set(found), key=lambda count: (count is None, count or 0))


def _text(figures: JSONObject) -> str:
    lines = []
    for row in figures["rows"]:
        spread = "" if row["deviation"] is None else f" ± {row['deviation']:.3f}"
        system = row["system"] if row["step"] is None else f"{row['system']} at step {row['step']}"
        lines.append(
            f"  {row['task']:<12} {row['labels']:>6} labels  {system:<24} {row['metric']} "
            f"{row['score']:.3f}{spread}  {row['seconds']:.1f} s"
        )
    return "\n".join(lines)
