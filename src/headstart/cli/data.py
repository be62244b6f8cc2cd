"""`headstart data`: what would be read of labelled data."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from headstart.cli.options import data_path

MOST_LABELS = 50
"""That are printed; --json has all."""

data = typer.Typer(help="Look at labelled data before a model learns from them.", no_args_is_help=True)


@data.callback()
def _group() -> None:
    """Keeps `check` a verb of its own while it is the only one."""


@data.command()
def check(
    file: Annotated[
        Path,
        typer.Argument(
            parser=data_path, help="A file or folder of labelled data, as for `headstart finetune`."
        ),
    ],
    task: Annotated[
        str | None, typer.Option("--task", help="As for `headstart finetune`; else inferred.")
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
            "--column", metavar="ROLE=NAME", help="The column of another role, such as pair=text_b."
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="Show the tokens that this model would read and learn.")
    ] = None,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=16, help="Tokens that the model reads at once.")
    ] = 256,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show how a file or folder is read: task, columns, counts, and what is repaired or left out, and why.

    The first three examples of each part are shown as the model will see them. Nothing is trained or written.
    """
    from headstart.cli.opened_model import open_model
    from headstart.cli.predict import roles
    from headstart.tasks.data_preview import preview_data

    loaded = None if model is None else open_model(model)
    named = {"text_column": text_column, "label_column": label_column, "columns": roles(column)}
    found = preview_data(file, task, loaded, max_tokens, **named)
    if as_json:
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    for part in found:
        typer.echo(f"{part['task']}, {part['part']} ({part['files']}): {part['examples']:,} examples")
        for note in part["notes"]:
            typer.echo(f"  {note}")
        if part.get("labels"):
            first = list(part["labels"].items())[:MOST_LABELS]
            more = len(part["labels"]) - len(first)
            labels = ", ".join(f"{label} {count:,}" for label, count in first)
            typer.echo(f"  labels in their order: {labels}" + (f", and {more:,} more" if more else ""))
        for number, example in enumerate(part["shown"], 1):
            for what, text in example.items():
                if text:
                    typer.echo(f"  {number} {what}: {' '.join(text.split())}")
