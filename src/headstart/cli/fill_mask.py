"""`headstart fill-mask`: let an encoder fill the gaps of a text."""

from pathlib import Path
from typing import Annotated

import orjson
import typer


def fill_mask(
    model: Annotated[
        Path, typer.Argument(help="A model or run folder: an encoder, or T5, which writes whole spans.")
    ],
    text: Annotated[str, typer.Argument(help="A text with gaps: <mask>, or [MASK] for BERT.")],
    count: Annotated[int, typer.Option(min=1, help="Number of tokens to print for each gap.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print the most likely tokens for each gap in a text, with their probabilities."""
    from headstart.cli.opened_model import open_model
    from headstart.generation.fill_mask import fill_mask as fill

    gaps = fill(open_model(model), text, count)
    if as_json:
        answers = [[{"token": token, "probability": chance} for token, chance in gap] for gap in gaps]
        typer.echo(orjson.dumps({"text": text, "gaps": answers}))
        return
    for number, gap in enumerate(gaps, start=1):
        if len(gaps) > 1:
            typer.echo(f"gap {number}")
        for token, chance in gap:
            typer.echo(f"{100 * chance:6.2f} %  {token!r}")
