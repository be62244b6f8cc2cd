"""`headstart evaluate`: score a task model on labelled data."""

from pathlib import Path
from typing import Annotated

import orjson
import typer


def evaluate(
    model: Annotated[Path, typer.Argument(help="A fine-tuned model or run folder.")],
    data: Annotated[
        Path, typer.Option("--data", help="CSV, TSV, JSONL, Parquet or CoNLL; of a folder, its test part.")
    ],
    text_column: Annotated[
        str | None, typer.Option("--text-column", help="Where the text or words are.")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option("--label-column", help="Where the label or tags are.")
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="auto, float32 or bfloat16.")] = "float32",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Score a fine-tuned model; every figure has its n and a 95 % bootstrap interval."""
    from headstart.interchange.model_folder import load_model
    from headstart.tasks.evaluation import evaluate_predictor, evaluation_examples
    from headstart.tasks.precision import dtype_named
    from headstart.tasks.predictor import Predictor

    predictor = Predictor.of(load_model(model, dtype_named(precision)))
    examples = evaluation_examples(data, predictor.task, text_column, label_column)
    scores = evaluate_predictor(predictor, examples)
    if as_json:
        figures = {"scores": [score.as_dict() for score in scores], "notes": examples.notes}
        typer.echo(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
        return
    for note in examples.notes:
        typer.echo(f"  {note}")
    for score in scores:
        typer.echo(str(score))
