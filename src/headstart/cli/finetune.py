"""`headstart finetune`: teach a pre-trained model a task."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from headstart.cli.options import AsJSON, RecipeFile, Replace, data_path
from headstart.cli.settings import settings_option
from headstart.errors import HeadstartError
from headstart.folder import JSONObject


def finetune(
    model: Annotated[Path, typer.Argument(help="The pre-trained model or run folder.")],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            parser=data_path,
            help="CSV, TSV, JSON lines, SQuAD, Parquet, CoNLL; a folder with train and test, or one a class; "
            "or hf://datasets/org/name, or .../name@revision/file.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The run folder to write, with `model` in it.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as epochs=5 max_tokens=256."),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(
            "--test",
            parser=data_path,
            help="Score on this file; else on the test file beside the data, or on a part set apart.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            help="classification, multi-label, regression, tagging, question-answering, multiple-choice, "
            "embedding, chat or text-to-text (also labels in words); else inferred from the columns.",
        ),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option("--text-column", help="The column of the text or words.")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option("--label-column", help="The column of the label or tags.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="ROLE=NAME",
            help="The column of another role: pair=text_b, question=q, options=endings, group=author.",
        ),
    ] = None,
    labels: Annotated[
        int | None, typer.Option("--labels", min=1, help="Number of examples to learn from; else all.")
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(
            "--validation",
            parser=data_path,
            help="Choose the best weights by this file; else by a part of the data, if it is large.",
        ),
    ] = None,
    adapt: Annotated[
        str | None,
        typer.Option(
            "--adapt",
            help="Which weights are trained: full, frozen, mix, top-K or lora; same as the setting adapt=.",
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option("--compare", help="Several of these ways side by side, such as full,frozen,mix,lora."),
    ] = None,
    seed: Annotated[
        int,
        typer.Option("--seed", min=0, help="Random seed of the choice of examples, their order and dropout."),
    ] = 0,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Fine-tune with this many seeds, and keep the best.")
    ] = 1,
    from_scratch: Annotated[
        bool,
        typer.Option(
            "--from-scratch", help="Start from random weights, to measure the effect of pre-training."
        ),
    ] = False,
    precision: Annotated[str, typer.Option("--precision", help="auto, float32 or bfloat16.")] = "auto",
    recipe: RecipeFile = None,
    list_settings: Annotated[bool, settings_option("finetune")] = False,
    replace: Replace = False,
    as_json: AsJSON = False,
) -> None:
    """Fine-tune a pre-trained model on labelled data and score it beside counted words."""
    from headstart.cli.predict import roles
    from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
    from headstart.tasks.finetuning.finetune_run import compare_run, finetune_run

    chosen = [*(overrides or []), *([f"adapt={adapt}"] if adapt else [])]
    settings = FinetuneRecipe.load(recipe, chosen)
    sources = {
        "test": test,
        "validation": validation,
        "kind": task,
        "text_column": text_column,
        "label_column": label_column,
        "columns": roles(column),
        "labels": labels,
        "precision": precision,
    }
    if compare is not None:
        unused = {"--seeds": seeds > 1, "--from-scratch": from_scratch, "search=": bool(settings.search)}
        for name, given in unused.items():
            if given:
                raise HeadstartError(f"--compare takes no {name}; fine-tune the way that you choose with it")
        compared = compare_run(
            model, data, out, settings, compare.split(","), seed=seed, replace=replace, **sources
        )
        typer.echo(_json(compared.as_dict()) if as_json else f"{compared.text()}\n{out / 'compare.md'}")
        return
    figures = finetune_run(
        model, data, out, settings, seed=seed, seeds=seeds, scratch=from_scratch, replace=replace, **sources
    )
    typer.echo(_json(figures) if as_json else _text(figures))


def _json(figures: JSONObject) -> str:
    return orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode()


def _text(figures: JSONObject) -> str:
    """What a person wants to know of a fine-tuning."""
    lines = [f"  {note}" for note in figures["notes"]]
    for row in figures.get("search", []):
        settings = " ".join(f"{name}={value}" for name, value in row["settings"].items())
        lines.append(f"  {settings:<40} {row['score']:.3f} on {row['examples']:,} validation examples")
    lines += [
        f"  {row['system']:<13} {row['metric']:<14} {row['value']:.3f}  "
        f"({row['low']:.3f} to {row['high']:.3f}, n = {row['n']:,})"
        for row in figures["scores"]
    ]
    if "seeds" in figures:
        seeds = figures["seeds"]
        failed = [str(run["seed"]) for run in seeds["runs"] if run["collapsed"]]
        lines.append(
            f"  {len(seeds['runs'])} seeds: {seeds['mean']:.3f} ± {seeds['deviation']:.3f}; "
            f"kept seed {seeds['kept']}"
            + (f"; collapsed, no better than one answer to all: {', '.join(failed)}" if failed else "")
        )
    learned = figures["finetuning"]["learning_weights"]
    lines.append(
        f"{figures['examples']:,} examples, {learned:,} trained weights, {figures['seconds']:,.1f} s; "
        f"model in {figures['model']}"
    )
    return "\n".join(lines)
